#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Representors: what they are, and packets that take the slow way through them."""

from pathlib import Path

from ferrite import Pair, Side, cmd, devlink, ip, ksft_eq, ksft_ge, ksft_in, ksft_ne, ksft_true, need_dpus, run, wait_for
from ferrite.switch import Switch


def attribute(rep, name):
    return Path(f"/sys/class/net/{rep}/{name}").read_text(encoding="ascii").strip()


def a_representor_says_what_it_stands_for():
    switch = Switch(need_dpus(1)[0], 2)
    for index, rep in enumerate(switch.reps):
        ksft_eq(attribute(rep, "phys_port_name"), f"pf0vf{index}")
        ksft_eq(attribute(rep, "phys_switch_id"), attribute(switch.uplink, "phys_switch_id"))
    ksft_ne(attribute(switch.reps[0], "address"), attribute(switch.reps[1], "address"))


def two_dpus_are_two_switches():
    one, other = need_dpus(2)
    ids = {attribute(Switch(pci, 1).uplink, "phys_switch_id") for pci in (one, other)}
    ksft_eq(len(ids), 2, ids)


def a_representor_reaches_what_it_stands_for():
    switch = Switch(need_dpus(1)[0], 1)
    rep = switch.reps[0]
    made = Pair(str(rep), switch.netdevs[0])
    made.left.ping(made.right.ipv4, count=20)
    made.right.ping(made.left.ipv6, count=20)
    made.iperf(seconds=2)


def nothing_passes_without_a_rule_or_a_bridge():
    switch = Switch(need_dpus(1)[0], 2)
    left, right = (Side(name, netdev, number)
                   for number, (name, netdev) in enumerate(zip(("left", "right"), switch.netdevs), 1))
    for side in (left, right):
        side.up()
    before = switch.reps[0].received()
    sent = left.link()["stats64"]["tx"]["packets"]
    ip(f"neigh replace {right.ipv4} lladdr {right.link()['address']} dev {left.netdev}", ns=left.ns)
    heard = right.link()["stats64"]["rx"]["packets"]
    cmd(f"ping -n -q -c 10 -i 0.02 -W 1 {right.ipv4}", ns=left.ns, fail=False)
    wait_for(lambda: switch.reps[0].received() >= before + 10, "the packets at the representor")
    ksft_ge(left.link()["stats64"]["tx"]["packets"], sent + 10)
    ksft_eq(right.link()["stats64"]["rx"]["packets"], heard)


def a_bridge_of_representors_connects_vfs():
    switch = Switch(need_dpus(1)[0], 2)
    switch.bridge(*switch.reps)
    before = [rep.received() for rep in switch.reps]
    made = Pair(*switch.netdevs)
    made.left.ping(made.right.ipv4, count=50)
    made.iperf(seconds=2)
    for rep, old in zip(switch.reps, before):
        ksft_ge(rep.received(), old + 50)


def a_bridge_with_the_uplink_reaches_the_cable():
    here, there = need_dpus(2)
    switch = Switch(here, 1)
    switch.bridge(switch.reps[0], switch.uplink)
    made = Pair(switch.netdevs[0], there.wait_netdev())
    made.left.ping(made.right.ipv4, count=20)
    made.right.ping(made.left.ipv6, count=20)


def representors_come_and_go_with_the_mode():
    pci = need_dpus(1)[0]
    switch = Switch(pci, 2)
    names = [str(rep) for rep in switch.reps]
    shown = {link["ifname"] for link in ip("link show", json=True)}
    for name in names:
        ksft_in(name, shown)
    devlink(f"dev eswitch set pci/{pci} mode legacy")
    gone = {link["ifname"] for link in ip("link show", json=True)}
    ksft_true(not set(names) & gone, f"{names} should be gone")
    # The VFs are as they were.
    made = Pair(*switch.netdevs)
    made.left.ping(made.right.ipv4, count=20)


if __name__ == "__main__":
    run(a_representor_says_what_it_stands_for, two_dpus_are_two_switches, a_representor_reaches_what_it_stands_for,
        nothing_passes_without_a_rule_or_a_bridge, a_bridge_of_representors_connects_vfs,
        a_bridge_with_the_uplink_reaches_the_cable, representors_come_and_go_with_the_mode)
