"""Researchers elsewhere: two variables and nothing else; each with the own jobs, on the real boss, its workers and its datastore."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from boss.api.accounts import UNKNOWN
from client import Client, NotPermitted
from client.access import datastore
from datastore.transfer import GateError, Unreachable, connect, push_files
from tests.e2e.deployment import ROOT, Deployment, until


@pytest.fixture
def people(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Client]]:
    """Clients of ada and bob (researchers) and vic (a viewer), who know an address and a token and have no state folder."""
    url = client.connection.url
    with ExitStack() as stack:
        made = {}
        monkeypatch.setenv("ECLOUD_STATE", str(tmp_path / "none"))
        for name, role in (("ada", "researcher"), ("bob", "researcher"), ("vic", "viewer")):
            made[name] = stack.enter_context(Client(url, client.create_token(role, name)["token"]))
        yield made
        for name in made:
            client.revoke_token(name)


def pushed(person: Client, name: str, folder: Path) -> Any:
    """A job with a file of the person's own and a result."""
    (folder / "n.txt").write_text("20")
    tasks = [{"id": "a", "command": "cat n.txt > out.txt", "inputs": ["n.txt"], "outputs": ["out.txt"]}]
    return person.submit(tasks, files=["n.txt"], name=name, folder=folder)


def test_files_and_results_go_without_an_account_on_any_machine(people: dict[str, Client], tmp_path: Path) -> None:
    job = pushed(people["ada"], "hers", tmp_path)
    assert job.wait(60) == "succeeded"
    assert job.status()["owner"] == "ada"
    for name, person in people.items():  # everybody sees everything, and may fetch it
        assert person.job("hers").fetch(tmp_path / name).fetched == ("out.txt",)
        assert person.logs("hers:a")["attempt"] == 1


def test_a_viewer_pushes_nothing_also_not_past_the_boss(people: dict[str, Client], tmp_path: Path) -> None:
    with pytest.raises(NotPermitted, match="viewers see everything and change nothing"):
        pushed(people["vic"], "his", tmp_path)
    (tmp_path / "x").write_text("x")
    with datastore(people["vic"].connection) as endpoint, pytest.raises(GateError, match="viewer:vic may not have"):
        push_files(endpoint, {"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881": str(tmp_path / "x")})


def test_a_certificate_opens_no_shell_no_forwarding_and_no_other_command(people: dict[str, Client], tmp_path: Path) -> None:
    with datastore(people["ada"].connection) as endpoint:
        command = endpoint.command()
        shell = subprocess.run([*command[:-1], "sh", "-c", "echo in"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert '"caller":"researcher:ada"' in shell.stdout.replace(" ", "") and "in\n" not in shell.stdout
        copied = subprocess.run(
            ["sftp", "-b", "-", *command[1:-3], endpoint.host], input="ls\n", capture_output=True, text=True, timeout=60
        )
        assert copied.returncode != 0
        for operation in ("accept", "reject", "initialise", "receive", "remove"):
            channel = connect(endpoint)
            with pytest.raises(GateError, match="researcher:ada may not"):
                channel.ask({"op": operation}, give=(lambda wire: {"end": True}) if operation == "receive" else None)
            channel.close()


def test_a_certificate_of_another_key_opens_nothing(people: dict[str, Client], tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "own")], check=True)
    with datastore(people["ada"].connection) as endpoint, pytest.raises(Unreachable):
        connect(endpoint._replace(key=str(tmp_path / "own")), tries=1)


def test_a_few_tasks_of_one_start_while_many_of_another_wait(ecloud: Deployment, people: dict[str, Client]) -> None:
    ada, bob = people["ada"], people["bob"]
    many = {"id": "m-{n}", "foreach": {"n": {"range": [0, 50_000]}}, "command": "sleep 0.02"}
    sweep = ada.submit([many], name="fifty-thousand")
    until(lambda: ada.job(sweep.name).status()["tasks"].get("succeeded", 0) > 200 or None, 90, "ada's tasks to run")
    few = bob.submit([{"id": "t-{n}", "foreach": {"n": {"range": [0, 10]}}, "command": "sleep 0.02"}], name="ten")
    assert few.wait(60) == "succeeded"
    left = sweep.status()["tasks"]
    assert left["ready"] > 40_000, left
    began = sorted(task["started"] for task in few.tasks())
    assert began[-1] - few.status()["created"] < 15, "ten short tasks, on a machine that may be busy"
    with pytest.raises(NotPermitted, match="job fifty-thousand belongs to ada: only ada or an admin may change it, you are bob"):
        bob.cancel(sweep.name)
    with pytest.raises(NotPermitted, match="belongs to bob"):
        ada.redo("ten")
    sweep.cancel()


def test_a_revoked_token_ends_what_is_followed_with_exit_code_4(ecloud: Deployment, client: Client, tmp_path: Path) -> None:
    job = client.submit([{"id": "long", "command": "echo begun; sleep 600"}], name="followed")
    token = client.create_token("viewer", "eve")
    environment = ecloud.environment | {
        "ECLOUD_STATE": str(tmp_path / "none"), "ECLOUD_API_URL": client.connection.url, "ECLOUD_TOKEN": token["token"],
    }  # fmt: skip
    elsewhere = Deployment(ecloud.folder)
    elsewhere.environment = environment
    until(lambda: job.status()["tasks"].get("running"), 60, "the task to run")
    following = subprocess.Popen(
        [sys.executable, str(ROOT / "admin.py"), "logs", "followed:long", "--follow"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert following.stdout is not None
    assert following.stdout.readline() == "begun\n"
    client.revoke_token(token["id"])
    out, err = following.communicate(timeout=60)
    assert (following.returncode, out, err) == (4, "", UNKNOWN + "\n")
    refused = elsewhere.run("admin.py", "status")
    assert refused.returncode == 4 and refused.stderr.count("\n") == 1
    job.cancel()
