"""What a chaos run does to its database ends with the fault, whatever else has happened to the servers meanwhile."""

from pathlib import Path

import pytest

from chaos.databases import Databases


class Server:
    """One that takes statements, unless it is away."""

    def __init__(self) -> None:
        self.away = self.readonly = False

    def execute(self, sql: str) -> None:
        if self.away:
            raise OSError("there is no socket")
        self.readonly = {"SET GLOBAL read_only = ON": True, "SET GLOBAL read_only = OFF": False}[sql]


@pytest.fixture
def servers(tmp_path: Path) -> tuple[Databases, list[Server]]:
    databases, nodes = Databases("galera", tmp_path), [Server() for _ in range(3)]
    databases._nodes = list(nodes)  # type: ignore[arg-type]
    return databases, nodes


@pytest.mark.parametrize("away", range(3))
def test_a_cluster_of_which_one_server_is_away_is_not_held_at_all(servers: tuple[Databases, list[Server]], away: int) -> None:
    databases, nodes = servers
    nodes[away].away = True
    assert not databases.hold(True)
    assert not any(node.readonly for node in nodes)


@pytest.mark.parametrize("away", range(3))
def test_a_hold_ends_on_all_servers_that_are_there(servers: tuple[Databases, list[Server]], away: int) -> None:
    databases, nodes = servers
    assert databases.hold(True)
    assert all(node.readonly for node in nodes)
    nodes[away].away = True
    databases.hold(False)
    assert [node.readonly for node in nodes] == [number == away for number in range(3)]
