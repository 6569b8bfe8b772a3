"""Every setting is documented, and the example file says what is true."""

import re
import tomllib
from pathlib import Path

import pytest

import settings
from boss.core.model import Policy

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "ecloud.toml.example").read_text()


def uncommented() -> str:
    """The example with every setting in force."""
    return re.sub(r"^# (?=\[[a-z\[\].]+$|[a-z_]+ = )", "", EXAMPLE, flags=re.MULTILINE)


def keys(document: dict[str, object], above: str = "") -> set[str]:
    """The dotted names in a TOML document, as ``settings.rows`` writes them."""
    found = set()
    for name, value in document.items():
        dotted = re.sub(r"^(pools|notify\.targets)\.[^.]+", r"\1.<name>", f"{above}{name}")
        leaf = not isinstance(value, dict) or dotted.endswith((".limits", ".resources", ".metadata", ".head_room", ".people"))
        if isinstance(value, list) and value and isinstance(value[0], dict):
            found |= {dotted} | keys(value[0], f"{dotted}[].")
        elif leaf:
            found.add(dotted)
        else:
            assert isinstance(value, dict)
            found |= keys(value, f"{dotted}.")
    return found


def test_the_table_in_the_documentation_is_the_one_that_the_settings_print() -> None:
    written = (ROOT / "docs" / "settings.md").read_text()
    assert settings.table() in written, "put the output of `python settings.py` into docs/settings.md"


def test_the_example_has_every_setting_and_no_other() -> None:
    assert keys(tomllib.loads(uncommented())) == {row.name for row in settings.rows()}


def test_the_example_can_be_used_as_it_is_and_with_everything_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ecloud.toml"
    monkeypatch.setenv("ECLOUD_CONFIG", str(path))
    path.write_text("")
    nothing = settings.load()[0].model_dump()
    path.write_text(EXAMPLE)
    assert settings.load()[0].model_dump() == nothing
    path.write_text(uncommented())
    settings.load()


def test_the_example_shows_the_defaults() -> None:
    shown = tomllib.loads(uncommented())
    for section in ("limits", "policy", "workers"):
        model = settings.Settings.model_fields[section].annotation
        assert isinstance(model, type) and issubclass(model, settings.Section)
        assert model.model_validate(shown[section]) == model(), section


def test_every_setting_of_the_policy_is_a_number_of_the_core_and_the_other_way_round() -> None:
    numbers = {name for name in Policy.__dataclass_fields__ if name not in ("pools", "zone")}
    assert set(settings.PolicySettings.model_fields) == numbers


def test_every_setting_has_a_sentence() -> None:
    rows = list(settings.rows())
    assert all(row.meaning.endswith(".") for row in rows)
    assert len({row.name for row in rows}) == len(rows) > 30
