"""A rig with the page, around one intake for all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.adapters.intake import Intake
from tests.page.house import PageRig


@pytest.fixture(scope="session")
def intake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Intake]:
    """The real intake, its child kept warm."""
    made = Intake(tmp_path_factory.mktemp("intake"), max_bytes=64 << 20)
    yield made
    made.close()


@pytest.fixture
def rig(tmp_path: Path, intake: Intake) -> Iterator[PageRig]:
    """A boss whose page is served on a free port."""
    with PageRig(tmp_path, intake) as made:
        yield made
