"""Command lines against the rig of the API's tests, as processes of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.conftest import intake, rig
from tests.api.rig import Rig
from tests.cli.shell import Shell

__all__ = ["intake", "rig"]


@pytest.fixture
def shell(rig: Rig, tmp_path: Path) -> Iterator[Shell]:
    """A shell whose ECLOUD_API_URL and ECLOUD_TOKEN are the rig's."""
    folder = tmp_path / "home"
    folder.mkdir()
    yield Shell(rig, folder)
