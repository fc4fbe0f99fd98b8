# SPDX-License-Identifier: GPL-2.0
"""What users do with a DPU, for tests that have it fail meanwhile: each may fail, none may do harm."""

import os
import subprocess

from net.lib.py import CmdExitFailure, cmd, ksft_pr

from .devlink import Port, ports
from .dpu import put
from .vfio import PRE_COPY, RESUMING, RUNNING, STOP_COPY, Device, Iommufd
from .wait import wait_for

# The longest that anything may take: with a device that never answers, many timeouts in a row.
PATIENCE = 120
# Of ports that users add.
FLAVOURS = ["pcisf", "pcivf"]


class Stuck(Exception):
    """A command did not end."""


def attempt(words, ns=None):
    """Runs a command that may fail; returns what it says."""
    try:
        return cmd(words, ns=ns, fail=False, timeout=PATIENCE).stdout
    except subprocess.TimeoutExpired as error:
        raise Stuck(f"{words}: not done after {PATIENCE} s") from error


def write(path, text):
    """Writes to a file of the kernel, which may refuse."""
    try:
        put(path, text)
    except OSError:
        pass


def added(pci, flavours):
    """Returns the ports of these flavours, as far as they can be told."""
    try:
        return [port for flavour in flavours for port in ports(pci, flavour)]
    except (CmdExitFailure, ValueError):
        return []


