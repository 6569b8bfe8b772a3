"""The three templates, booted for real: Debian in QEMU, cloud-init and all. Slow: a guest takes one to three minutes to boot."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest

from tests.e2e.deployment import ROOT, Deployment, deployed, until

pytestmark = [pytest.mark.openstack, pytest.mark.qemu, pytest.mark.timeout(5400)]

POOL = """
[pools.cloud]
provider = "openstack"
cloud = "lab"
image = "debian"
networks = "lab-net"
security_groups = "lab-sg"
flavors = ["lab.1"]
availability_zones = ["real"]
config_drive = true
boot_timeout = 900
"""
VMS = """
[vms]
boss_address = "{net}.1"
"""
#: The boss on a guest has no way to the lab's APIs: its workers are its own processes.
LOCAL = """
[pools.local]
flavors = [{name = "one", resources = {cpus = 1, memory = "100M"}}]
"""
LAB = Path(os.environ.get("LAB_DIR", "/tmp/ecloud-lab"))
#: How a log-in on a deployed boss runs its commands.
HOUSE = "cd /data/ecloud/house && ECLOUD_STATE=/data/ecloud/state ECLOUD_CONFIG=/data/ecloud/ecloud.toml"


@pytest.fixture
def boss(tmp_path: Path) -> Iterator[Deployment]:
    """A boss on this machine, whose VMs are QEMU guests."""
    settings = tmp_path / "ecloud.toml"
    settings.write_text(POOL + VMS.format(net=os.environ["LAB_NET"]))
    with deployed(tmp_path, ECLOUD_CONFIG=str(settings)) as boss:
        yield boss


def test_a_worker_boots_from_its_template_joins_runs_a_task_as_another_user_and_leaves_nothing(boss: Deployment) -> None:
    ran = boss.run("admin.py", "doctor", "--boot", "--json", timeout=1500)
    told = json.loads(ran.stdout)
    assert ran.returncode == 0 and told["worked"] and told["left"] == [], (told, ran.stderr)
    assert set(told["steps"]) == set(told["order"])
    boss.admin("fetch", told["job"])
    lines = (boss.folder / told["job"] / "trial.txt").read_text().splitlines()
    assert lines[0].endswith("-cloud-1") and lines[1].startswith("Linux") and lines[3] == "ecloud-task-1"
    assert boss.look("vm_leaks")["things"] == []
    [reach] = [one for one in json.loads(boss.run("admin.py", "doctor", "--json").stdout) if one["check"] == "reach"]
    assert reach["verdict"] == "ok" and "cloud-1 was there" in reach["detail"]


class Deployed:
    """Two servers that ``deploy servers`` has made."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.settings = folder / "ecloud.toml"
        self.settings.write_text(POOL + LOCAL)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ECLOUD_")},
            "ECLOUD_STATE": str(folder / "state"),
            "ECLOUD_CONFIG": str(self.settings),
        }

    def deploy(self) -> str:
        """Run the command; what it prints."""
        words = ["--name", self.name, "--ssh-key", str(LAB / "lab_key.pub"), "--wheels", str(LAB / "wheels")]
        ran = subprocess.run(
            [sys.executable, "admin.py", "deploy", *words, "--volume", "1"],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=5000,
        )
        assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def address(self, kind: str) -> str:
        lines = (self.folder / "state" / "deploy" / "known_hosts").read_text().splitlines()
        hosts = list(dict.fromkeys(line.split()[0] for line in lines))
        return hosts[("datastore", "boss").index(kind)]

    def ssh(self, kind: str, command: str, given: str = "") -> str:
        """Run a command on one of them, as its user ``ecloud``."""
        known = self.folder / "state" / "deploy" / "known_hosts"
        options = ["-i", str(LAB / "lab_key"), "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes"]
        ran = subprocess.run(
            ["ssh", "-T", *options, f"ecloud@{self.address(kind)}", command],
            input=given,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ran.returncode == 0, (command, ran.stdout, ran.stderr)
        return ran.stdout

    def admin(self, *words: str) -> Any:
        """An admin command on the boss's server, as JSON."""
        return json.loads(self.ssh("boss", f"{HOUSE} .venv/bin/python admin.py {shlex.join(words)} --json"))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Deployed]:
    house = Deployed(tmp_path, f"t{os.getpid()}")
    yield house
    compute = openstack.connect(cloud="lab").compute
    names = {f"{house.name}-boss", f"{house.name}-datastore"}
    for server in [server for server in compute.servers() if server.name in names]:
        compute.delete_server(server)
    until(lambda: None if names & {server.name for server in compute.servers()} else True, 120, "the servers to be gone")


def test_boss_and_datastore_boot_from_their_templates_and_a_job_goes_all_the_way(house: Deployed) -> None:
    said = house.deploy()
    assert "doctor --boot" in said
    wrong = [line for line in said.splitlines() if line.startswith("  ") and " -> " in line]
    assert [line.split(":")[0].strip() for line in wrong] == ["cloud"]  # the lab's APIs are not reached from a guest
    context = house.admin("show_context")
    assert context["boss_address"] == house.address("boss")  # it has found that out itself
    assert context["datastore_address"] == f"ecloud@{house.address('datastore')}:22"
    task = {"id": "t", "command": "hostname >out.txt", "outputs": ["out.txt"]}
    house.ssh("boss", "cat >job.json", json.dumps({"job": "first", "tasks": [task]}))
    house.ssh("boss", f"{HOUSE} .venv/bin/python push_tasks.py ~/job.json")
    until(lambda: True if house.admin("show_tasks", "--job", "first")[0]["state"] == "succeeded" else None, 240, "the task")
    assert house.ssh("datastore", "cat /data/ecloud/jobs/first/out.txt").strip() == f"{house.name}-boss"
    house.ssh("boss", "sudo -n systemctl restart ecloud.service")
    again = house.deploy()
    assert "there already (ACTIVE)" in again and "stays as it is" in again
    assert house.admin("show_jobs")[0]["state"] == "succeeded"
