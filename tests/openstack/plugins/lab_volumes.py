"""Volume driver of the test cloud: volumes are records of a real Cinder, with faults on demand.

A disk stands behind a volume only where a guest of QEMU has it attached: a sparse file below LAB_DIR behind a loop device, empty at
first, so not for volumes that are made of images.

Faults come from the JSON file named by LAB_FAULTS, read at every call:

  volume_create_delay  seconds that making a volume takes
  volume_create_fail   probability 0..1 that it fails (volume goes to "error")
  volume_delete_fail   probability that its deletion fails (volume goes to "error_deleting")
"""

import json
import os
import random
import subprocess
import time

from cinder import exception, interface
from cinder.volume import driver


def _fault(name):
    try:
        with open(os.environ.get("LAB_FAULTS", "")) as file:
            return float(json.load(file).get(name) or 0)
    except FileNotFoundError:
        return 0.0


def _file(volume):
    return os.path.join(os.environ["LAB_DIR"], "volumes", volume["id"])


def _devices(volume):
    """The loop devices of a volume: none or one."""
    said = subprocess.run(
        ["losetup", "--noheadings", "--output", "NAME", "--associated", _file(volume)], capture_output=True, text=True
    )
    return said.stdout.split()


def _attach(volume):
    """Its loop device, made if there is none."""
    if volume["bootable"]:
        raise exception.VolumeBackendAPIException(data="a volume made of an image has no disk in this cloud")
    os.makedirs(os.path.dirname(_file(volume)), exist_ok=True)
    with open(_file(volume), "ab") as file:
        file.truncate(volume["size"] << 30)
    for device in _devices(volume):
        return device
    made = subprocess.run(["losetup", "--find", "--show", _file(volume)], check=True, capture_output=True, text=True)
    return made.stdout.strip()


def _detach(volume):
    for device in _devices(volume):
        subprocess.run(["losetup", "--detach", device], check=True)


@interface.volumedriver
class LabVolumeDriver(driver.VolumeDriver):
    VERSION = "1"
    CI_WIKI_NAME = "none"

    def check_for_setup_error(self):
        pass

    def _make(self):
        time.sleep(_fault("volume_create_delay"))  # the fault itself: a slow volume
        if random.random() < _fault("volume_create_fail"):
            raise exception.VolumeBackendAPIException(data="fault injected")

    def create_volume(self, volume):
        self._make()

    def clone_image(self, context, volume, image_location, image_meta, image_service):
        self._make()
        return {}, True

    def delete_volume(self, volume):
        if random.random() < _fault("volume_delete_fail"):
            raise exception.VolumeBackendAPIException(data="fault injected")
        if os.path.exists(_file(volume)):
            _detach(volume)
            os.unlink(_file(volume))

    def ensure_export(self, context, volume):
        pass

    def create_export(self, context, volume, connector):
        pass

    def remove_export(self, context, volume):
        pass

    def initialize_connection(self, volume, connector):
        if connector.get("initiator") == "fake":  # Nova's fake driver asks
            return {"driver_volume_type": "fake", "data": {"volume_id": volume["id"]}}
        return {"driver_volume_type": "local", "data": {"volume_id": volume["id"], "device_path": _attach(volume)}}

    def terminate_connection(self, volume, connector, **kwargs):
        _detach(volume)

    def _update_volume_stats(self):
        self._stats = {
            "volume_backend_name": "lab",
            "vendor_name": "lab",
            "driver_version": self.VERSION,
            "storage_protocol": "fake",
            "total_capacity_gb": "infinite",
            "free_capacity_gb": "infinite",
            "reserved_percentage": 0,
        }
