#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Function level resets through sysfs, with the driver bound and without."""

from ferrite import Pair, defer, ip, ksft_eq, need_dpus, run, wait_for


def pair():
    left, right = need_dpus(2)
    return Pair(left.wait_netdev(), right.wait_netdev())


def without_a_driver_it_leaves_a_device_that_probes():
    pci = need_dpus(1)[0]
    defer(pci.restore)
    pci.unbind()
    for _ in range(3):
        pci.reset("flr")
    pci.bind()
    ksft_eq(pci.driver, "ferrite_core")


def with_the_driver_bound_packets_pass_afterwards():
    pci = need_dpus(1)[0]
    made = pair()
    made.left.ping(made.right.ipv4)
    for _ in range(3):
        pci.reset("flr")
        wait_for(lambda: made.left.link()["operstate"] == "UP", "the link to be up again")
        made.left.ping(made.right.ipv4)


def under_traffic():
    pci = need_dpus(1)[0]
    made = pair()
    with made.stream():
        pci.reset("flr")
    made.left.wait_up()
    made.left.ping(made.right.ipv4)


def while_the_device_is_down():
    pci = need_dpus(1)[0]
    made = pair()
    made.left.down()
    pci.reset("flr")
    made.left.up()
    made.left.ping(made.right.ipv4)


def settings_hold_through_it():
    pci = need_dpus(1)[0]
    made = pair()
    old = made.left.link()["address"]
    defer(lambda: ip(f"link set {pci.netdev} address {old} mtu 1500"))
    defer(made.left.leave)
    ip(f"link set {made.left.netdev} address 02:00:00:00:00:99 mtu 4000", ns=made.left.ns)
    pci.reset("flr")
    made.left.wait_up()
    link = made.left.link()
    ksft_eq((link["address"], link["mtu"]), ("02:00:00:00:00:99", 4000))
    # The neighbour knows the old address, and would go on sending there until it asks again.
    ip(f"neighbour flush dev {made.right.netdev}", ns=made.right.ns)
    made.right.ping(made.left.ipv4)


if __name__ == "__main__":
    run(without_a_driver_it_leaves_a_device_that_probes, with_the_driver_bound_packets_pass_afterwards, under_traffic,
        while_the_device_is_down, settings_hold_through_it)
