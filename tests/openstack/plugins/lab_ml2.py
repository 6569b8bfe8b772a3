"""ML2 mechanism driver of the test cloud: binds every port without an agent.

The port is bound as a Linux bridge port of one fixed bridge. The fake compute
driver ignores that; the libvirt driver plugs the tap device of the server into
the bridge (os-vif), which exists on the host.
"""

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api
from oslo_config import cfg

cfg.CONF.register_opts(
    [cfg.StrOpt("bridge", default="brlab"), cfg.StrOpt("refuse_host", default="", help="compute host whose ports fail to bind")],
    group="labbridge",
)


class LabBridgeMechanismDriver(api.MechanismDriver):
    def initialize(self):
        pass

    @property
    def connectivity(self):
        return portbindings.CONNECTIVITY_L2

    def bind_port(self, context):
        conf = cfg.CONF.labbridge
        if conf.refuse_host and context.host == conf.refuse_host:
            return
        for segment in context.segments_to_bind:
            context.set_binding(
                segment[api.ID],
                portbindings.VIF_TYPE_BRIDGE,
                {portbindings.CAP_PORT_FILTER: False, portbindings.VIF_DETAILS_BRIDGE_NAME: conf.bridge},
                status=constants.PORT_STATUS_ACTIVE,
            )
            return
