#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Classes of traffic with queues of their own: mqprio, as the rates of classes (devlink tc-bw) want it."""

import re

from ferrite import Pair, cmd, defer, ip, ksft_eq, ksft_ge, ksft_in, need_dpus, run

CLASSES = 4
CLASS = 3


def sent(side):
    """Returns the packets that each queue sent."""
    found = (re.fullmatch(r"q(\d+)_tx_packets", name) and (int(name[1:].split("_")[0]), value)
             for name, value in side.stats().items())
    return dict(filter(None, found))


def queues(side):
    """Returns how many queues there can be, and how many there are."""
    return [int(count) for count in re.findall(r"Combined:\s+(\d+)", side.ethtool(f"-l {side.netdev}").stdout)]


def packets_of_a_class_take_its_queue():
    both = Pair(*(dpu.wait_netdev() for dpu in need_dpus(2)))
    left = both.left
    classes = " ".join(str(priority % CLASSES) for priority in range(16))
    pairs = queues(left)[1]
    cmd(f"tc qdisc add dev {left.netdev} root mqprio num_tc {CLASSES} map {classes} mode dcb hw 1", ns=left.ns)
    defer(left.ethtool, f"-L {left.netdev} combined {pairs}")
    defer(cmd, f"tc qdisc del dev {left.netdev} root", ns=left.ns)
    left.wait_up()
    for side, host in ((left, 1), (both.right, 2)):
        ip(f"link add link {side.netdev} name tagged type vlan id 101 egress-qos-map 0:{CLASS}", ns=side.ns)
        defer(ip, "link del tagged", ns=side.ns)
        ip(f"address add 198.51.100.{host}/24 dev tagged", ns=side.ns)
        ip("link set tagged up", ns=side.ns)
    before = sent(left)
    left.ping("198.51.100.2", count=10)
    after = sent(left)
    # The queues are shared evenly.
    share = max(CLASSES, pairs) // CLASSES
    own = range(CLASS * share, (CLASS + 1) * share)
    ksft_ge(sum(after[queue] - before[queue] for queue in own), 10, "requests in the queues of their class")
    # Fewer queues than classes cannot be. The kernel lets no driver say why.
    refused = cmd(f"ethtool -L {left.netdev} combined {CLASSES - 1}", ns=left.ns, fail=False, expect_fail=True)
    ksft_in("Invalid argument", refused.stderr)
    ksft_eq(queues(left)[1], max(CLASSES, pairs))


def more_classes_than_queues_are_refused():
    both = Pair(*(dpu.wait_netdev() for dpu in need_dpus(2)))
    left = both.left
    most = queues(left)[0]
    for refused, why in ((f"mode dcb num_tc {most + 1} map {' '.join(str(min(at, most)) for at in range(16))}", "queue pairs"),
                         ("mode channel num_tc 2 queues 1@0 1@1 map 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0", "mode dcb")):
        done = cmd(f"tc qdisc add dev {left.netdev} root mqprio {refused} hw 1", ns=left.ns, fail=False,
                   expect_fail=True)
        ksft_in(why, done.stderr)
    ksft_eq("mqprio" in cmd(f"tc qdisc show dev {left.netdev}", ns=left.ns).stdout, False)


if __name__ == "__main__":
    run(packets_of_a_class_take_its_queue, more_classes_than_queues_are_refused)
