# SPDX-License-Identifier: GPL-2.0
"""Network namespaces with a DPU's network device in each, to pass packets between."""

import json
import re

from net.lib.py import KsftFailEx, bkg, cmd, defer, ethtool, ip, rand_port, wait_port_listen

from .wait import wait_for

IPERF_GRACE = 40


class Side:
    """A network device in a namespace of its own."""

    def __init__(self, name, netdev, number):
        self.ns = name
        self.netdev = netdev
        self.ipv4 = f"192.0.2.{number}"
        self.ipv6 = f"2001:db8::{number}"
        ip(f"netns add {name}")
        self.left = False
        defer(self.leave)
        ip(f"link set {netdev} netns {name}")
        # One program for all: each costs an emulated guest as much as many a test.
        lines = ("link set lo up", f"address add {self.ipv4}/24 dev {netdev}", f"address add {self.ipv6}/64 dev {netdev} nodad")
        cmd("printf '%s\\n' " + " ".join(f"'{line}'" for line in lines) + f" | ip -n {name} -batch -", shell=True)

    def __str__(self):
        return self.ns

    def leave(self):
        """Gives the device back, if it is still there, and removes the namespace."""
        if self.left:
            return
        self.left = True
        # A namespace gives its device back only when the last of its sockets is gone: be quicker. Another device may
        # have its name by now.
        cmd(f"ip -n {self.ns} link set {self.netdev} netns 1 name eth%d", fail=False)
        ip(f"netns del {self.ns}")

    def up(self, mtu=None):
        """Opens the device and waits for its carrier."""
        ip(f"link set {self.netdev} up" + (f" mtu {mtu}" if mtu else ""), ns=self.ns)
        self.wait_up()

    def down(self):
        """Closes the device."""
        ip(f"link set {self.netdev} down", ns=self.ns)

    def link(self):
        """Returns what `ip -s link` says of the device."""
        return ip(f"-s -s link show dev {self.netdev}", json=True, ns=self.ns)[0]

    def wait_up(self):
        """Waits until the device has a carrier."""
        wait_for(lambda: self.link()["operstate"] == "UP", f"{self.netdev} to be up")

    def ethtool(self, arguments, fail=True):
        """Runs ethtool in the namespace."""
        return cmd(f"ethtool {arguments}", ns=self.ns, fail=fail)

    def stats(self):
        """Returns the counters of `ethtool -S`."""
        return stats(self.netdev, self.ns)

    def ping(self, address, count=5, size=56, options=""):
        """Pings and fails unless every packet comes back."""
        before = self.echo_replies()
        done = cmd(f"ping -n -q -c {count} -i 0.02 -W 10 -s {size} {options} {address}", ns=self.ns, timeout=60,
                   fail=False)
        if not re.search(rf"\b{count} packets transmitted", done.stdout):
            raise KsftFailEx(f"ping {address} from {self}:\n{done.stdout}{done.stderr}")
        # ping waits for the last reply no longer than two round trips took, the interval at least: the stack knows.
        wait_for(lambda: self.echo_replies() - before >= count,
                 f"the replies to ping {address} from {self}:\n{done.stdout}{done.stderr}")

    def echo_replies(self):
        """Returns how many replies to pings came, IPv4 and IPv6."""
        return self.counter("IcmpInEchoReps", "Icmp6InEchoReplies")

    def counter(self, *names):
        """Returns the sum of these counters of the namespace's stack, as nstat names them."""
        counters = json.loads(cmd("nstat --json --zeros --noupdate --ignore", ns=self.ns).stdout)["kernel"]
        return sum(counters.get(name, 0) for name in names)


class Pair:
    """Two network devices that reach each other, each in a namespace, up and with addresses."""

    def __init__(self, left, right, mtu=None):
        self.left = Side("left", left, 1)
        self.right = Side("right", right, 2)
        for side in (self.left, self.right):
            side.up(mtu)
        # The stack drops what is sent between the carrier and the start of the queues.
        reach = f"ping -n -q -c 1 -W 1 {self.right.ipv4}"
        wait_for(lambda: cmd(reach, ns=self.left.ns, fail=False).ret == 0, "the first packet to come back")

    def iperf(self, options="", seconds=2, size=None, reverse=False, address=None):
        """Runs iperf3 from left to right, to its own address or another, for so long or until so many bytes are sent;
        returns its report. Fails when it reports an error."""
        amount = f"--bytes {size}" if size else f"--time {seconds}"
        port = rand_port()
        with bkg(f"iperf3 --server --one-off --port {port}", ns=self.right.ns, exit_wait=True):
            wait_port_listen(port, ns=self.right.ns)
            client = cmd(f"iperf3 --client {address or self.right.ipv4} --port {port} {amount} --json {options}"
                         + (" --reverse" if reverse else ""), ns=self.left.ns, timeout=seconds + IPERF_GRACE,
                         fail=False)
        report = json.loads(client.stdout)
        if "error" in report or client.ret:
            raise KsftFailEx(f"iperf3 {options}: {report.get('error')} {client.stderr}")
        return report

    def stream(self):
        """Starts a TCP stream in both directions that lasts until the returned context is left. Its peer may vanish."""
        return Stream(self)


class Stream:
    """Traffic in the background: a TCP connection each way.

    Not iperf3 --bidir: when its server accepts the two connections in the other order than its client made them in,
    both ends send on the same one and wait for each other.
    """

    def __init__(self, pair):
        self.pair = pair
        self.processes = []

    def __enter__(self):
        before = self.packets()
        for options in ("", "--reverse"):
            port = rand_port()
            self.start(f"iperf3 --server --one-off --port {port}", self.pair.right)
            wait_port_listen(port, ns=self.pair.right.ns)
            self.start(f"iperf3 --client {self.pair.right.ipv4} --port {port} --time 600 {options}", self.pair.left)
        wait_for(lambda: all(now > then + 100 for now, then in zip(self.packets(), before)), "traffic")
        return self

    def __exit__(self, *_error):
        for process in reversed(self.processes):
            process.process(terminate=True, fail=False)

    def start(self, command, side):
        """Runs a command beside the test."""
        self.processes.append(bkg(command, ns=side.ns))

    def packets(self):
        """Returns how many packets each side has received."""
        return [side.link()["stats64"]["rx"]["packets"] for side in (self.pair.left, self.pair.right)]


def stats(netdev, ns=None):
    """Returns the counters of `ethtool -S`."""
    text = ethtool(f"-S {netdev}", ns=ns).stdout
    pairs = [line.split(":", 1) for line in text.splitlines()[1:] if ":" in line]
    return {name.strip(): int(value) for name, value in pairs}
