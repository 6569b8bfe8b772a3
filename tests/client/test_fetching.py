"""``fetch`` as a person uses it while a job is run again: a real boss, its datastore, and the command line."""

import json
from pathlib import Path

import pytest

from client import Client, FilesDiffer
from tests.e2e.deployment import Deployment


def test_a_fetch_after_a_rerun_renews_its_own_files_and_names_those_that_it_leaves(ecloud: Deployment, tmp_path: Path) -> None:
    def run(text: str, *more: str) -> None:
        tasks = [
            {"id": name, "command": f"echo {text} > {name}.txt", "outputs": [f"{name}.txt"]} for name in ("a", "b", "c", *more)
        ]
        ecloud.push({"tasks": tasks}, *(["--job", "rerun", "--merge", "changed"] if more else ["--name", "rerun"]), "--watch")

    here = tmp_path / "here"
    run("old")
    assert ecloud.admin("fetch", "rerun", "--to", str(here)) == f"3 files fetched; 3 of 3 tasks finished\n{here}/\n"
    (here / "b.txt").write_text("mine\n")
    run("new", "d")
    said = ecloud.run("admin.py", "fetch", "rerun", "--to", str(here))
    assert said.returncode == 1
    assert said.stdout == f"3 files fetched (2 of them in place of older ones); 4 of 4 tasks finished\n{here}/\n"
    assert said.stderr == (
        "1 file here differs and was left alone: b.txt; --force overwrites it, --to DIR fetches into another folder\n"
    )
    assert [(here / f"{name}.txt").read_text() for name in "abcd"] == ["new\n", "mine\n", "new\n", "new\n"]
    facts = json.loads(ecloud.run("admin.py", "fetch", "rerun", "--to", str(here), "--json").stdout)
    assert (facts["fetched"], facts["differing"]) == ([], ["b.txt"])
    assert "1 file fetched (1 of them in place of an older one)" in ecloud.admin("fetch", "rerun", "--to", str(here), "--force")


def test_a_program_hears_what_came_and_what_was_left(client: Client, tmp_path: Path) -> None:
    job = client.submit([{"id": "a", "command": "echo new | tee a.txt > b.txt", "outputs": ["a.txt", "b.txt"]}])
    job.wait(60)
    (tmp_path / "a.txt").write_text("mine")
    with pytest.raises(FilesDiffer, match=r"a\.txt; --force overwrites it") as caught:
        job.fetch(tmp_path)
    assert (caught.value.done.fetched, caught.value.done.differing) == (("b.txt",), ("a.txt",))
