"""A crate with its files, from a real boss: whatever its paths are called, what it says of them is what lies there."""

import hashlib
import json
import subprocess
from pathlib import Path
from urllib.parse import unquote

from client import Client
from client.report.crate import make_crate, named_by
from client.report.gather import gather
from client.report.page import page_of

ODD = "o d/a b%20#é.txt"


def test_files_of_a_crate_lie_where_it_says_with_the_digests_that_it_says(client: Client, tmp_path: Path) -> None:
    (tmp_path / "seed").write_text("7\n")
    job = client.submit(
        [
            {"id": "make", "command": f"mkdir -p 'o d'; cat seed > '{ODD}'", "inputs": ["seed"], "outputs": ["o d/"]},
            {"id": "read", "command": f"cat '{ODD}' > r.txt", "inputs": [ODD], "outputs": ["r.txt"]},
        ],
        files=["seed"],
        folder=tmp_path,
    )
    job.check(60)
    folder = tmp_path / "crate"
    report = gather(client, job.name)
    for _ in range(2):  # the second time over the first
        made = make_crate(client, report, page_of(report), folder, files=True, licence="")
    assert (made.files, made.actions, made.remark) == (2, 3, "")
    found = {one["@id"]: one for one in json.loads((folder / "ro-crate-metadata.json").read_text("utf-8"))["@graph"]}
    results = {one["alternateName"]: one for one in found.values() if one["@id"].startswith("results/")}
    assert set(results) == {ODD, "r.txt"}
    for one in results.values():
        data = (folder / unquote(one["@id"])).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), str(len(data))) == (one["sha256"], one["contentSize"])
    pushed = named_by(hashlib.sha256(b"7\n").hexdigest())
    make, read = found["#task-make"], found["#task-read"]
    assert (make["object"], make["result"]) == ({"@id": pushed}, {"@id": results[ODD]["@id"]})
    assert (read["object"], read["result"]) == ({"@id": results[ODD]["@id"]}, {"@id": results["r.txt"]["@id"]})
    assert found[read["location"]["@id"]]["name"].startswith("local-")
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=folder / "results", check=True)
