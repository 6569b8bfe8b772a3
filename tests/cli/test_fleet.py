"""Shutting the fleet down, opening it, and looking for what nobody owns, from the command line."""

from boss.ports import HostRefused, Thing
from tests.api.rig import Rig
from tests.cli.shell import Shell


def test_a_shutdown_waits_until_nothing_is_left_and_says_so(rig: Rig, shell: Shell) -> None:
    shell.admin("instantiate_worker", "2")
    said = shell.admin("shutdown", "--now")
    assert "nothing is left" in said.err + said.out and "until `admin.py open`" in said.err
    assert rig.get("/vms") == []
    shell.admin("instantiate_worker", code=1)
    assert "VMs come again" in shell.admin("open").out
    shell.admin("instantiate_worker")


def test_a_shutdown_that_leaves_something_behind_ends_with_1(rig: Rig, shell: Shell) -> None:
    rig.cloud.lost.append(Thing("local", "volume", "v1", "a disk", "local-77", "in-use"))
    said = shell.admin("shutdown", "--now", code=1)
    assert "a disk" in said.out and "nobody" in said.out


def test_what_has_no_owner_is_named_and_removed_on_demand(rig: Rig, shell: Shell) -> None:
    rig.cloud.lost += [
        Thing("local", "server", name, name, name, status) for name, status in (("x-1", "ACTIVE"), ("x-2", "stuck"))
    ]
    said = shell.admin("vm_leaks", code=1)
    assert "x-1" in said.out and "--delete" in said.err
    said = shell.admin("vm_leaks", "--delete", code=1)
    assert "removed" in said.out and "x-2 cannot be removed" in said.out
    rig.cloud.lost.clear()
    shell.admin("vm_leaks")


def test_what_a_host_has_said_moves_no_cursor(rig: Rig, shell: Shell) -> None:
    def refused(_login: str) -> dict[str, float]:
        raise HostRefused("x: \x1b]0;title\x07 \u202e\nforged")

    object.__setattr__(rig.facts, "probe_host", refused)
    assert "x: \\x1b]0;title\\x07 \\u202e forged" in shell.admin("add_host", "x", code=1).err
