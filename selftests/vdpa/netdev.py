#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A vDPA device as the guest's own virtio-net has it: what a user does with a network device."""

import re
from pathlib import Path

from ferrite import Pair, bridge, ip, ksft_eq, ksft_gt, ksft_in, ksft_true, make_sf, run, wait_for
from ferrite.vdpa import add, management, netdev_of, vdpa


def connected(words="", mtu=None):
    """Makes a vDPA device and the net device of another SF that reach each other; returns both, in namespaces."""
    pci, port, sf = management()
    other, other_sf = make_sf(pci, 8)
    ports = port.wait_netdev(), other.wait_netdev()
    if mtu:
        for netdev in ports:
            ip(f"link set {netdev} mtu {mtu}")
    bridge(*ports)
    if mtu:
        ip(f"link set bench mtu {mtu}")
    add(sf, words)
    return Pair(netdev_of(), other_sf.netdev, mtu)


def received(queue):
    """Returns how many packets the receive queue of this number passed."""
    return int(vdpa(f"dev vstats show v0 qidx {2 * queue}")["vstats"]["v0"]["packets"])


def queues_change_under_traffic():
    pair = connected("max_vqp 4")
    left = pair.left
    with pair.stream() as stream:
        for count in (4, 1, 3, 2, 4):
            left.ethtool(f"-L {left.netdev} combined {count}")
            before = stream.packets()
            wait_for(lambda: all(now > then + 100 for now, then in zip(stream.packets(), before)), f"traffic on {count} queues")
            shown = re.findall(r"Combined:\s*(\d+)", left.ethtool(f"-l {left.netdev}").stdout)
            ksft_eq(shown, ["4", str(count)])
    pair.left.ping(pair.right.ipv4, count=10)


def connections_spread_over_the_queues():
    pair = connected("max_vqp 4")
    pair.left.ethtool(f"-L {pair.left.netdev} combined 4")
    pair.iperf("--parallel 8", reverse=True)
    ksft_gt(sum(received(queue) > 10 for queue in range(4)), 1)


def large_packets_pass_with_a_large_mtu():
    pair = connected("mtu 9000", mtu=9000)
    ksft_eq(vdpa("dev config show v0")["config"]["v0"]["mtu"], 9000)
    pair.left.ping(pair.right.ipv4, size=8972, options="-M do")
    pair.right.ping(pair.left.ipv4, size=8972, options="-M do")
    ksft_gt(pair.iperf()["end"]["sum_received"]["bytes"], 0)


def vlans_pass_that_were_asked_for():
    pair = connected()
    for side, number in ((pair.left, 1), (pair.right, 2)):
        ip(f"link add link {side.netdev} name vlan7 type vlan id 7", ns=side.ns)
        ip(f"address add 198.51.100.{number}/24 dev vlan7", ns=side.ns)
        ip("link set vlan7 up", ns=side.ns)
    pair.left.ping("198.51.100.2")
    pair.right.ping("198.51.100.1", size=1400)
    ip("link del vlan7", ns=pair.left.ns)
    pair.left.ping(pair.right.ipv4)


def address_changes_while_the_device_is_up():
    pair = connected()
    left = pair.left
    ip(f"link set {left.netdev} address 02:00:00:00:99:77", ns=left.ns)
    ksft_in("02:00:00:00:99:77", ip(f"link show {left.netdev}", ns=left.ns).stdout)
    ksft_eq(vdpa("dev config show v0")["config"]["v0"]["mac"], "02:00:00:00:99:77")
    ip(f"neigh flush dev {pair.right.netdev}", ns=pair.right.ns)
    left.ping(pair.right.ipv4)
    pair.right.ping(left.ipv4)


def device_is_closed_and_opened_under_traffic():
    pair = connected("max_vqp 2")
    with pair.stream() as stream:
        for _ in range(3):
            pair.left.down()
            pair.left.up()
            before = stream.packets()
            wait_for(lambda: all(now > then + 100 for now, then in zip(stream.packets(), before)), "traffic to go on")


def driver_is_bound_anew_under_traffic():
    pair = connected("max_vqp 2")
    driver = Path("/sys/bus/vdpa/drivers/virtio_vdpa")
    with pair.stream():
        (driver / "unbind").write_text("v0")
    (driver / "bind").write_text("v0")
    ksft_true(netdev_of())


if __name__ == "__main__":
    run(queues_change_under_traffic, connections_spread_over_the_queues, large_packets_pass_with_a_large_mtu,
        vlans_pass_that_were_asked_for, address_changes_while_the_device_is_up, device_is_closed_and_opened_under_traffic,
        driver_is_bound_anew_under_traffic)
