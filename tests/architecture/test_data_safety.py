"""Every answer of docs/data-safety.md names the test that proves it, and every test that it names exists."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "data-safety.md").read_text()


def test_every_named_test_exists() -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    defined = set(re.findall(r"^ *(?:async )?def (test_\w+)", text, re.MULTILINE))
    named = re.findall(r"`(test_\w+)`", PAGE)
    assert len(named) > 30
    assert [name for name in named if name not in defined] == []


def test_every_answer_names_a_test() -> None:
    answers = re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]
    assert len(answers) >= 15
    assert [answer.splitlines()[0] for answer in answers if "`test_" not in answer] == []
