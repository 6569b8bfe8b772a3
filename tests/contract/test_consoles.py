"""The consoles of servers that never became workers are kept for whoever asks."""

from pathlib import Path

from boss.adapters import consoles
from boss.adapters.consoles import Consoles


def test_what_was_kept_is_read_again_and_nothing_else_is(tmp_path: Path) -> None:
    kept = Consoles(tmp_path / "consoles")
    assert kept.read("cloud-1") == ""
    kept.keep("cloud-1", "kernel panic")
    assert kept.read("cloud-1") == "kernel panic"
    (tmp_path / "secret.log").write_text("x")
    assert kept.read("../secret") == ""
    assert (tmp_path / "consoles" / "cloud-1.log").stat().st_mode & 0o777 == 0o600


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    kept = Consoles(tmp_path)
    for number in range(consoles.KEPT + 3):
        kept.keep(f"cloud-{number}", "x")
    assert len(list(tmp_path.iterdir())) == consoles.KEPT
