"""Every line of docs/threat-model.md names the test that tries it, and every test that it names exists."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()


def test_every_named_test_exists() -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    defined = set(re.findall(r"^ *(?:async )?def (test_\w+)", text, re.MULTILINE))
    named = re.findall(r"`(test_\w+)`", PAGE)
    assert len(named) > 40
    assert [name for name in named if name not in defined] == []


def test_every_line_of_what_a_credential_opens_names_a_test() -> None:
    sections = [section for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:] if not section.startswith("A task")]
    lines = [line for section in sections for line in section.splitlines() if line.startswith("| ")]
    told = [line for line in lines if not re.match(r"\| (---|can|cannot|token|whoever)( |$)", line)]
    assert len(told) > 30
    assert [line for line in told if "`test_" not in line] == []
