"""Where a datastore is, as ``set_datastore`` is told."""

from dataclasses import replace
from pathlib import Path

import pytest

import settings
from boss import config, datastores
from boss.config import Machine, OutsideDatastore

OWN = OutsideDatastore("eva", "store", 2222, "/data/ecloud", "ssh-ed25519 AAAA")


def made(tmp_path: Path, datastore: OutsideDatastore | None = None) -> config.BossConfig:
    """A boss's configuration with (or without) a datastore of its own in the settings."""
    plain = config.make(settings.Settings(state=tmp_path), None, Machine(2, 2**32, 2**36))
    return replace(plain, datastore=datastore)


@pytest.mark.parametrize(
    ("address", "read"),
    [
        ("eva@store", ("eva@store", None, "/data/ecloud")),
        ("eva@store:22", ("eva@store", 22, "/data/ecloud")),
        ("eva@store:/other", ("eva@store", None, "/other")),
        ("eva@store:22:/other", ("eva@store", 22, "/other")),
    ],
)
def test_an_address_is_a_log_in_a_port_and_a_folder(tmp_path: Path, address: str, read: object) -> None:
    assert datastores.read_address(made(tmp_path, OWN), address) == read


@pytest.mark.parametrize("address", ["", "nonsense", "store", "eva@", "eva@store:port", "eva@store:22:relative", "eva@st ore"])
def test_anything_else_is_refused_with_an_example(tmp_path: Path, address: str) -> None:
    with pytest.raises(ValueError, match=r"write it like eva@store\.example\.org"):
        datastores.read_address(made(tmp_path, OWN), address)


def test_without_a_folder_in_the_settings_the_address_must_name_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="names no folder"):
        datastores.read_address(made(tmp_path), "eva@store")


def test_the_host_key_of_the_settings_counts_for_its_own_host(tmp_path: Path) -> None:
    gate = datastores.gate_at(made(tmp_path, OWN), "eva@store")
    assert (gate.host, gate.port, gate.user, gate.host_key) == ("store", 2222, "eva", "ssh-ed25519 AAAA")
    assert gate.program == "/data/ecloud/gate.pyz"
