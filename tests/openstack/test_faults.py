"""Faults of a real cloud under a whole boss: what `status` and `why` say of each, and that work goes on or waits with a reason."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openstack
import pytest
import yaml

from tests.e2e.deployment import ROOT, until
from tests.openstack.conftest import lab
from tests.openstack.settings import Boss, job, running, write

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(400)]

#: Nothing may be silent for longer; the machine's own slowness comes on top.
SOON = 8.0


@contextmanager
def fault(text: str) -> Iterator[None]:
    """Servers that go wrong in this way while it lasts."""
    lab("faults", text)
    try:
        yield
    finally:
        lab("faults")


@contextmanager
def service(what: str, name: str = "nova-api") -> Iterator[None]:
    """A service that is stopped or paused while it lasts."""
    lab(what, name)
    try:
        yield
    finally:
        lab(*(("resume", name) if what == "pause" else ("up",)))


def succeeded(boss: Boss, timeout: float = 120) -> None:
    """Every task of the job ends well."""
    assert set(boss.finished("faults", timeout).values()) == {"succeeded"}


def running_on_a_vm(boss: Boss, task: str = "t0") -> str:
    """Wait until a task runs; the VM that it runs on."""

    def look() -> str | None:
        found = boss.look("show_task", f"faults:{task}")
        return str(found["worker"]) if found["state"] == "running" else None

    return until(look, 60, f"{task} to run")


# ---- quotas --------------------------------------------------------------------------------------------------------


def test_a_used_up_quota_is_told_with_its_numbers_and_work_goes_on_with_what_there_is(tmp_path: Path) -> None:
    pool = {"cloud": "lab-small", "flavors": ["lab.2"], "maximum": 5, "haste": 1.0}
    with running(tmp_path, {"cloud": pool}) as boss:
        boss.push(job(12, "sleep 6", cpus=2))
        until(lambda: True if len(boss.servers()) == 3 else None, 60, "three servers")
        boss.explains("faults:t11", 30, "the project uses", "of its quota of")
        succeeded(boss)
        boss.empty()


def test_room_that_others_have_taken_is_told_with_its_numbers_and_waited_for(tmp_path: Path) -> None:
    pool = {"cloud": "lab-small", "flavors": ["lab.4"]}
    with running(tmp_path, {"cloud": pool}, {"list_interval": 60}) as boss:
        with another(openstack.connect(cloud="lab-small"), "lab.4"):
            boss.push(job(1, cpus=4))
            boss.says(SOON, "cores: 4 asked for, 4 of 6 used")
            boss.explains("faults:t0", SOON, "cores: 4 asked for, 4 of 6 used", "before it asks for a VM again")
        succeeded(boss)


@contextmanager
def another(project: openstack.connection.Connection, flavor: str) -> Iterator[None]:
    """A server of somebody else in the project."""
    network, image = project.network.find_network("lab-net"), project.image.find_image("fake-image")
    server = project.compute.create_server(
        name="somebody's",
        image_id=image.id,
        flavor_id=project.compute.find_flavor(flavor).id,
        networks=[{"uuid": network.id}],
    )
    try:
        project.compute.wait_for_server(server, wait=60)
        yield
    finally:
        project.compute.delete_server(server)
        project.compute.wait_for_delete(server, wait=60)


def test_a_flavor_beyond_the_whole_quota_is_said_to_be_impossible_and_buys_nothing(tmp_path: Path) -> None:
    pool = {"cloud": "lab-small", "flavors": ["lab.1", "lab.16"]}
    with running(tmp_path, {"cloud": pool}) as boss:
        boss.push(job(1, cpus=10))
        said = boss.explains("faults:t0", 5, "can ever be had", "lab.16 asks for 16 cpus, and the project's quota is 6")
        assert "have the quota raised" in said
        boss.says(5, "1 ready task(s)", "can never run as things are", "the project's quota is 6")
        boss.push({"job": "small", "tasks": [{"id": "s", "command": "true"}]}, name="small")
        assert set(boss.finished("small").values()) == {"succeeded"}
        assert {vm["flavor"] for vm in boss.look("show_vms")} <= {"lab.1"}
        boss.admin("cancel", "faults")


def test_doctor_tells_flavors_beyond_the_whole_quota(tmp_path: Path) -> None:
    pools = {
        "some": {"cloud": "lab-small", "flavors": ["lab.1", "lab.16"]},
        "none": {"cloud": "lab-small", "flavors": ["lab.16"]},
    }
    for chosen, said in (
        ("some", "lab.16 asks for 16 cores, and the quota is 6: never to be had"),
        ("none", "can have no VM at all"),
    ):
        settings = write(tmp_path, {chosen: pools[chosen]}, {}, {})
        environment = {**os.environ, "ECLOUD_CONFIG": str(settings), "ECLOUD_STATE": str(tmp_path / "state")}
        told = subprocess.run(
            [sys.executable, "-m", "boss", "doctor"], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
        )
        assert said in next(line for line in told.stdout.splitlines() if " quota " in line)


# ---- servers that do not come ----------------------------------------------------------------------------------------


def test_where_no_host_has_room_for_a_flavor_the_next_one_is_tried_and_that_is_said(tmp_path: Path) -> None:
    flavors = [{"name": "lab.huge", "price": 0.001}, {"name": "lab.1", "price": 1.0}]
    with running(tmp_path, {"cloud": {"flavors": flavors, "maximum": 1}}) as boss:
        boss.push(job(2))
        boss.says(60, "Pool cloud (lab.huge)", "No valid host was found")
        succeeded(boss)


def test_where_no_flavor_finds_a_host_why_says_when_it_is_tried_again(tmp_path: Path) -> None:
    with running(tmp_path, {"cloud": {"flavors": ["lab.huge"]}}) as boss:
        boss.push(job(1))
        boss.explains("faults:t0", 60, "(lab.huge)", "No valid host was found")
        boss.says(120, "paused after 3 failures in a row and tries again in", "No valid host was found")
        boss.admin("cancel", "faults")
        boss.empty()


def test_a_server_that_stays_in_build_is_told_given_up_and_replaced(tmp_path: Path) -> None:
    with running(tmp_path, {"cloud": {"boot_timeout": 15}}) as boss:
        with fault('{"spawn_hang": true}'):
            boss.push(job(1))
            boss.explains("faults:t0", SOON, "coming up")
            boss.explains("cloud-1", 30, "the cloud says BUILD", "given up in", "`boot_timeout`")
            boss.says(60, "says BUILD still (`boot_timeout`)")
        succeeded(boss)
        assert "says BUILD still" in boss.why("cloud-1")
        boss.empty()


def test_a_slow_boot_is_told_and_waited_for(tmp_path: Path) -> None:
    with running(tmp_path) as boss:
        boss.push(job(1, "true"))
        succeeded(boss)  # now it is known what is usual
        boss.empty()
        with fault('{"spawn_delay": 25}'):
            boss.push({"job": "again", "tasks": [{"id": "a", "command": "true"}]}, name="again")
            boss.explains("again:a", 60, "has been booting for", "usually", "the cloud says BUILD", "given up in")
            boss.says(SOON, "has been booting for", "usually")
            assert set(boss.finished("again").values()) == {"succeeded"}


def test_a_boot_that_fails_is_told_and_another_server_is_asked_for(tmp_path: Path) -> None:
    with running(tmp_path) as boss:
        with fault('{"spawn_fail": 1}'):
            boss.push(job(1))
            boss.says(60, "the cloud says ERROR", "fault injected")
            boss.explains("faults:t0", SOON, "fault injected")
        succeeded(boss)
        boss.empty()


def test_workers_that_never_join_pause_the_pool_with_the_consoles_last_line_and_it_tries_again(tmp_path: Path) -> None:
    nobody = f"{os.environ['LAB_NET']}.2"  # no server, and none of its doors answer
    with running(
        tmp_path, {"cloud": {"boot_timeout": 20, "maximum": 1}}, {"pool_pause": 20}, vms={"boss_address": nobody}
    ) as boss:
        boss.push(job(1))
        said = boss.says(
            200, "paused after 3 failures in a row and tries again in", "its worker was not heard within", "its console ends with"
        )
        assert "is not reached" in said
        boss.explains("faults:t0", SOON, "paused after 3 failures", "is not reached")
        assert nobody in boss.admin("console", "cloud-1")
        assert "its worker was not heard within" in boss.why("cloud-1")
        until(lambda: True if "cloud-4" in {vm["id"] for vm in boss.look("show_vms")} else None, 60, "the next try")
        boss.admin("cancel", "faults")


# ---- a cloud that does not answer, or not us ------------------------------------------------------------------------


def test_while_the_api_is_down_running_work_goes_on_and_new_work_says_what_it_waits_for(tmp_path: Path) -> None:
    with running(tmp_path, {"cloud": {"maximum": 1}}) as boss:
        boss.push(job(1, "sleep 12"))
        running_on_a_vm(boss)
        with service("stop"):
            boss.says(SOON, "the compute service cannot be reached: connection refused")
            boss.push({"job": "new", "tasks": [{"id": "n", "command": "true", "cpus": 1}]}, name="new")
            succeeded(boss)
            assert set(boss.finished("new").values()) == {"succeeded"}  # on the VM that is there
        until(lambda: None if "cannot be reached" in boss.notes() else True, 30, "the trouble to be over")
        boss.empty()


def test_what_waits_for_a_vm_while_the_api_is_down_says_so_and_goes_on_by_itself(tmp_path: Path) -> None:
    with running(tmp_path) as boss:
        with service("stop"):
            boss.push(job(1, "true"))
            boss.explains("faults:t0", SOON, "cannot be reached: connection refused")
            boss.says(SOON, "cannot be reached: connection refused")
            boss.says(60, "paused after", "tries again in")
        succeeded(boss)
        boss.empty()


def test_two_minutes_without_the_api_in_the_middle_of_a_job_cost_no_task_and_leave_nothing(tmp_path: Path) -> None:
    with running(tmp_path, {"cloud": {"maximum": 2}}) as boss:
        boss.push(job(60, "sleep 4"))
        running_on_a_vm(boss)
        with service("stop"):
            gone = time.monotonic()
            boss.says(SOON, "the compute service cannot be reached: connection refused")
            before = boss.look("status")["tasks"].get("succeeded", 0)
            until(lambda: True if boss.look("status")["tasks"].get("succeeded", 0) > before + 10 else None, 90, "work to go on")
            until(lambda: True if time.monotonic() > gone + 120 else None, 130, "two minutes")
            assert "cannot be reached" in boss.notes()
        succeeded(boss, 300)
        assert {task["attempt"] for task in boss.look("show_tasks", "--job", "faults")} == {1}
        boss.empty()


def test_an_api_that_accepts_and_never_answers_is_told_within_seconds(tmp_path: Path) -> None:
    with running(tmp_path) as boss:
        with service("pause"):
            boss.push(job(1, "true"))
            boss.says(SOON, "has not answered for")
            boss.explains("faults:t0", SOON, "asked for", "the cloud has not said whether there is one", "given up in")
            boss.explains("cloud-1", SOON, "the cloud has not said whether there is one")
        succeeded(boss, 150)
        boss.empty()


def test_a_revoked_token_is_replaced_and_nobody_notices(tmp_path: Path) -> None:
    with running(tmp_path) as boss:
        boss.push(job(1, "true"))
        succeeded(boss)
        admin = openstack.connect(cloud="lab-admin")
        user = admin.identity.find_user("lab")
        admin.identity.update_user(user, password="labpass")  # which ends all tokens that it has
        with service("stop", "memcached"):
            pass  # services remember tokens that they have seen
        boss.push({"job": "after", "tasks": [{"id": "a", "command": "true"}]}, name="after")
        assert set(boss.finished("after").values()) == {"succeeded"}
        assert "credential" not in boss.notes()
        boss.empty()


def test_a_refused_credential_pauses_the_pool_at_once_and_a_mended_one_needs_no_restart(tmp_path: Path) -> None:
    right = yaml.safe_load(Path(os.environ["OS_CLIENT_CONFIG_FILE"]).read_text())
    wrong = {"clouds": right["clouds"] | {"lab": right["clouds"]["lab-refused"]}}
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(yaml.safe_dump(wrong))
    with running(tmp_path, OS_CLIENT_CONFIG_FILE=str(clouds)) as boss:
        boss.push(job(1, "true"))
        boss.says(
            SOON, "Pool cloud is paused and tries again in", "does not accept our credential (401)", "clouds.yaml is read again"
        )
        boss.explains("faults:t0", SOON, "does not accept our credential (401)")
        clouds.write_text(yaml.safe_dump(right))
        succeeded(boss)
        boss.empty()


# ---- servers that go, or do not go ----------------------------------------------------------------------------------


def test_a_server_that_somebody_deletes_gives_its_tasks_back_without_using_up_retries(tmp_path: Path) -> None:
    with running(tmp_path, {"cloud": {"maximum": 1}}) as boss:
        boss.push(job(1, "sleep 8"))
        first = running_on_a_vm(boss)
        [server] = boss.servers()
        openstack.connect(cloud="lab").compute.delete_server(server)
        until(lambda: True if boss.look("show_task", "faults:t0")["worker"] != first else None, 60, "another worker")
        assert "its server is gone" in boss.why(first)
        succeeded(boss)
        task = boss.look("show_task", "faults:t0")
        assert [one["state"] for one in task["attempts"]] == ["lost", "succeeded"]
        assert "its server is gone" in task["attempts"][0]["reason"]


def test_a_deletion_that_fails_is_told_and_done_when_the_cloud_can(tmp_path: Path) -> None:
    with running(tmp_path) as boss:
        with fault('{"delete_fail": 1}'):
            boss.push(job(1, "true"))
            succeeded(boss)
            boss.says(60, "cloud-1 could not be deleted yet", "ERROR", "tried again until the cloud has done it")
            boss.explains("cloud-1", SOON, "could not be deleted yet", "Why it goes")
        boss.empty(60)
