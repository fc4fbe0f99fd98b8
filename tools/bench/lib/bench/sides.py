# SPDX-License-Identifier: GPL-2.0
"""Sides: two network devices of a kind that reach each other, each in a namespace of its own."""

import json
import re
import subprocess
import sys
from pathlib import Path

from ferrite import Side, cmd, dpus, ip, wait_for
from net.lib.py import defer

# The third byte from the end of the addresses that tools/bench/run gives to devices.
KINDS = {"virtio-tap": 1, "virtio-hub": 2, "igb": 3, "e1000e": 4}
DRIVERS = {"virtio-tap": "virtio_net", "virtio-hub": "virtio_net", "igb": "igb", "e1000e": "e1000e"}
IPERF, SOCKPERF = 5201, 11111


class Ends:
    """A side: `left` and `right`, up and with servers on the right."""

    def __init__(self, name, left, right):
        self.name = name
        self.left = Side(f"{name}-l", left, 1)
        self.right = Side(f"{name}-r", right, 2)
        self.servers = []
        for end in (self.left, self.right):
            # What a device says of itself unasked would be measured, too.
            cmd("sysctl -qw net.ipv6.conf.all.disable_ipv6=1", ns=end.ns)
            ip(f"link set {end.netdev} up", ns=end.ns)
        for end in (self.left, self.right):
            end.wait_up()
        reach = f"ping -n -q -c 1 -W 1 {self.right.ipv4}"
        wait_for(lambda: cmd(reach, ns=self.left.ns, fail=False).ret == 0, f"the first packet of {name} to come back")

    def __str__(self):
        return self.name

    def run(self, command, timeout=60):
        """Runs a command on the left; returns what it says. If it does not end, what the ends counted tells why."""
        try:
            return cmd(command, ns=self.left.ns, timeout=timeout).stdout
        except subprocess.TimeoutExpired:
            for end in (self.left, self.right):
                for look in (f"ethtool -S {end.netdev}", "ss -tinm", "nstat -a"):
                    print(cmd(look, ns=end.ns, fail=False).stdout, file=sys.stderr)
            raise

    def iperf(self, options, seconds):
        """Runs iperf3 from left to right; returns its report."""
        self.serve("iperf3 --server", IPERF)
        said = self.run(f"iperf3 --client {self.right.ipv4} --port {IPERF} --time {seconds} --interval 0 --json {options}",
                        timeout=seconds + 60)
        report = json.loads(said)
        if "error" in report:
            raise RuntimeError(f"iperf3 {options} on {self}: {report['error']}")
        return report

    def serve(self, command, port):
        """Has a server run on the right, from the first time it is needed."""
        if command in self.servers:
            return
        self.servers.append(command)
        # It writes to nobody, so that no pipe fills.
        done = cmd(f"ip netns exec {self.right.ns} sh -c '{command} --port {port} >/dev/null 2>&1 & echo $!'", shell=True)
        defer(cmd, f"kill {done.stdout.strip()}", fail=False)
        listening = f"ss -Hlntu sport = :{port}"
        wait_for(lambda: cmd(listening, ns=self.right.ns).stdout.strip(), f"{command} to listen")


def by_address(address):
    """Waits for the network device of this address; returns its name."""
    def find():
        for path in Path("/sys/class/net").glob("*/address"):
            if path.read_text(encoding="ascii").strip() == address:
                return path.parent.name
        return None
    return wait_for(find, f"the network device {address}")


def ferrite():
    """Two VFs of a DPU, whose switch forwards between them."""
    pci = dpus()[0]
    pci.write("sriov_numvfs", 2)
    defer(pci.write, "sriov_numvfs", 0)
    return Ends("ferrite", *(vf.wait_netdev() for vf in pci.vfs))


def cable():
    """The PFs of two DPUs, with a cable of QEMU's between them."""
    return Ends("ferrite-cable", *(pci.wait_netdev() for pci in dpus()[:2]))


def veth():
    """What a guest can do at most: two devices that hand each other packets without any device."""
    ip("link add veth-l type veth peer name veth-r")
    return Ends("veth", "veth-l", "veth-r")


def emulated(kind):
    """Two devices of QEMU's own."""
    cmd(f"modprobe {DRIVERS[kind]}", timeout=60)
    return Ends(kind, *(by_address(f"02:be:00:{KINDS[kind]:02x}:00:{number:02x}") for number in range(2)))


def make(name):
    """Makes a side."""
    own = {"ferrite": ferrite, "ferrite-cable": cable, "veth": veth}
    return own[name]() if name in own else emulated(name)


def present(name):
    """Whether this guest has what the side is made of."""
    if name not in KINDS:
        return True
    wanted = f"02:be:00:{KINDS[name]:02x}:"
    cmd(f"modprobe {DRIVERS[name]}", timeout=60)
    return bool(re.search(wanted, cmd("ip -o link").stdout))
