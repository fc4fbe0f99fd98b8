# SPDX-License-Identifier: GPL-2.0
"""The switch of a DPU in switchdev mode, with VFs behind it, and rules that tc hands to it."""

import json

from net.lib.py import KsftFailEx, cmd, defer, ip

from .devlink import ports, set_mode
from .wait import wait_for


def tc(words, fail=True):
    """Runs tc."""
    return cmd(f"tc {words}", fail=fail, timeout=60)


class Representor:
    """The network device that stands for a port of the switch."""

    def __init__(self, netdev):
        self.netdev = netdev
        self.has_block = False

    def __str__(self):
        return self.netdev

    def received(self):
        """Returns how many packets the device received: those that took the slow way."""
        return ip(f"-s link show dev {self.netdev}", json=True)[0]["stats64"]["rx"]["packets"]

    def add(self, words, fail=True):
        """Adds a filter, `protocol ip flower skip_sw ... action drop`; the end of the test removes them all."""
        if not self.has_block:
            tc(f"qdisc add dev {self.netdev} clsact")
            # The device may be gone by then.
            defer(tc, f"qdisc del dev {self.netdev} clsact", fail=False)
            self.has_block = True
        return tc(f"filter add dev {self.netdev} ingress {words}", fail=fail)

    def refuses(self, words, why):
        """Adds a filter that must be refused, for a reason that is told."""
        done = self.add(words, fail=False)
        if done.ret == 0:
            raise KsftFailEx(f"{self}: accepted: {words}")
        if why not in done.stderr:
            raise KsftFailEx(f"{self}: {words}\nshould say {why!r} and says:\n{done.stderr}")

    def remove(self, pref):
        """Removes the filters of a priority."""
        tc(f"filter del dev {self.netdev} ingress pref {pref}")

    def rule(self, pref):
        """Returns what `tc -s filter show` says of the one filter of a priority."""
        shown = json.loads(tc(f"-s -j filter show dev {self.netdev} ingress").stdout)
        found = [rule["options"] for rule in shown if rule["pref"] == pref and "actions" in rule.get("options", {})]
        if len(found) != 1:
            raise KsftFailEx(f"{self}: {len(found)} filters of priority {pref}: {shown}")
        return found[0]

    def hw_packets(self, pref):
        """Returns how many packets the device itself counted for a filter."""
        return self.rule(pref)["actions"][0]["stats"].get("hw_packets", 0)


class Switch:
    """A DPU in switchdev mode with some VFs, each of them and its representor by index; the test's end undoes it."""

    def __init__(self, pci, count):
        self.pci = pci
        defer(pci.write, "sriov_numvfs", 0)
        pci.write("sriov_numvfs", count)
        set_mode(pci, "switchdev")
        self.vfs = pci.vfs
        self.netdevs = [vf.wait_netdev() for vf in self.vfs]
        self.uplink = Representor(pci.wait_netdev())
        shown = {port.show()["vfnum"]: port for port in ports(pci, "pcivf")}
        self.reps = [Representor(shown[index].wait_netdev()) for index in range(count)]
        for rep in [*self.reps, self.uplink]:
            ip(f"link set {rep} up")
            wait_for(lambda rep=rep: ip(f"link show dev {rep}", json=True)[0]["operstate"] == "UP", f"{rep} to be up")

    def bridge(self, *reps):
        """Has the kernel's bridge connect ports: the slow way."""
        ip("link add name slow type bridge mcast_snooping 0")
        defer(ip, "link del slow")
        for rep in reps:
            ip(f"link set {rep} master slow")
        ip("link set slow up")
