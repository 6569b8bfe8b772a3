"""Fixtures that every test may use: private servers on free ports. What is slowest begins first."""

import os
import signal

import pytest

pytest_plugins = ("tests.servers", "tests.mariadb", "tests.datastore.host")

#: Folders whose tests wait for whole systems: begun first, so that none of them is left for the end.
SLOWEST = "tests/e2e/"


def pytest_configure(config: pytest.Config) -> None:
    """Ctrl-C and Ctrl-\\ mean something to what the tests start, even where a shell has started the tests in the background."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Each test begins in the project's folder: whoever starts programs by ``-m`` counts on it, and a worker's executor leaves it."""
    os.chdir(item.config.rootpath)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the order, with the slowest folder first."""
    items.sort(key=lambda item: not item.nodeid.startswith(SLOWEST))
