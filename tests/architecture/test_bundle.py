"""What reaches a VM stands alone: Python 3.9, the standard library, and the bundle."""

import subprocess
import sys
import zipfile
from pathlib import Path

from boss.adapters.bundle import gate_bundle, worker_bundle

HOUSE = Path(__file__).resolve().parents[2]


def alone(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Python without site-packages, without the environment's paths, and away from the house."""
    return subprocess.run([sys.executable, "-I", "-S", *arguments], cwd="/", capture_output=True, text=True, timeout=60)


def test_worker_and_datastore_keep_to_python_3_9() -> None:
    vermin = str(Path(sys.executable).with_name("vermin"))
    told = subprocess.run(
        [vermin, "-t=3.9-", "--no-tips", "--violations", str(HOUSE / "worker"), str(HOUSE / "datastore")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_module_of_the_bundle_can_be_imported_from_nothing_but_the_bundle(tmp_path: Path) -> None:
    bundle = worker_bundle(tmp_path)
    names = sorted(
        name[:-3].replace("/", ".").removesuffix(".__init__")
        for name in zipfile.ZipFile(bundle).namelist()
        if name.endswith(".py") and "/" in name
    )
    assert {"worker.__main__", "worker.stage", "datastore.transfer", "datastore.layout", "paho.mqtt.client"} <= set(names)
    script = f"import sys; sys.path.insert(0, {str(bundle)!r})\nfor name in {names!r}: __import__(name)\nprint('imported')"
    told = alone("-c", script)
    assert (told.stdout, told.stderr) == ("imported\n", "")


def test_the_bundles_run_as_programs(tmp_path: Path) -> None:
    worker = alone(str(worker_bundle(tmp_path)), "--config", str(tmp_path / "missing.json"))
    assert (worker.returncode, worker.stderr) == (2, f"worker: {tmp_path}/missing.json: No such file or directory\n")
    gate = alone(str(gate_bundle(tmp_path)), "--help")
    assert gate.returncode == 0
    assert "--caller" in gate.stdout


def test_a_bundle_is_the_same_bytes_each_time_and_is_not_built_twice(tmp_path: Path) -> None:
    for build in (worker_bundle, gate_bundle):
        first, second = build(tmp_path / "a"), build(tmp_path / "b")
        assert (first.name, first.read_bytes()) == (second.name, second.read_bytes())
        inode = first.stat().st_ino
        assert build(tmp_path / "a") == first
        assert first.stat().st_ino == inode
    assert len(list((tmp_path / "a").iterdir())) == 2


def test_the_bundle_starts_from_its_bytecode(tmp_path: Path) -> None:
    told = alone("-v", str(worker_bundle(tmp_path)), "--help")
    assert told.returncode == 0
    matching = [line for line in told.stderr.splitlines() if line.startswith("import 'worker.core'")]
    assert matching
    with zipfile.ZipFile(worker_bundle(tmp_path)) as archive:
        sources = [name for name in archive.namelist() if name.endswith(".py")]
        assert {name + "c" for name in sources} <= set(archive.namelist())


def test_no_secret_and_nothing_of_the_boss_is_in_a_bundle(tmp_path: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(worker_bundle(tmp_path)).namelist()}
    assert tops == {"__main__.py", "__main__.pyc", "worker", "datastore", "paho"}
    assert {name.split("/")[0] for name in zipfile.ZipFile(gate_bundle(tmp_path)).namelist()} == {
        "__main__.py",
        "__main__.pyc",
        "datastore",
    }
