"""SHA256SUMS: one line a path, found without reading it all, whole at any moment."""

import subprocess
from pathlib import Path

import pytest

from datastore import manifest
from datastore.manifest import FEW, Manifest, known
from datastore.tree import Tree
from tests.datastore.host import sha256

A, B = sha256(b"a"), sha256(b"b")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A datastore's folder with one empty job."""
    (tmp_path / "jobs/j").mkdir(parents=True)
    return Tree(str(tmp_path))


def lines(tree: Tree) -> list[str]:
    return (Path(tree.path) / "jobs/j/SHA256SUMS").read_text().splitlines()


def test_new_paths_are_appended_and_known_ones_are_left(tree: Tree) -> None:
    sums = Manifest(tree, "j")
    sums.add({"x": A})
    first = tree.look("jobs/j/SHA256SUMS")
    sums.add({"x": A, "y": B})
    sums.add({"x": A, "y": B})
    assert lines(tree) == [f"{A}  x", f"{B}  y"]
    second = tree.look("jobs/j/SHA256SUMS")
    assert first and second
    assert first.st_ino == second.st_ino


def test_a_changed_digest_replaces_its_line(tree: Tree) -> None:
    sums = Manifest(tree, "j")
    sums.add({"x": A, "y": A})
    sums.add({"x": B})
    assert lines(tree) == [f"{B}  x", f"{A}  y"]


def test_what_another_session_wrote_is_seen(tree: Tree) -> None:
    one, other = Manifest(tree, "j"), Manifest(tree, "j")
    one.add({"x": A})
    other.add({"y": A})
    one.add({"y": B})
    assert dict(other.digests()) == {"x": A, "y": B}
    assert len(lines(tree)) == 2


@pytest.mark.parametrize("extra", [0, FEW + 1])
def test_single_paths_are_found_among_those_that_look_alike(tree: Tree, extra: int) -> None:
    entries = {"b": A, "a  b": B, "x/b": B, "back\\slash": A, "slash": B, "ü": A, "end": B}
    Manifest(tree, "j").add(entries)
    wanted = ["b", "back\\slash", "ü", "end", "none", *(f"none{n}" for n in range(extra))]
    assert known(tree, "j", wanted) == {"b": A, "back\\slash": A, "ü": A, "end": B}


def test_a_job_without_a_manifest_knows_nothing(tree: Tree) -> None:
    assert known(tree, "j", ["x"]) == {}
    assert dict(Manifest(tree, "j").digests()) == {}
    (Path(tree.path) / "jobs/j/SHA256SUMS").write_text("")
    assert known(tree, "j", ["x"]) == {}


def test_sha256sum_reads_names_with_backslashes(tree: Tree) -> None:
    folder = Path(tree.path) / "jobs/j"
    (folder / "back\\slash").write_bytes(b"a")
    Manifest(tree, "j").add({"back\\slash": A})
    assert subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True).returncode == 0
    assert manifest.read(tree, "jobs/j/SHA256SUMS") == {"back\\slash": A}
