"""Which requirements of the original's lists lie beside the task file."""

from pathlib import Path

from client.beside import lying_beside


def _beside(folder: Path, *required: object, field: str = "requires") -> list[str]:
    return lying_beside(folder, [{"key": "a", field: list(required)}])


def test_files_folders_and_globs_are_found_under_the_names_that_the_boss_has_for_them(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.py").touch()
    (tmp_path / "prep.py").touch()
    for field in ("requires", "requirements"):
        found = _beside(
            tmp_path, "./prep.py", ["lib/a.py", "x/a.py"], "lib/", "x/../prep.py", "*.py", "*.csv", "none.py", field=field
        )
        assert found == ["prep.py", "lib/a.py", "lib/", "*.py"]


def test_a_single_text_stands_for_a_list(tmp_path: Path) -> None:
    (tmp_path / "prep.py").touch()
    assert lying_beside(tmp_path, [{"id": "a", "requirements": "prep.py"}, {"id": "b", "requirements": "prep.py"}]) == ["prep.py"]


def test_a_folder_without_its_slash_and_a_file_with_one_are_other_things(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "prep.py").touch()
    assert _beside(tmp_path, "lib", "prep.py/") == []


def test_what_lies_outside_the_folder_or_makes_no_sense_is_not_looked_for(tmp_path: Path) -> None:
    (tmp_path / "list").mkdir()
    (tmp_path / "prep.py").touch()
    nonsense = ("../prep.py", str(tmp_path / "prep.py"), "", ".", "/", "\0", "\ud800", "x" * 5000, 3, None, [], [3], {"a": 1})
    assert _beside(tmp_path / "list", *nonsense) == []


def test_other_documents_have_no_such_requirements(tmp_path: Path) -> None:
    (tmp_path / "prep.py").touch()
    for document in (
        None,
        {"tasks": [{"requires": ["prep.py"]}]},
        [],
        ["prep.py"],
        [[{"requires": "prep.py"}]],
        [{"requires": 3}],
    ):
        assert lying_beside(tmp_path, document) == []
