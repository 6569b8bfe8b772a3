"""Watching while the boss is away, and what comes last."""

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from client import BossUnreachable, Client
from client.commands import watching
from tests.api.rig import Rig
from tests.cli.shell import Shell


class Away:
    """A boss that does not answer so many times, after the first answer."""

    def __init__(self, ask: Callable[..., Any], times: int) -> None:
        self._ask, self._left, self._asked = ask, times, False

    def __call__(self, *words: Any, **options: Any) -> Any:
        if self._asked and self._left:
            self._left -= 1
            raise BossUnreachable("nobody there")
        self._asked = True
        return self._ask(*words, **options)


@pytest.fixture
def told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines that a watcher through a pipe is told."""
    lines: list[str] = []
    for name, value in shell.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(watching, "say", lines.append)
    monkeypatch.setattr(watching, "LOOK", 0.01)
    return lines


def test_a_boss_that_is_started_again_is_waited_for_and_that_is_said_once(rig: Rig, shell: Shell, told: list[str]) -> None:
    rig.push({"a": "hold"})
    rig.until(lambda rig: rig.states() == {"a": "running"})
    ended = iter([False, True])
    with Client() as client, mock.patch.object(client, "status", Away(client.status, 5)):
        watching.Watch(client, "job", watching.Display(lambda seen: None, told.append, live=False)).until(lambda _: next(ended))
    assert told.count("the boss does not answer; it is asked again") == 1
    assert sum(line.startswith("the boss answers again, after ") for line in told) == 1


def test_a_boss_that_stays_away_ends_the_watching(
    rig: Rig, shell: Shell, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.push({"a": "hold"})
    monkeypatch.setattr(watching, "AWAY", 0.05)
    with Client() as client, mock.patch.object(client, "status", Away(client.status, 10**9)), pytest.raises(BossUnreachable):
        watching.watch_job(client, "job")


def test_the_last_line_is_the_command_that_comes_next(rig: Rig, shell: Shell) -> None:
    rig.push({"a": "true"})
    assert shell.admin("status", "job", "--watch").err.splitlines()[-1].startswith("next: ./admin.py fetch job (its results)")
    rig.push({"b": "hold"}, name="gone")
    rig.post("/cancel", {"targets": ["gone"]})
    said = shell.admin("status", "gone", "--watch", code=1).err.splitlines()
    assert said[-1] == "next: ./admin.py retry_failed 'gone:*' (runs what was cancelled)"


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(rig: Rig, shell: Shell) -> None:
    rig.push({"a": "true"})
    shell.environment["TERM"] = "dumb"
    said = shell.on_terminal("admin.py", "status", "job", "--watch")
    assert "\x1b" not in said.out and "job succeeded: 1 succeeded" in said.out
    assert said.code == 0
