"""The whole way of a VM: user data, join over HTTPS, work, drain, end; with process trees for servers."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.adapters import processes
from boss.adapters.sockets import free_port
from tests.e2e.deployment import Deployment, until
from tests.e2e.machines import running

SETTINGS = """
[vms]
boss_address = "127.0.0.1"
join_port = {join}
broker_port = {broker}
gate_port = {gate}
{vms}

[policy]
heartbeat = 1
offline_after = 5
{policy}

[workers]
{workers}

[pools.cloud]
maximum = 2
cooldown = {cooldown}
boot_timeout = 60

[[pools.cloud.flavors]]
name = "one"
resources = {{cpus = 1, memory = "64M"}}
"""


class Cloudy(Deployment):
    """A deployment whose workers are machines of ``folder/machines``."""

    program = ("-m", "tests.e2e.machines")

    def __init__(self, folder: Path, vms: str = "", policy: str = "", workers: str = "", cooldown: float = 2) -> None:
        self.machines = folder / "machines"
        super().__init__(folder, ECLOUD_CONFIG=str(folder / "ecloud.toml"), MACHINES=str(self.machines))
        folder.mkdir(parents=True, exist_ok=True)
        ports = dict(zip(("join", "broker", "gate"), (free_port() for _ in range(3)), strict=True))
        (folder / "ecloud.toml").write_text(SETTINGS.format(vms=vms, policy=policy, workers=workers, cooldown=cooldown, **ports))

    def logs(self) -> str:
        """What boss and machines have logged."""
        files = [self.log, *sorted(self.machines.glob("*.log")), *sorted(self.machines.glob("*/log"))]
        return "\n".join(f"--- {file}\n{file.read_text()[-6000:]}" for file in files if file.exists())

    def there(self) -> list[str]:
        """The machines of which something runs."""
        return [
            path.name for path in self.machines.iterdir() if path.is_dir() and not path.name.endswith(".bin") and running(path)
        ]


@pytest.fixture
def cloudy(tmp_path: Path) -> Iterator[Cloudy]:
    """A boss with an empty cloud."""
    yield from started(Cloudy(tmp_path / "ecloud"))


def started(deployment: Cloudy) -> Iterator[Cloudy]:
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.stop()
        for machine in deployment.machines.iterdir():
            for process in running(machine):
                processes.end(process, 10.0, signal.SIGKILL)
        print(deployment.logs())


def test_a_task_brings_up_a_machine_that_joins_runs_it_and_goes(cloudy: Cloudy) -> None:
    name = cloudy.push(
        {"tasks": [{"id": "a", "command": "echo $ECLOUD_WORKER > out.txt", "outputs": ["out.txt"], "memory": "32M"}]}
    )
    assert cloudy.finished(name) == {"a": "succeeded"}
    cloudy.admin("fetch", name, "--to", str(cloudy.folder / "got"))
    assert (cloudy.folder / "got" / "out.txt").read_text() == "cloud-1\n"
    until(lambda: not cloudy.there() or None, 30, "the machine to go")
