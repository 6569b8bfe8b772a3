"""User data: what cloud-init's schema, a shell and Nova say about what VMs are given to start with."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from boss.adapters.hostdata import KINDS, host_data
from boss.adapters.userdata import LONGEST, TEMPLATES, MachineTerms, UserData, UserDataError, sent
from boss.config import VmSoftware
from boss.core.model import Flavor, Pool
from worker import users

CA = "-----BEGIN CERTIFICATE-----\n" + "QUJD\n" * 150 + "-----END CERTIFICATE-----\n"
#: What rides along to every worker.
SCRIPTS = [path for path in TEMPLATES.glob("*.sh") if path.name != "ecloud-data.sh"]
POOL = Pool("cloud", "openstack", (Flavor("one", {"cpus": 1}),), boot_timeout=600)


def user_data(software: VmSoftware, **terms: Any) -> UserData:
    return UserData(
        {"cloud": POOL},
        {"cloud": software},
        lambda group, uses, seconds: f"token-of-{group}-{uses}-{seconds:.0f}",
        MachineTerms("https://10.0.0.1:8444", CA, 3600.0, 1800.0, **terms),
    )


def render(software: VmSoftware, **terms: Any) -> str:
    return user_data(software, **terms).render("cloud", "cloud-7", 3)


def files(text: str) -> dict[str, str]:
    return {Path(file["path"]).name: file["content"] for file in yaml.safe_load(text)["write_files"]}


@pytest.mark.parametrize(
    "software",
    [
        VmSoftware(),
        VmSoftware(packages=("octave", "libfoo=1.2-3~bpo+1"), pip=("numpy[extra]==2.4.6",), task_user="", poweroff=""),
        VmSoftware(poweroff="echo 'it''s over: \"now\"' # {{ }} %s \\ | & ; && poweroff"),
    ],
)
def test_cloud_config_is_valid_against_cloud_inits_schema(software: VmSoftware, tmp_path: Path) -> None:
    path = tmp_path / "user-data"
    path.write_text(render(software, ssh_key="ssh-ed25519 AAAA boss"))
    told = subprocess.run(["cloud-init", "schema", "--config-file", str(path)], capture_output=True, text=True)
    assert told.returncode == 0 and "Valid" in told.stdout, told.stdout + told.stderr


def test_the_numbers_of_tasks_have_no_way_to_the_metadata_service(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("ip", "useradd"):
        (programs / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/said\n[ "$*" != "rule show" ] || exit 0\n')
        (programs / name).chmod(0o755)
    (programs / "id").write_text('#!/bin/sh\n[ "$1" = -u ] && [ $# = 1 ] && echo 0\n')
    (programs / "id").chmod(0o755)
    (tmp_path / "ecloud.conf").write_text("task_user=ecloud-task\npackages=\n")
    environ = {"PATH": f"{programs}:/usr/bin:/bin"}
    subprocess.run(["sh", str(TEMPLATES / "setup.sh"), str(tmp_path)], env=environ, check=True)
    said = (tmp_path / "said").read_text().splitlines()
    every = range(users.FIRST, users.FIRST + users.BLOCK * users.BLOCKS)
    assert f"ip rule add pref 100 uidrange {every[0]}-{every[-1]} to 169.254.169.254/32 prohibit" in said
    names = [line.split() for line in said if line.startswith("useradd") and line.split()[-1] != "ecloud-task"]
    assert names and all(words[words.index("--uid") + 1] == str(users.FIRST + n) for n, words in enumerate(names, 1))
    assert [words[-1] for words in names] == [f"ecloud-task-{n}" for n in range(1, len(names) + 1)]


def test_cloud_config_carries_every_script_as_it_is_and_one_secret_in_a_closed_file() -> None:
    text = render(VmSoftware())
    written = files(text)
    assert {name for name in written if name.endswith(".sh")} == {path.name for path in SCRIPTS}
    for path in SCRIPTS:
        assert written[path.name] == path.read_text()
    assert text.count("token-of-cloud-7-3-4200") == 1
    told = json.loads(written["join.json"])
    assert (told["boss"], told["ca"], told["patience"]) == ("https://10.0.0.1:8444", CA, 1800.0)
    modes = {file["path"]: file["permissions"] for file in yaml.safe_load(text)["write_files"]}
    assert {mode for path, mode in modes.items() if path.startswith("/var/lib/ecloud/")} == {"0600"}


def test_what_the_settings_say_is_data_for_the_shells_of_the_machine(tmp_path: Path) -> None:
    hostile = 'a\'b $(touch /tmp/owned) `id` "x" \\ ; rm -rf /'
    written = files(render(VmSoftware(poweroff=hostile)))
    (tmp_path / "conf").write_text(written["ecloud.conf"])
    told = subprocess.run(["sh", "-c", '. ./conf; printf %s "$poweroff"'], cwd=tmp_path, capture_output=True, text=True)
    assert (told.stdout, told.stderr) == (hostile, "")


@pytest.mark.parametrize("kind", ["script", "cloud-config"])
def test_it_is_far_smaller_than_what_nova_takes(kind: str) -> None:
    assert len(render(VmSoftware(kind)).encode()) < LONGEST / 2


@pytest.mark.parametrize("kind", ["script", "cloud-config"])
def test_what_is_too_long_is_an_error_that_names_the_pool_and_the_remedy(kind: str) -> None:
    software = VmSoftware(kind, packages=tuple(f"package-{number}" for number in range(6000)))
    with pytest.raises(UserDataError, match=r"pool cloud: its user data would have \d+ bytes, and clouds take 65535: shorten"):
        render(software)


@pytest.mark.parametrize("kind", ["script", "cloud-config"])
def test_what_is_too_long_only_as_it_is_sent_is_too_long(kind: str) -> None:
    def some(count: int) -> VmSoftware:
        return VmSoftware(kind, packages=tuple(f"package-{number:05}" for number in range(count)))

    bare, each = len(render(some(0)).encode()), (len(render(some(200)).encode()) - len(render(some(0)).encode())) / 200
    with pytest.raises(UserDataError, match="clouds take 65535"):
        render(some(int((LONGEST - 5000 - bare) / each)))
    fitting = render(some(int((LONGEST * 0.7 - bare) / each)))
    assert sent(fitting) == len(base64.b64encode(fitting.encode())) <= LONGEST


def test_a_script_is_one_that_sh_reads_and_writes_the_files_byte_by_byte(tmp_path: Path) -> None:
    text = render(VmSoftware("script", folder=str(tmp_path / "base")))
    script = re.sub(r"^.*setsid .*$", "", text, flags=re.MULTILINE)  # without the two that go on
    (tmp_path / "script").write_text(script)
    (tmp_path / "hostname").write_text("#!/bin/sh\necho vm-1\n")
    (tmp_path / "hostname").chmod(0o755)
    told = subprocess.run(
        ["sh", str(tmp_path / "script")], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    folder = tmp_path / "base" / "vm-1"
    assert [path.name for path in (tmp_path / "base").iterdir()] == ["vm-1"]
    for path in [*SCRIPTS, TEMPLATES.parent / "worker" / "join.py"]:
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o600"}
    boot, deadline = (folder / "pulse").read_text().split()
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert 1800 < int(deadline) - uptime < 1800 + 61


def test_a_machine_does_not_take_over_what_another_one_of_its_name_has_left(tmp_path: Path) -> None:
    (tmp_path / "hostname").write_text("#!/bin/sh\necho vm-1\n")
    (tmp_path / "hostname").chmod(0o755)
    folder = tmp_path / "base" / "vm-1"

    def start(group: str) -> None:
        text = user_data(VmSoftware("script", folder=str(tmp_path / "base"))).render("cloud", group, 1)
        (tmp_path / "script").write_text(re.sub(r"^.*setsid .*$", "", text, flags=re.MULTILINE))
        subprocess.run(["sh", str(tmp_path / "script")], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)

    start("cloud-1")
    (folder / "key").write_text("its key")
    start("cloud-1")
    assert (folder / "key").exists(), "started again, it is the same machine"
    start("cloud-2")
    assert not (folder / "key").exists()


@pytest.mark.parametrize("name", ["", "../x", "a b", ".hidden", "x;id"])
def test_a_machine_whose_name_is_no_folder_does_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(render(VmSoftware("script", folder=str(tmp_path / "base"))))
    (tmp_path / "hostname").write_text(f"#!/bin/sh\nprintf '%s\\n' '{name}'\n")
    (tmp_path / "hostname").chmod(0o755)
    told = subprocess.run(
        ["sh", str(tmp_path / "script")], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert told.returncode == 1 and "is no name for a folder" in told.stderr
    assert not (tmp_path / "base").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("volume", ["", "/dev/vdb"])
def test_the_servers_that_stay_are_valid_too(kind: str, volume: str, tmp_path: Path) -> None:
    path = tmp_path / "user-data"
    path.write_text(host_data(kind, 'ssh-ed25519 AAAA "me": here\n', volume, "https://example.org/it's/ecloud.git"))
    told = subprocess.run(["cloud-init", "schema", "--config-file", str(path)], capture_output=True, text=True)
    assert told.returncode == 0 and "Valid" in told.stdout, told.stdout + told.stderr
    [user] = [user for user in yaml.safe_load(path.read_text())["users"] if user != "default"]
    assert user["ssh_authorized_keys"] == ['ssh-ed25519 AAAA "me": here']
    assert files(path.read_text())["ecloud-data"] == (TEMPLATES / "ecloud-data.sh").read_text()


@pytest.mark.parametrize(
    ("kind", "key", "volume", "why"),
    [
        ("datastore", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "", "a .pub file"),
        ("datastore", "", "", "SSH key is none"),
        ("datastore", "ssh-ed25519 AAAA", "vdb", "such as /dev/vdb"),
    ],
)
def test_what_would_make_no_server_is_refused(kind: str, key: str, volume: str, why: str) -> None:
    with pytest.raises(UserDataError, match=why):
        host_data(kind, key, volume)


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.sh")), ids=lambda path: str(path.name))
def test_every_script_is_plain_sh(path: Path) -> None:
    shell = shutil.which("dash") or "sh"
    assert subprocess.run([shell, "-n", str(path)], capture_output=True, text=True).stderr == ""
    assert path.read_text().startswith("#!/bin/sh\n")


@pytest.mark.parametrize("kind", ["script", "cloud-config"])
def test_a_pool_of_signed_jobs_is_told_once_whom_to_trust_and_which_worker_to_run_and_lets_no_boss_in(kind: str) -> None:
    terms = MachineTerms("https://10.0.0.1:8444", CA, 3600.0, 1800.0, ssh_key="ssh-ed25519 AAAA boss", bundle="ab" * 32)
    signers = "ada ssh-ed25519 AAAA\n"
    made = UserData({"cloud": POOL}, {"cloud": VmSoftware(kind)}, lambda *_: "token", terms, {"cloud": signers})
    text = made.render("cloud", "cloud-7", 1)
    assert "AAAA boss" not in text and "ada ssh-ed25519 AAAA" in text
    if kind == "cloud-config":
        written = files(text)
        told = json.loads(written["join.json"])
        assert written["allowed_signers"].strip() == signers.strip()
        assert (told["worker"]["allowed_signers"], told["bundle"]) == ("allowed_signers", "ab" * 32)
    plain = json.loads(files(render(VmSoftware()))["join.json"])
    assert plain["worker"]["allowed_signers"] == "" and "bundle" not in plain
