# SPDX-License-Identifier: GPL-2.0
"""What the kernel's own driver tests call hardware mode: a net device to test, and one that answers in a namespace.

See README.rst in tools/testing/selftests/drivers/net of the kernel's source.
"""

from contextlib import ExitStack

from net.lib.py import cmd, ethtool, ip

from .devlink import Port, Sf, devlink
from .dpu import need_dpus
from .wait import wait_for

NAMESPACE = "rem"
LOCAL = {"4": "192.0.2.1", "6": "2001:db8:1::1"}
REMOTE = {"4": "192.0.2.2", "6": "2001:db8:1::2"}
# For what a test puts behind the tested device; the answering side has a route there.
LOCAL_PREFIX = "2001:db8:2::"


class Bench:
    """A function of the first DPU here, the PF of the second in the namespace, and the cable between them."""

    def __init__(self, kind):
        self.kind = kind
        self.undo = ExitStack()
        self.pci, self.partner = need_dpus(2)
        self.netdev = None
        self.answering = None

    def __enter__(self):
        try:
            self.netdev = {"pf": self.pf, "vf": self.vf, "sf": self.sf}[self.kind]()
            self.answering_side(self.partner.wait_netdev())
            add_addresses(self.netdev, LOCAL)
            self.undo.callback(cmd, f"ip link set {self.netdev} down", fail=False)
            wait_for(self.reachable, "the first packet to come back")
        except BaseException:
            self.undo.close()
            raise
        return self

    def __exit__(self, *error):
        self.undo.close()

    def pf(self):
        """The PF itself."""
        netdev = self.pci.wait_netdev()
        self.undo.callback(cmd, f"ip address flush dev {netdev}", fail=False)
        return netdev

    def vf(self):
        """A VF, as a machine has it that knows nothing of its PF."""
        self.undo.callback(self.pci.write, "sriov_numvfs", 0)
        self.pci.write("sriov_numvfs", 1)
        return self.pci.vfs[0].wait_netdev()

    def sf(self):
        """An SF, whose representor a bridge connects with the uplink."""
        self.undo.callback(cmd, f"devlink dev eswitch set pci/{self.pci} mode legacy")
        devlink(f"dev eswitch set pci/{self.pci} mode switchdev")
        port = Port.create(self.pci, "flavour pcisf pfnum 0 sfnum 1")
        self.undo.callback(port.clean)
        port.activate()
        ip("link add name bench type bridge")
        self.undo.callback(ip, "link del bench")
        uplink = self.pci.wait_netdev()
        self.undo.callback(cmd, f"ip link set {uplink} mtu 1500", fail=False)
        # Tests make the MTU of both ends larger, and know nothing of the bridge between them.
        for member in (uplink, port.wait_netdev()):
            ip(f"link set {member} mtu 9600 master bench up")
        ip("link set bench up")
        sf = Sf.of(1)
        sf.enable()
        return sf.wait_netdev()

    def answering_side(self, netdev):
        """Puts the partner's device into the namespace."""
        self.answering = netdev
        ip(f"netns add {NAMESPACE}")
        self.undo.callback(ip, f"netns del {NAMESPACE}")
        cmd("sysctl -qw net.ipv6.conf.all.keep_addr_on_down=1 net.ipv6.conf.default.keep_addr_on_down=1", ns=NAMESPACE)
        ip(f"link set {netdev} netns {NAMESPACE}")
        # A namespace gives its device back only when the last of its sockets is gone: be quicker.
        self.undo.callback(cmd, f"ip -n {NAMESPACE} link set {netdev} netns 1 name eth%d", fail=False)
        ip("link set lo up", ns=NAMESPACE)
        add_addresses(netdev, REMOTE, NAMESPACE)
        ip(f"-6 route add {LOCAL_PREFIX}/64 via {LOCAL['6']} dev {netdev}", ns=NAMESPACE)

    def queues(self, of_answering):
        """Returns how many queue pairs the tested device has in use, or the answering one."""
        if of_answering:
            return ethtool(f"-l {self.answering}", json=True, ns=NAMESPACE)[0]["combined"]
        return ethtool(f"-l {self.netdev}", json=True)[0]["combined"]

    def reachable(self):
        """Whether packets come back: not at once, for a carrier and a path are no event of one place."""
        return all(cmd(f"ping -n -q -c 1 -W 1 {address}", fail=False).ret == 0 for address in REMOTE.values())

    def environment(self):
        """What the tests read."""
        return {
            "NETIF": self.netdev,
            "LOCAL_V4": LOCAL["4"], "LOCAL_V6": LOCAL["6"], "REMOTE_V4": REMOTE["4"], "REMOTE_V6": REMOTE["6"],
            "LOCAL_PREFIX_V6": f"{LOCAL_PREFIX}0/64", "REMOTE_TYPE": "netns", "REMOTE_ARGS": NAMESPACE,
        }


def add_addresses(netdev, addresses, namespace=None):
    """Opens the device and gives it its addresses."""
    ip(f"address add {addresses['4']}/24 dev {netdev}", ns=namespace)
    ip(f"address add {addresses['6']}/64 dev {netdev} nodad", ns=namespace)
    ip(f"link set {netdev} up", ns=namespace)
