"""``notify_test``: what an admin sees of a message that arrives, and of one that does not."""

from collections.abc import Sequence
from pathlib import Path

from boss.adapters.intake import Intake
from boss.notices.delivery import Tried, UnknownTarget
from tests.api.rig import Rig
from tests.cli.shell import Shell
from tests.servers import eventually


def told(target: str, caller: str) -> Sequence[Tried]:
    """Two targets, one of which does not answer."""
    found = [Tried("ops", "", True, "taken"), Tried("people", f"{caller}@example.org", False, "the mail server says 451 later")]
    chosen = [one for one in found if target in ("", one.target)]
    if not chosen:
        raise UnknownTarget(target)
    return chosen


def test_each_receiver_is_a_line_and_one_that_took_nothing_ends_with_1(tmp_path: Path, intake: Intake) -> None:
    with Rig(tmp_path, intake, notify_test=told) as rig:
        shell = Shell(rig, tmp_path)
        said = shell.admin("notify_test", code=1)
        assert [line.split()[:2] for line in said.out.splitlines()[1:]] == [["ops", "webhook"], ["people", "root@example.org"]]
        assert "NOT SENT" in said.out and "451 later" in said.out
        shell.admin("notify_test", "ops")
        assert shell.look("notify_test", "ops") == [{"target": "ops", "to": "", "sent": True, "said": "taken"}]
        refused = shell.admin("notify_test", "nobody", code=2)
        assert "[notify.targets.nobody]" in refused.err and refused.err.count("\n") == 1
        eventually(lambda: [one["code"] for one in shell.look("audit") if one["verb"] == "notify_test"] == [200, 200, 200, 404])


def test_without_targets_it_says_where_they_are_written(rig: Rig, shell: Shell) -> None:
    said = shell.admin("notify_test", code=1)
    assert said.out == "" and "docs/notifications.md" in said.err
    assert "[notify.targets.nobody]" in shell.admin("notify_test", "nobody", code=2).err
