"""What the tests of back-up and restore share: the admin who runs them, and what a boss that has worked leaves."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boss import doctor
from boss.adapters import dump
from boss.adapters.certificates import Authority
from boss.adapters.migrations import MIGRATIONS
from boss.adapters.store import Store
from boss.core.model import TaskState
from tests import builders

S = TaskState
#: What no database may change: letters of every kind, NUL, quotes, what looks like a mark of SQL.
ODD = "ä€𝄞\0 '\" ? %s \\ \r\n\t"


class Admin:
    """Runs ``python -m boss ...`` on a state folder and a database; ``said`` is what it printed last."""

    def __init__(self, folder: Path, url: str, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.state = folder
        self.url = url
        self._patch = patch
        self._capsys = capsys
        self.said = ""

    def run(self, *words: str, code: int = 0) -> str:
        self._patch.setenv("ECLOUD_STATE", str(self.state))
        self._patch.setenv("ECLOUD_DATABASE_URL", self.url)
        self._capsys.readouterr()
        ended = doctor.run(words)
        out, err = self._capsys.readouterr()
        assert ended == code, out + err
        self.said = out + err
        if code:
            assert len(err.strip().splitlines()) == 1, err
        return self.said


Place = Callable[..., Admin]


def live(admin: Admin, jobs: int = 1, cluster: str = "c0ffee00") -> None:
    """What a boss that has worked leaves: keys, jobs with tasks in many states, attempts, a worker, a VM, facts."""
    admin.state.mkdir(mode=0o700, exist_ok=True)
    Authority(admin.state / "pki")
    (admin.state / "pki" / "gate_secret").write_text("ab" * 32)
    (admin.state / "api.json").write_text('{"url": "http://127.0.0.1:1", "token": "t"}')
    store = Store(admin.url, cluster)
    store.open()
    store.load()
    made = []
    for number in range(jobs):
        job = builders.chain(f"u{number}", "a", "b", "ü/ç", reason=ODD)
        builders.attempt(job.tasks[0], task_state=S.SUCCEEDED, state="succeeded", stdout=ODD, files=(("a.txt", 3, "ab" * 32),))
        builders.attempt(job.tasks[1], task_state=S.RUNNING, state="running")
        made.append(builders.link(job))
    changes = builders.pushed(*made)
    changes.new_workers["local-1"] = builders.worker()
    changes.new_vms["local-1"] = builders.vm()
    changes.context["vm_number"] = "7"
    store.commit(changes)
    store.close()


def content(url: str) -> dict[str, list[Any]]:
    """Every row of every table; without the facts that a restore changes on purpose."""
    with dump.opened(url) as db:
        names = sorted(table.name for table in dump.tables_of(len(MIGRATIONS)))
        rows = {name: sorted(db.select(f"SELECT * FROM {name}"), key=repr) for name in names}
    changed = {"epoch", "vm_number", "restored_until", "attempt_floor"}
    rows["context"] = [row for row in rows["context"] if row[0] not in changed]
    return rows


def facts(url: str) -> dict[str, str]:
    with dump.opened(url) as db:
        return dict(db.select("SELECT name, value FROM context"))


def inventory(folder: Path) -> dict[str, str]:
    """Every file below a folder with its sha256."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
