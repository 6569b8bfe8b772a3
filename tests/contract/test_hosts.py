"""Looking into a worker's VM over SSH: a private sshd stands for the VM's own."""

import getpass
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.adapters.hosts import Hosts
from boss.adapters.keys import public_line, ssh_key
from boss.ports import MachineDown
from tests.servers import shell_sshd


class Vm:
    """An sshd that lets one key in, and a worker's folder with a ``debug.sh``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "vm"
        self.folder.mkdir()
        self.authorized = self.folder / "authorized_keys"
        self.host_key = public_line(ssh_key(self.folder / "host_key"))
        self.daemon = shell_sshd(self.folder, self.folder / "host_key", self.authorized)
        self.hosts = Hosts(folder / "hosts", folder / "vm_key", {"cloud": str(self.folder)})
        self.authorized.write_text(f"restrict {self.hosts.public_key}\n")
        self.authorized.chmod(0o600)
        self.says("echo it stands; echo 'and says so' >&2; exit 3")

    def says(self, script: str) -> None:
        (self.folder / "debug.sh").write_text(script)

    def start(self) -> None:
        self.daemon.start()
        self.hosts = Hosts(
            self.folder.parent / "hosts",
            self.folder.parent / "vm_key",
            {"cloud": str(self.folder)},
            getpass.getuser(),
            self.daemon.port,
            "",
        )


@pytest.fixture
def vm(tmp_path: Path) -> Iterator[Vm]:
    vm = Vm(tmp_path)
    vm.start()
    yield vm
    vm.daemon.stop()


def test_debug_sh_is_run_there_and_its_lines_and_exit_code_come_back(vm: Vm) -> None:
    vm.hosts.remember("cloud-1", "127.0.0.1", vm.host_key)
    assert list(vm.hosts.debug("cloud-1", "cloud")) == ["it stands", "and says so", "exit code 3"]


def test_a_host_with_another_key_is_not_talked_to(vm: Vm, tmp_path: Path) -> None:
    vm.hosts.remember("cloud-1", "127.0.0.1", public_line(ssh_key(tmp_path / "other")))
    with pytest.raises(MachineDown, match="has another host key than the VM has said"):
        vm.hosts.debug("cloud-1", "cloud")


def console(*keys: str) -> str:
    """What cloud-init writes to a console for each of these sets of keys."""
    block = (
        "[   25.1] cloud-init[612]: -----BEGIN SSH HOST KEY KEYS-----\r\necdsa-sha2-nistp256 AAAAE2Vj root@vm\r\n{} root@vm\r\n"
    )
    return "boot\r\n" + "".join(block.format(key) + "-----END SSH HOST KEY KEYS-----\r\n" for key in keys) + "login: "


def test_a_vm_that_never_joined_is_known_by_the_key_on_its_console(vm: Vm, tmp_path: Path) -> None:
    old = public_line(ssh_key(tmp_path / "other"))
    text = console(old, vm.host_key)  # of its first boot and of this one
    assert list(vm.hosts.debug("cloud-9", "cloud", "127.0.0.1", lambda: text))[-1] == "exit code 3"
    with pytest.raises(MachineDown, match="has another host key than the VM has said"):
        vm.hosts.debug("cloud-9", "cloud", "127.0.0.1", lambda: console(vm.host_key, old))


@pytest.mark.parametrize("text", ["", "-----BEGIN SSH HOST KEY KEYS-----\nssh-ed25519 AAAA", "ssh-ed25519 " + "A" * 68])
def test_a_console_without_a_key_is_no_reason_to_trust_anybody(vm: Vm, text: str) -> None:
    with pytest.raises(MachineDown, match=r"its console does not show the key \(yet\)"):
        vm.hosts.debug("cloud-9", "cloud", "127.0.0.1", lambda: text)


def test_the_console_is_not_asked_for_one_that_has_joined(vm: Vm) -> None:
    vm.hosts.remember("cloud-1", "127.0.0.1", vm.host_key)
    assert list(vm.hosts.debug("cloud-1", "cloud", "", lambda: pytest.fail("asked")))[-1] == "exit code 3"


def test_a_vm_that_does_not_let_the_boss_in_is_told_so(vm: Vm) -> None:
    vm.hosts.remember("cloud-1", "127.0.0.1", vm.host_key)
    vm.authorized.write_text("")
    with pytest.raises(MachineDown, match="does not let the boss's key in"):
        vm.hosts.debug("cloud-1", "cloud")


@pytest.mark.parametrize(("worker", "pool", "why"), [
    ("cloud-2", "cloud", "has not said its SSH host key"),
    ("../pki/ca", "cloud", "has not said its SSH host key"),
    ("cloud-1", "scripted", "gives the boss no log-in"),
])  # fmt: skip
def test_a_vm_that_nobody_knows_is_one_clear_error(vm: Vm, worker: str, pool: str, why: str) -> None:
    vm.hosts.remember("cloud-1", "127.0.0.1", vm.host_key)
    with pytest.raises(MachineDown, match=why):
        vm.hosts.debug(worker, pool)


def test_a_vm_that_does_not_answer_is_told_with_what_to_look_at(vm: Vm) -> None:
    vm.hosts.remember("cloud-1", "127.0.0.1", vm.host_key)
    vm.daemon.stop()
    with pytest.raises(MachineDown, match=r"is not reached: .*security group"):
        vm.hosts.debug("cloud-1", "cloud")


def test_keys_are_private_and_a_worker_whose_name_is_a_path_is_not_kept(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path / "hosts", tmp_path / "vm_key", {})
    hosts.remember("../escape", "127.0.0.1", "ssh-ed25519 AAAA")
    assert not (tmp_path / "escape.json").exists() and not (tmp_path / "hosts").exists()
    assert (tmp_path / "vm_key").stat().st_mode & 0o777 == 0o600
    assert subprocess.run(["ssh-keygen", "-lf", tmp_path / "vm_key.pub"], capture_output=True).returncode == 0
