"""Fake compute driver of the test cloud: nova's own in-memory FakeDriver plus
faults on demand, a guest hook, and a memory that survives a restart.

Faults come from the JSON file named by LAB_FAULTS (read at every call) and,
with priority, from the metadata of the server itself (keys lab_<fault>):

  spawn_delay   seconds that the boot takes (server stays in BUILD)
  spawn_hang    true: the boot never ends (until the server is deleted or the
                fault is taken out of the file)
  spawn_fail    probability 0..1 that the boot fails (server goes to ERROR)
  delete_delay  seconds that the deletion takes (task_state deleting)
  delete_fail   probability that the deletion fails (server goes to ERROR)

LAB_GUEST_HOOK, if set, names a program that is run in the background as
"HOOK start|stop" with LAB_UUID, LAB_NAME, LAB_IP, LAB_MAC and LAB_USER_DATA
(path of a file) in its environment.
"""

import base64
import json
import os
import random
import subprocess
import time

import nova.conf
from nova import context as nova_context
from nova import exception, objects
from nova.compute import power_state, vm_states
from nova.virt import fake
from oslo_log import log as logging

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)
TRUE = ("1", "true", "yes", "on")


def _faults(instance):
    found = {}
    try:
        with open(os.environ.get("LAB_FAULTS", "")) as f:
            found.update(json.load(f))
    except FileNotFoundError:
        pass
    except Exception as e:
        LOG.warning("faults file ignored: %s", e)
    for k, v in (instance.metadata or {}).items():
        if k.startswith("lab_"):
            found[k[4:]] = v
    return found


def _num(faults, key):
    try:
        return float(faults.get(key) or 0)
    except ValueError:
        return 0.0


def _true(faults, key):
    return str(faults.get(key, "")).lower() in TRUE


class LabFakeDriver(fake.FakeDriver):
    vcpus = int(os.environ.get("LAB_FAKE_VCPUS", "500"))
    memory_mb = int(os.environ.get("LAB_FAKE_RAM_MB", "2000000"))
    local_gb = int(os.environ.get("LAB_FAKE_DISK_GB", "100000"))

    def init_host(self, host):
        super().init_host(host)
        nodes = int(os.environ.get("LAB_FAKE_NODES", "1"))
        if nodes > 1:
            self._set_nodes([f"{host}-n{i:02d}" for i in range(nodes)])
        ctxt = nova_context.get_admin_context()
        for inst in objects.InstanceList.get_by_host(ctxt, host):
            if inst.vm_state not in (vm_states.BUILDING, vm_states.DELETED):
                self.instances[inst.uuid] = fake.FakeInstance(inst.name, inst.power_state or power_state.RUNNING, inst.uuid)

    def _hook(self, what, instance, network_info=None):
        hook = os.environ.get("LAB_GUEST_HOOK")
        if not hook:
            return
        env = dict(os.environ, LAB_UUID=instance.uuid, LAB_NAME=instance.display_name or "")
        try:
            for vif in network_info or []:
                env["LAB_MAC"] = vif["address"]
                for ip in vif.fixed_ips():
                    env["LAB_IP"] = ip["address"]
                break
            if instance.user_data and what == "start":
                path = os.path.join(CONF.instances_path, instance.uuid + ".user-data")
                os.makedirs(CONF.instances_path, exist_ok=True)
                with open(path, "wb") as f:
                    f.write(base64.b64decode(instance.user_data))
                env["LAB_USER_DATA"] = path
            subprocess.Popen([hook, what], env=env, start_new_session=True, stdin=subprocess.DEVNULL)
        except Exception:  # the guest is beside the server: what goes wrong there is logged, and Nova goes on
            LOG.exception("guest hook failed", instance=instance)

    def get_info(self, instance, use_cache=True):
        """A guest that has powered itself off is found off by Nova's periodic look."""
        guest = os.path.join(os.environ.get("LAB_DIR", ""), "guests", instance.uuid, "off")
        if instance.uuid in self.instances and os.path.exists(guest):
            self.instances[instance.uuid].state = power_state.SHUTDOWN
        return super().get_info(instance, use_cache)

    def spawn(self, context, instance, *args, **kwargs):
        faults = _faults(instance)
        time.sleep(_num(faults, "spawn_delay"))  # the fault itself: a slow boot
        while _true(_faults(instance), "spawn_hang"):
            time.sleep(2)  # the fault itself: a boot that never ends, as long as the file says so
            instance.refresh()  # raises InstanceNotFound when deleted
            if instance.task_state == "deleting":
                raise exception.UnexpectedDeletingTaskStateError(instance_uuid=instance.uuid, expected={}, actual={})
        if random.random() < _num(faults, "spawn_fail"):
            # Not retried on another host: the server goes to ERROR.
            raise exception.BuildAbortException(instance_uuid=instance.uuid, reason="fault injected")
        super().spawn(context, instance, *args, **kwargs)
        self._hook("start", instance, kwargs.get("network_info"))

    def get_console_output(self, context, instance):
        """What the guest has printed."""
        try:
            with open(os.path.join(os.environ["LAB_DIR"], "guests", instance.uuid, "log"), "rb") as f:
                return f.read()
        except (KeyError, FileNotFoundError):
            return b""

    def destroy(self, context, instance, *args, **kwargs):
        faults = _faults(instance)
        time.sleep(_num(faults, "delete_delay"))  # the fault itself: a slow deletion
        if random.random() < _num(faults, "delete_fail"):
            raise exception.InstanceTerminationFailure(reason="fault injected")
        super().destroy(context, instance, *args, **kwargs)
        self._hook("stop", instance)
