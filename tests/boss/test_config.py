"""Settings: where they come from, what is refused and how it is said, and what the boss makes of them."""

import os
from pathlib import Path

import pytest

import settings
from boss import config
from boss.config import CloudPool, Machine, OutsideBroker, OutsideDatastore, SettingsError
from tests.signing import Key

GIB = 2**30
CLOUD = "[pools.c]\nprovider = 'openstack'\nimage = 'debian-12'\n"
MACHINE = Machine(cpus=6, memory=60 * GIB, disk=600 * GIB)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file and no variable of the machine that the tests run on."""
    for name in list(os.environ):
        if name.startswith("ECLOUD_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def made(machine: Machine = MACHINE) -> config.BossConfig:
    return config.make(*settings.load(), machine)


def refused() -> str:
    with pytest.raises(SettingsError) as raised:
        settings.load()
    return str(raised.value)


def test_without_any_setting_everything_is_local(tmp_path: Path) -> None:
    boss = made()
    state = tmp_path / "home" / ".local" / "state" / "ecloud"
    assert (boss.file, boss.state, boss.broker, boss.datastore) == (None, state, None, None)
    assert boss.database_url == f"sqlite:///{state}/ecloud.db"
    assert (boss.api_host, boss.api_port, boss.local_slots) == ("127.0.0.1", 0, 6)
    assert boss.datastore_root == state / "datastore"
    assert boss.legacy_root == ""
    assert (boss.max_tasks, boss.max_task_file) == (5_000_000, 64 * 2**20)


def test_the_default_pool_has_sizes_of_powers_of_two_and_all_slots_with_shares_of_the_machine() -> None:
    pool, _hosts = made().policy.pools
    assert (pool.name, pool.provider, pool.maximum, dict(pool.limits)) == ("local", "local", 6, {"cpus": 6})
    assert [flavor.resources["cpus"] for flavor in pool.flavors] == [1, 2, 4, 6]
    assert [flavor.resources["memory"] for flavor in pool.flavors] == [9 * GIB, 18 * GIB, 36 * GIB, 54 * GIB]
    assert [flavor.resources["disk"] for flavor in pool.flavors] == [90 * GIB, 180 * GIB, 360 * GIB, 540 * GIB]
    assert pool.cooldown == 10.0


@pytest.mark.parametrize(("slots", "sizes"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8])])
def test_sizes_follow_the_slots(slots: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLOUD_LOCAL_SLOTS", str(slots))
    pool, _hosts = made().policy.pools
    assert [flavor.resources["cpus"] for flavor in pool.flavors] == sizes


def test_a_file_in_the_working_folder_comes_before_one_in_the_state_folder(tmp_path: Path) -> None:
    in_state = write(tmp_path / "home/.local/state/ecloud/ecloud.toml", "local_slots = 3\n")
    assert (made().local_slots, made().file) == (3, in_state)
    here = write(tmp_path / "ecloud.toml", "local_slots = 4\n")
    assert (made().local_slots, made().file) == (4, here)


def test_a_named_file_comes_before_all_and_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "ecloud.toml", "local_slots = 4\n")
    monkeypatch.setenv("ECLOUD_CONFIG", str(write(tmp_path / "mine.toml", "local_slots = 5\n")))
    assert made().local_slots == 5
    monkeypatch.setenv("ECLOUD_CONFIG", str(tmp_path / "nowhere.toml"))
    assert refused() == f"{tmp_path}/nowhere.toml: there is no such file"


def test_a_variable_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "ecloud.toml", '[broker]\nhost = "file"\nport = 1\n')
    monkeypatch.setenv("ECLOUD_BROKER__HOST", "variable")
    assert made().broker == OutsideBroker("variable", 1, None, None, None)


def test_the_state_folder_is_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLOUD_STATE", str(tmp_path / "state"))
    assert made().state == tmp_path / "state"
    assert made().database_url == f"sqlite:///{tmp_path}/state/ecloud.db"


def test_an_outside_broker_with_files_beside_the_settings(tmp_path: Path) -> None:
    write(
        tmp_path / "ecloud.toml",
        '[broker]\nhost = "mqtt.example.org"\nca = "ca.pem"\ncertificate = "/a/b.pem"\nkey = "~/b.key"\n',
    )
    home = tmp_path / "home"
    assert made().broker == OutsideBroker("mqtt.example.org", 8883, tmp_path / "ca.pem", Path("/a/b.pem"), home / "b.key")


@pytest.mark.parametrize(("address", "port"), [("me@data.example.org", 22), ("me@data.example.org:2222", 2222)])
def test_an_outside_datastore(tmp_path: Path, address: str, port: int) -> None:
    write(tmp_path / "ecloud.toml", f'[datastore]\naddress = "{address}"\nroot = "/data/ecloud"\nhost_key = "ssh-ed25519 AAAA"\n')
    assert made().datastore == OutsideDatastore("me", "data.example.org", port, "/data/ecloud", "ssh-ed25519 AAAA")


def test_a_pool_of_ones_own_replaces_the_default(tmp_path: Path) -> None:
    write(
        tmp_path / "ecloud.toml",
        "[pools.big]\nmaximum = 1\ncooldown = '2m'\nlimits = {cpus = 8}\n"
        "[[pools.big.flavors]]\nname = 'whole'\nresources = {cpus = 8, memory = '32G', gpus = 1}\n",
    )
    pool, _hosts = made().policy.pools
    assert (pool.name, pool.maximum, pool.cooldown) == ("big", 1, 120.0)
    assert pool.flavors[0].resources == {"cpus": 8, "memory": 32 * GIB, "gpus": 1}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ('"90s"', 90.0), ('"15m"', 900.0), ('"6h"', 21600.0), ('"2d"', 172800.0), ('"1.5h"', 5400.0)],
)
def test_durations(tmp_path: Path, text: str, seconds: float) -> None:
    write(tmp_path / "ecloud.toml", f"[policy]\ndrain_timeout = {text}\n")
    assert made().policy.drain_timeout == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("1024", 1024), ('"512M"', 512 * 2**20), ('"2G"', 2 * GIB), ('"2GiB"', 2 * GIB), ('"0.5 GB"', GIB // 2)]
)
def test_sizes(tmp_path: Path, text: str, size: int) -> None:
    write(tmp_path / "ecloud.toml", f"[workers]\ncache = {text}\n")
    assert made().cache_bytes == size


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("local_slot = 2\n", "local_slot: unknown setting; did you mean local_slots?"),
        ("[broker]\nhots = 'x'\n", "broker.hots: unknown setting; did you mean broker.host?"),
        ("[pools.a]\nmaximun = 2\nflavors = [{name = 'x', resources = {cpus = 1}}]\n", "did you mean pools.*.maximum?"),
        ("[api]\nport = 70000\n", "api.port: Input should be less than or equal to 65535"),
        ("local_slots = 0\n", "local_slots: Input should be greater than 0"),
        ("[policy]\nlease = '5x'\n", "policy.lease: cannot be read; write it like 90, 90s, 15m, 6h or 2d"),
        ("[policy]\nlease = 1\n", "policy: heartbeat < offline_after < lease <= worker_lease does not hold"),
        ("[workers]\ncache = 'much'\n", "workers.cache: cannot be read; write it like 64M, 2G or 512MiB"),
        ("[broker]\nkey = 'x'\n", "broker: certificate and key go together"),
        ("[datastore]\naddress = 'me@there'\n", "datastore: an outside datastore needs root and host_key"),
        ("[datastore]\naddress = 'there'\n", "datastore.address: "),
        ("[datastore]\nroot = 'data'\n", "datastore: root is not an absolute path"),
        ("[pools.a]\nmaximum = 2\n", "pools.a.flavors: Field required"),
        ("[pools.a]\nprovider = 'moon'\nflavors = []\n", "pools.a.provider: Input should be 'local' or 'openstack'"),
        ("[pools.a]\nflavors = ['x']\n", "pools.a: flavor 'x' needs resources"),
        (
            "[pools.a]\nflavors = [{name = 'x', resources = {cpus = 1}}]\nimage = 'i'\n",
            "image is for VMs of a cloud, and this pool is local",
        ),
        (f"{CLOUD}flavors = ['m1.small', 'm1.small']\n", "pools.c: flavor 'm1.small' is there twice"),
        ("[pools.c]\nprovider = 'openstack'\nflavors = ['m1.small']\n", "pools.c: image is missing"),
        (f"{CLOUD}flavors = ['f']\nminimum = 5\n", "pools.c: minimum is 5 and maximum 4"),
        (f"{CLOUD}flavors = ['f']\nvolume_type = 'ssd'\n", "pools.c: volume_type is the type of a boot_volume"),
        (f"{CLOUD}flavors = ['f']\nboot_volume = 'big'\n", "pools.c.boot_volume: cannot be read; write it like 64M, 2G"),
        (f"{CLOUD}flavors = ['f']\nmetadata = {{ecloud-claim = 'x'}}\n", "metadata 'ecloud-claim' is not yours to set"),
        (f"{CLOUD}flavors = ['f']\npip = ['numpy; rm -rf /']\n", "pools.c.pip.0: String should match pattern"),
        (f"{CLOUD}flavors = ['f']\npackages = ['-y']\n", "pools.c.packages.0: String should match pattern"),
        (f"{CLOUD}flavors = ['f']\nnetwork = 'n'\n", "pools.c.network: unknown setting; did you mean pools.*.networks?"),
        (f"{CLOUD}flavors = ['f']\nuser_data = 'perl'\n", "pools.c.user_data: Input should be 'cloud-config' or 'script'"),
        ("state = \n", "not TOML: Invalid value (at line 1, column 9)"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path / "ecloud.toml", text)
    assert f"{path}: " in refused()
    assert said in refused()


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "ecloud.toml", "local_slots = 0\n[api]\nport = -1\n")
    monkeypatch.setenv("ECLOUD_LOCAL_SLOT", "2")
    assert len(refused().splitlines()) == 3


def test_a_wrong_variable_is_named_as_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLOUD_BROKER__PORT", "many")
    monkeypatch.setenv("ECLOUD_POLICI__LEASE", "9")
    assert refused().splitlines() == [
        "ECLOUD_POLICI__LEASE: unknown setting; did you mean ECLOUD_POLICY__LEASE?",
        "ECLOUD_BROKER__PORT: Input should be a valid integer, unable to parse string as an integer",
    ]


def test_variables_of_clients_and_tasks_are_not_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ECLOUD_API_URL", "ECLOUD_TOKEN", "ECLOUD_WORKER", "ECLOUD_TASK", "ECLOUD_WORKER_FOLDER"):
        monkeypatch.setenv(name, "x")
    assert made().local_slots == 6


@pytest.mark.parametrize("url", ["postgres://ada:hunter2@h/d", "mysql://ada:hunter2@h", "ada:hunter2"])
def test_no_error_shows_a_password(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLOUD_DATABASE_URL", url)
    assert refused() == "ECLOUD_DATABASE_URL: write it like mysql://user:password@host:port/database or sqlite:///path"


def test_the_settings_do_not_print_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLOUD_DATABASE_URL", "mysql://ada:hunter2@h/d")
    assert "hunter2" not in repr(settings.load()[0])
    assert "hunter2" not in repr(made())


def test_this_machine_can_be_looked_at(tmp_path: Path) -> None:
    machine = config.look_at_machine(tmp_path / "not" / "there" / "yet")
    assert machine.cpus >= 1
    assert machine.memory > 2**27
    assert machine.disk > 0


def test_a_pool_in_a_cloud_needs_an_image_and_names_of_flavors_and_waits_longer(tmp_path: Path) -> None:
    write(tmp_path / "ecloud.toml", CLOUD + "cloud = 'lab'\nflavors = ['m1.small', {name = 'gpu', gpus = 2, price = 1.5}]\n")
    boss = made()
    pool = boss.policy.pools[0]
    assert (pool.provider, pool.maximum, pool.cooldown, pool.boot_timeout) == ("openstack:lab", 4, 60.0, 600.0)
    assert [(flavor.name, flavor.resources, flavor.price) for flavor in pool.flavors] == [("m1.small", {}, 0.0), ("gpu", {}, 1.5)]
    assert boss.policy.create_timeout == 120.0
    assert boss.clouds == (CloudPool("c", "lab", "debian-12", {"m1.small": {}, "gpu": {"gpus": 2}}),)


def test_what_is_set_wins_over_the_defaults_of_a_cloud(tmp_path: Path) -> None:
    text = CLOUD + "flavors = ['f']\nnetworks = 'private'\nsecurity_groups = ['a', 'b']\ncooldown = '5m'\nboot_volume = '20G'\n"
    write(tmp_path / "ecloud.toml", text + "maximum = 40\n[policy]\ncreate_timeout = 30\n")
    boss = made()
    pool, cloud = boss.policy.pools[0], boss.clouds[0]
    assert (pool.provider, pool.cooldown, pool.maximum) == ("openstack", 300.0, 40)
    assert (cloud.networks, cloud.security_groups, cloud.boot_volume) == (("private",), ("a", "b"), 20)
    assert boss.policy.create_timeout == 30.0


SECURE = "[pools.s]\nflavors = [{name = 'one', resources = {cpus = 1}}]\nrequire_signature = 'signers'\n"


def test_a_pool_names_a_file_beside_the_settings_with_the_keys_that_may_sign(tmp_path: Path) -> None:
    write(tmp_path / "ecloud.toml", SECURE)
    line = Key(tmp_path / "keys", "ada").line
    write(tmp_path / "signers", line)
    boss = made()
    assert boss.signers == {"s": line}
    assert [key.name for key in boss.policy.pools[0].signers] == ["ada"]


@pytest.mark.parametrize(
    ("text", "because"),
    [(None, "No such file"), ("", "names no key"), ("ada ssh-rsa AAAA\n", "line 1: a key of type ssh-rsa")],
)
def test_a_file_of_signers_that_cannot_be_read_is_an_error_that_names_pool_and_line(
    tmp_path: Path, text: str | None, because: str
) -> None:
    write(tmp_path / "ecloud.toml", SECURE)
    if text is not None:
        write(tmp_path / "signers", text)
    with pytest.raises(SettingsError, match=r"\[pools.s\] require_signature: .*signers: .*" + because):
        made()


# ---- what people are shown ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", ["hunter2", "p@ss:w/rd@", "x"])
def test_settings_in_force_are_shown_without_a_password(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLOUD_DATABASE_URL", f"mysql://ecloud:{password}@db.example:3306/ecloud")
    shown = dict(config.in_force())
    assert shown["database_url"] == "mysql://ecloud:(not shown)@db.example:3306/ecloud"
    assert shown["api.host"] == "127.0.0.1"
    assert len(password) < 3 or password not in repr(shown)


def test_settings_in_force_name_their_file_and_the_pools(tmp_path: Path) -> None:
    file = write(tmp_path / "ecloud.toml", CLOUD + "flavors = ['small']\nmaximum = 7\n")
    shown = dict(config.in_force())
    assert shown["(file)"] == str(file)
    assert shown["pools.c.maximum"] == "7"