class Deeds:
    """What can be done with a DPU and another that is cabled to it; by name, in `ALL`."""

    def __init__(self, pci, draw):
        self.pci, self.draw = pci, draw
        self.handle = f"pci/{pci}"

    def do(self, name):
        """Does what is called so."""
        getattr(self, name)()

    @property
    def netdev(self):
        """Name of the net device, or of none that there is."""
        return self.pci.netdev or "none"

    # The net device.

    def open(self):
        attempt(f"ip link set {self.netdev} up")

    def close(self):
        attempt(f"ip link set {self.netdev} down")

    def address(self):
        attempt(f"ip link set {self.netdev} address 02:00:00:00:05:{self.draw.randrange(256):02x}")

    def mtu(self):
        attempt(f"ip link set {self.netdev} mtu {self.draw.choice((68, 1280, 1500, 4000, 9000))}")

    def receive_mode(self):
        for mode in ("promisc", "allmulticast"):
            attempt(f"ip link set {self.netdev} {mode} {self.draw.choice(('on', 'off'))}")
        for change in ("add", "del"):
            attempt(f"ip maddress {change} 33:33:00:00:12:34 dev {self.netdev}")

    def look(self):
        for words in ("-S", "-i", "-k", "-l", "-g", "-c", "-x", "-n", "-T", "-I", "-d", "-a", "-m", ""):
            attempt(f"ethtool {words} {self.netdev}")
        attempt(f"ethtool -S {self.netdev} --all-groups")
        attempt(f"ip -s link show {self.netdev}")

    def rings(self):
        size = self.draw.choice((64, 128, 512, 1024))
        attempt(f"ethtool -G {self.netdev} rx {size} tx {size}")

    def channels(self):
        attempt(f"ethtool -L {self.netdev} combined {self.draw.randrange(1, 3)}")

    def moderation(self):
        attempt(f"ethtool -C {self.netdev} adaptive-rx off adaptive-tx off rx-usecs {self.draw.randrange(100)}"
                f" tx-usecs {self.draw.randrange(100)}")
        attempt(f"ethtool -C {self.netdev} adaptive-rx on adaptive-tx on")

    def features(self):
        for feature in ("lro", "rx", "tx", "tso", "rx-gro-hw", "loopback"):
            attempt(f"ethtool -K {self.netdev} {feature} {self.draw.choice(('on', 'off'))}")

    def spreading(self):
        attempt(f"ethtool -X {self.netdev} equal 1")
        attempt(f"ethtool -X {self.netdev} context new start 0 equal 1")
        attempt(f"ethtool -X {self.netdev} context 1 delete")
        attempt(f"ethtool -X {self.netdev} default")
        attempt(f"ethtool -N {self.netdev} rx-flow-hash udp4 sdfn")

    def filters(self):
        attempt(f"ethtool -N {self.netdev} flow-type udp4 dst-port 9 action -1 loc 3")
        attempt(f"ethtool -N {self.netdev} flow-type ip4 l4proto 1 action 0 loc 4")
        for at in (3, 4):
            attempt(f"ethtool -N {self.netdev} delete {at}")

    def selftest(self):
        attempt(f"ethtool -t {self.netdev} {self.draw.choice(('online', 'offline'))}")

    def traffic(self):
        """Sends to nobody: what is answered comes from the other DPU, if that is up."""
        attempt(f"ping -q -I {self.netdev} -c 20 -i 0.002 -W 1 -w 1 -s {self.draw.choice((56, 1400))} 192.0.2.2")

    # The device.

    def information(self):
        attempt(f"devlink dev info {self.handle}")
        attempt(f"devlink dev param show {self.handle}")
        attempt(f"devlink resource show {self.handle}")

    def health(self):
        for reporter in ("fw", "fw_fatal"):
            attempt(f"devlink health diagnose {self.handle} reporter {reporter}")
            attempt(f"devlink health dump show {self.handle} reporter {reporter}")
            attempt(f"devlink health dump clear {self.handle} reporter {reporter}")
        for port in [self.handle + "/0"]:
            for reporter in ("tx", "rx", "vnic"):
                attempt(f"devlink health diagnose {port} reporter {reporter}")
                attempt(f"devlink health recover {port} reporter {reporter}")

    def regions(self):
        for region in ("registers", "admin_rings"):
            attempt(f"devlink region new {self.handle}/{region} snapshot 7")
            attempt(f"devlink region dump {self.handle}/{region} snapshot 7")
            attempt(f"devlink region del {self.handle}/{region} snapshot 7")

    def debugfs(self):
        for file in self.pci.debugfs.glob("*"):
            if os.access(file, os.R_OK):
                attempt(f"cat {file}")

    def rebind(self):
        if self.pci.driver:
            self.pci.unbind()
        self.pci.try_bind()

    def reset(self):
        try:
            self.pci.reset("flr")
        except OSError:
            pass

    def recover(self):
        attempt(f"devlink health recover {self.handle} reporter fw_fatal")

    def reload(self):
        attempt(f"devlink dev reload {self.handle}")

    # Its functions.

    def switchdev(self):
        attempt(f"devlink dev eswitch set {self.handle} mode switchdev")

    def legacy(self):
        attempt(f"devlink dev eswitch set {self.handle} mode legacy")

    def add_sf(self):
        attempt(f"devlink port add {self.handle} flavour pcisf pfnum 0 sfnum {self.draw.randrange(4)}")

    def add_vf(self):
        attempt(f"devlink port add {self.handle} flavour pcivf pfnum 0")

    def _some(self, flavour=None):
        """A port of this flavour that a user added, or None."""
        found = added(self.pci, [flavour] if flavour else FLAVOURS)
        return self.draw.choice(found) if found else None

    def configure(self):
        if port := self._some():
            attempt(f"devlink port function set {port} hw_addr 02:00:00:00:06:{self.draw.randrange(256):02x}")
            attempt(f"devlink port function set {port} trust {self.draw.choice(('on', 'off'))}")

    def activate(self):
        if port := self._some():
            attempt(f"devlink port function set {port} state active")

    def deactivate(self):
        if port := self._some():
            attempt(f"devlink port function set {port} state inactive")

    def delete(self):
        if port := self._some():
            attempt(f"devlink port del {port}")

    def enable(self):
        """Has a driver of some kind take an SF."""
        what, other = self.draw.sample(("eth", "vnet"), 2)
        for sf in sorted(os.listdir("/sys/bus/auxiliary/devices")):
            if sf.startswith("ferrite_core.sf."):
                attempt(f"devlink dev param set auxiliary/{sf} name enable_{what} value true cmode driverinit")
                attempt(f"devlink dev param set auxiliary/{sf} name enable_{other} value false cmode driverinit")
                attempt(f"devlink dev reload auxiliary/{sf}")

    def vdpa(self):
        for sf in sorted(os.listdir("/sys/bus/auxiliary/devices")):
            if sf.startswith("ferrite_core.sf."):
                attempt(f"vdpa dev add name {sf[13:]} mgmtdev auxiliary/{sf} mac 02:00:00:00:99:{self.draw.randrange(256):02x}")
        attempt("vdpa dev show")
        attempt("vdpa dev config show")
        for sf in os.listdir("/sys/bus/vdpa/devices") if os.path.exists("/sys/bus/vdpa/devices") else ():
            attempt(f"vdpa dev vstats show {sf} qidx 0")
            if self.draw.random() < 0.5:
                attempt(f"vdpa dev del {sf}")

    def sriov(self):
        write(self.pci.path / "sriov_numvfs", self.draw.choice((0, 1, 2)))

    def rates(self):
        attempt(f"devlink port function rate add {self.handle}/node tx_max 100mbit")
        if port := self._some():
            attempt(f"devlink port function rate set {port} parent node tx_max 10mbit tx_share 1mbit")
            attempt(f"devlink port function rate set {port} noparent")
        attempt("devlink port function rate show")
        attempt(f"devlink port function rate del {self.handle}/node")

    def rules(self):
        if port := self._some():
            try:
                netdev = port.netdev
            except (CmdExitFailure, KeyError, ValueError):
                netdev = None
            if not netdev:
                return
            attempt(f"ip link set {netdev} up")
            attempt(f"tc qdisc add dev {netdev} clsact")
            attempt(f"tc filter add dev {netdev} ingress protocol ip pref 5 flower skip_sw ip_proto udp dst_port 9 action drop")
            attempt(f"tc -s filter show dev {netdev} ingress")
            attempt(f"tc qdisc del dev {netdev} clsact")

    def migrate(self):
        """Saves and loads a VF that VFIO has, as far as that goes."""
        fds, port, device, space = [], None, None, None
        try:
            cmd("modprobe ferrite_vfio", timeout=60)
            port = Port.create(self.pci, "flavour pcivf pfnum 0")
            port.set("migratable enable state active")
            space = Iommufd()
            device = Device(space, self.pci.vfs[port.show()["vfnum"]])
            for state in (PRE_COPY, STOP_COPY, RESUMING, RUNNING):
                fd = device.go(state)
                if fd is not None:
                    fds.append(fd)
                    if state != RESUMING:
                        os.set_blocking(fd, False)
                        os.read(fd, 65536)
                    else:
                        os.write(fd, bytes(64))
        except Exception as error:
            ksft_pr(f"migrate: {type(error).__name__}")
        finally:
            for fd in fds:
                os.close(fd)
            for thing in (device, space):
                if thing:
                    thing.close()
            if port:
                attempt(f"devlink port del {port}")

    def tidy(self):
        """Takes away whatever was made."""
        if os.path.exists("/sys/bus/vdpa/devices"):
            for name in os.listdir("/sys/bus/vdpa/devices"):
                attempt(f"vdpa dev del {name}")
        for port in added(self.pci, FLAVOURS):
            attempt(f"devlink port del {port}")
        write(self.pci.path / "sriov_numvfs", 0)
        self.legacy()


NETDEV = ["open", "close", "address", "mtu", "receive_mode", "look", "rings", "channels", "moderation", "features", "spreading",
          "filters", "selftest", "traffic"]
DEVICE = ["information", "health", "regions", "debugfs", "rebind", "reset", "recover", "reload"]
FUNCTIONS = ["switchdev", "legacy", "add_sf", "add_vf", "configure", "activate", "deactivate", "delete", "enable", "vdpa", "sriov",
             "rates", "rules", "migrate"]
ALL = NETDEV + DEVICE + FUNCTIONS


def settle(pci):
    """Makes sure that a DPU is bound and well and that nobody has it fail, whatever came before."""
    pci.clear_faults()
    pci.restore("bus")
    wait_for(lambda: pci.netdev, f"the network device of {pci}")
