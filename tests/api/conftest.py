"""A rig for every test, around one intake for all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.adapters.intake import Intake
from tests.api.rig import Rig


@pytest.fixture(scope="session")
def intake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Intake]:
    """The real intake, its child kept warm."""
    made = Intake(tmp_path_factory.mktemp("intake"), max_bytes=1 << 20)
    yield made
    made.close()


@pytest.fixture
def rig(tmp_path: Path, intake: Intake) -> Iterator[Rig]:
    """A boss whose API is served on a free port."""
    with Rig(tmp_path, intake) as made:
        yield made
