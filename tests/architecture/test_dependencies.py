"""Every package that is installed has a reason in docs/dependencies.md, and nothing else has one there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [ROOT / "worker" / "requirements.txt", ROOT / "requirements.txt", ROOT / "tests" / "requirements.txt"]
#: Packages of Debian that scripts/setup may install, ``python3-venv`` by its versioned name.
DEBIAN = re.compile(r"\b(mosquitto|openssh-client|openssh-server|mariadb-server|python3-venv|cloud-init|chromium)\b")


def pinned(file: Path) -> dict[str, str]:
    """``{package: version}`` of one requirements file."""
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith(("#", "-r "))]
    assert all("==" in line for line in lines), f"{file} pins every package"
    return dict(line.split("==") for line in lines)


def explained() -> list[str]:
    """The packages of the tables in docs/dependencies.md."""
    return re.findall(r"^\| `([^`]+)` \| \S", (ROOT / "docs" / "dependencies.md").read_text(), re.MULTILINE)


def test_every_package_is_explained_once_and_no_other_is() -> None:
    python = [package for file in FILES for package in pinned(file)]
    debian = set(DEBIAN.findall((ROOT / "scripts" / "setup").read_text()))
    assert sorted(explained()) == sorted([*python, *debian])


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_packages_are_pinned_to_one_version(file: Path) -> None:
    assert all(re.fullmatch(r"\d+(\.\d+)+(\.post\d+)?", version) for version in pinned(file).values())
