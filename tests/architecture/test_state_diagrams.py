"""docs/states.md shows the tables as they are."""

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_diagrams_are_those_of_the_tables() -> None:
    drawn = runpy.run_path(str(ROOT / "scripts" / "draw_states"))["document"]()
    assert (ROOT / "docs" / "states.md").read_text() == drawn, "run scripts/draw_states"
