"""OpenStack keeps the contract of the port ``Cloud``."""

import pytest

from tests.contract.cloud_contract import CloudContract

pytestmark = pytest.mark.openstack


class TestOpenStack(CloudContract):
    """All of it, on a real Nova, Neutron, Glance and Keystone."""
