"""``show_pools`` and ``set_pool`` against a running boss."""

from tests.api.rig import Rig
from tests.cli.shell import Shell


def test_a_pool_is_changed_shown_and_given_back_to_the_settings(rig: Rig, shell: Shell) -> None:
    rig.until(lambda rig: rig.get("/pools"))
    said = shell.run("admin.py", "set_pool", "local", "--minimum", "1", "--maximum", "2", "--pause")
    assert said.out == "local: 1 to 2 VMs, paused\n"
    rig.until(lambda rig: rig.get("/pools")[0]["paused"])
    assert "paused" in shell.run("admin.py", "show_pools").out
    assert shell.run("admin.py", "set_pool", "local", "--resume").out == "local: 1 to 2 VMs\n"
    before = rig.get("/pools")[0]
    said = shell.run("admin.py", "set_pool", "local", "--as-settings")
    assert said.out == f"local: {before['given_minimum']} to {before['given_maximum']} VMs\n"


def test_a_wish_that_is_none_or_two_is_refused(rig: Rig, shell: Shell) -> None:
    for words in ((), ("--pause", "--resume"), ("--as-settings", "--maximum", "3")):
        assert shell.run("admin.py", "set_pool", "local", *words).code == 2
    assert shell.run("admin.py", "set_pool", "lcoal", "--maximum", "3").code == 2
