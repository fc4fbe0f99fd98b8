#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The mode of the switch, with nothing and with functions behind it."""

from ferrite import (Pair, Port, Side, bridge, cmd, ip, ksft_eq, ksft_true, make_sf, mode_of, need_dpus, run, set_mode,
                     wait_for)


def both_ways_ten_times():
    pci = need_dpus(1)[0]
    for _ in range(10):
        set_mode(pci, "switchdev")
        set_mode(pci, "legacy")
    ksft_eq(mode_of(pci), "legacy")


def the_pf_is_the_uplink():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    link = ip(f"-d link show dev {pci.wait_netdev()}", json=True)[0]
    ksft_eq(link.get("phys_port_name"), "p0")
    ksft_true(link.get("phys_switch_id"), "the uplink has no switch id")


def what_a_representor_sends_its_function_receives():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    port, sf = make_sf(pci, 5)
    pair = Pair(sf.netdev, port.wait_netdev())
    pair.left.ping(pair.right.ipv4, count=10)
    pair.right.ping(pair.left.ipv4, count=10)


def functions_behind_a_bridge_of_representors_reach_each_other_and_the_wire():
    pci, partner = need_dpus(2)
    set_mode(pci, "switchdev")
    first, first_sf = make_sf(pci, 5)
    second, second_sf = make_sf(pci, 6)
    bridge(pci.wait_netdev(), first.wait_netdev(), second.wait_netdev())
    pair = Pair(first_sf.netdev, second_sf.netdev)
    pair.left.ping(pair.right.ipv4, count=10)
    wire = Side("wire", partner.wait_netdev(), 3)
    wire.up()
    wait_for(lambda: cmd(f"ping -n -q -c 1 -W 1 {wire.ipv4}", ns="left", fail=False).ret == 0, "a way to the wire")
    for side in (pair.left, pair.right):
        side.ping(wire.ipv4, count=10)
        wire.ping(side.ipv4, count=10)


def ports_can_be_added_after_the_mode_came_back():
    pci = need_dpus(1)[0]
    for _ in range(2):
        set_mode(pci, "switchdev")
        port = Port.add(pci, "flavour pcisf pfnum 0 sfnum 1")
        port.delete()
        set_mode(pci, "legacy")


if __name__ == "__main__":
    run(both_ways_ten_times, the_pf_is_the_uplink, what_a_representor_sends_its_function_receives,
        functions_behind_a_bridge_of_representors_reach_each_other_and_the_wire,
        ports_can_be_added_after_the_mode_came_back)
