"""What the documentation says exists: its commands, its links, its example, its pages."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

import admin

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
#: A program of ours in a page's code, and the words after it.
PROGRAM = re.compile(r"(?:^|[ `])((?:\./)?(?:admin\.py|push_tasks\.py|scripts/\w+))((?: +[^\s`#|]+)*)", re.MULTILINE)


def said(page: Path) -> list[tuple[str, list[str]]]:
    """``(program, words after it)`` for each command in a page's code."""
    code = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL) + re.findall(r"`([^`\n]+)`", page.read_text())
    return [(found[1].removeprefix("./"), found[2].split()) for text in code for found in PROGRAM.finditer(text)]


@cache
def help_of(program: str, *words: str) -> str:
    """What a program says about itself."""
    start = [sys.executable] if program.endswith(".py") else []
    wide = os.environ | {"COLUMNS": "200", "TERM": "dumb"}
    if program == "admin.py":  # dozens of commands: without a process for each
        told = CliRunner(env=wide).invoke(admin.app, [*words, "--help"])
        assert told.exit_code == 0, told.output
        return told.output
    command = [*start, str(ROOT / program), *words, "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=wide)
    return shown.stdout + shown.stderr


def title(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_commands_and_their_options_exist(page: Path) -> None:
    for program, words in said(page):
        assert (ROOT / program).exists(), program
        command = words[:1] if program == "admin.py" and words and re.fullmatch(r"[a-z_]+", words[0]) else []
        known = help_of(program, *command)
        for option in (word.split("=")[0] for word in words if word.startswith("--")):
            assert option in known, f"{program} {' '.join(words)}"


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = [page.name for page in (ROOT / "docs").glob("*.md") if page.name != "README.md"]
    assert [page for page in pages if f"({page})" not in index] == []


def test_the_files_of_a_back_up_have_one_place_in_all_pages_and_no_command_needs_the_state_folders_variable() -> None:
    pages = "".join(page.read_text() for page in PAGES if page.name != "CHANGELOG.md")
    assert set(re.findall(r"/backups/(\w[\w-]*)", pages)) == {"datastore"}
    assert not re.search(r"\$ECLOUD_STATE/", "".join(re.findall(r"```sh\n(.*?)```", pages, re.DOTALL)))


def test_task_file_of_the_readme_is_the_example() -> None:
    [shown] = re.findall(r"```json\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown == (ROOT / "examples" / "hello.json").read_text()


def test_make_help_names_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert targets == set(re.findall(r"^([a-z]+):.*## \w+", makefile, re.MULTILINE))
