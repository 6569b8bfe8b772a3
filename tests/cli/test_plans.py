"""push_tasks.py --plan and admin.py why VM: what a file would take, and why a VM is up."""

from pathlib import Path

from tests.api.rig import Rig
from tests.cli.shell import Shell

TWO = {"tasks": [{"id": "a", "command": "true", "runtime": "10m"}, {"id": "b", "command": "true", "after": ["a"], "runtime": 60}]}


def test_a_plan_tells_time_and_cost_and_pushes_nothing(rig: Rig, shell: Shell) -> None:
    said = shell.push(TWO, "--plan")
    assert "2 tasks, 11 min of work, the longest chain 11 min" in said.out
    assert "run times: 2 tasks as the file says" in said.out
    assert "haste  makespan  VM hours" in said.out
    assert rig.get("/jobs") == []


def test_a_deadline_or_budget_that_cannot_be_kept_ends_with_1(shell: Shell) -> None:
    assert "within 1 h: haste 0, 11 min" in shell.push(TWO, "--plan", "--deadline", "1h").out
    assert "within 1 min: not possible; the soonest is 11 min" in shell.push(TWO, "--plan", "--deadline", "60", code=1).out
    assert "not possible" in shell.push(TWO, "--plan", "--budget", "0.01", code=1).out


def test_a_plan_is_drawn(shell: Shell, tmp_path: Path) -> None:
    shell.push(TWO, "--plan", "--plot", str(tmp_path / "p.png"))
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_wrong_with_a_file_is_told_as_a_push_tells_it(shell: Shell) -> None:
    said = shell.push({"tasks": [{"id": "a", "command": "true", "runtime": -1}]}, "--plan", code=2)
    assert "x.json: tasks[0] 'a': runtime: must be seconds (greater than 0)" in said.err
    assert "go with --plan" in shell.push(TWO, "--deadline", "1h", code=2).err
    assert "--deadline 'soon' is no time such as" in shell.push(TWO, "--plan", "--deadline", "soon", code=2).err


def test_why_of_a_vm_says_why_it_is_up(rig: Rig, shell: Shell) -> None:
    rig.push({"a": "hold"})
    rig.until(lambda rig: rig.states() == {"a": "running"})
    told = rig.get("/why", target="local-1")
    assert (told["job"], told["id"], told["state"]) == ("", "local-1", "joined")
    assert "holds 1 task(s)" in told["why"][0]
    assert told["why"][1] == "Why it was asked for: 1 ready task(s) have no room."
    assert "local-1 is joined." in shell.admin("why", "local-1").out
