"""Volume driver of the test cloud: volumes are records of a real Cinder without a disk behind them, with faults on demand.

Faults come from the JSON file named by LAB_FAULTS, read at every call:

  volume_create_delay  seconds that making a volume takes
  volume_create_fail   probability 0..1 that it fails (volume goes to "error")
  volume_delete_fail   probability that its deletion fails (volume goes to "error_deleting")
"""

import json
import os
import random
import time

from cinder import exception, interface
from cinder.volume import driver


def _fault(name):
    try:
        with open(os.environ.get("LAB_FAULTS", "")) as file:
            return float(json.load(file).get(name) or 0)
    except FileNotFoundError:
        return 0.0


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

    def ensure_export(self, context, volume):
        pass

    def create_export(self, context, volume, connector):
        pass

    def remove_export(self, context, volume):
        pass

    def initialize_connection(self, volume, connector):
        return {"driver_volume_type": "fake", "data": {"volume_id": volume["id"]}}

    def terminate_connection(self, volume, connector, **kwargs):
        pass

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
