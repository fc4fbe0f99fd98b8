#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Virtual functions, made with sriov_numvfs, as functions like any other."""

from ferrite import (DEVICE_VF, VENDOR, Pair, cmd, defer, ksft_eq, ksft_ge, ksft_in, ksft_not_in, ksft_true, need_dpus,
                     run, wait_for)


def remove_vfs(pci):
    """Removes the VFs, unless they went with the driver of their PF."""
    if pci.driver:
        pci.write("sriov_numvfs", 0)


def make_vfs(pci, count):
    """Makes VFs for the length of the test and waits for their network devices."""
    defer(remove_vfs, pci)
    pci.write("sriov_numvfs", count)
    for vf in pci.vfs:
        vf.wait_netdev()
    return pci.vfs


def vfs_have_their_ids_and_the_driver():
    pci = need_dpus(1)[0]
    vfs = make_vfs(pci, 4)
    ksft_eq(len(vfs), 4)
    for vf in vfs:
        ksft_eq(vf.number("vendor"), VENDOR)
        ksft_eq(vf.number("device"), DEVICE_VF)
        ksft_eq(vf.driver, "ferrite_core")
        ksft_eq((vf.path / "physfn").resolve().name, pci.address)
        ksft_eq(len(vf.auxiliary), 1)


def vfs_have_addresses_of_their_own():
    pci = need_dpus(1)[0]
    addresses = []
    for function in [pci, *make_vfs(pci, 4)]:
        netdev = function.wait_netdev()
        with open(f"/sys/class/net/{netdev}/address", encoding="ascii") as file:
            addresses.append(file.read().strip())
    ksft_eq(len(set(addresses)), 5, addresses)
    ksft_not_in("00:00:00:00:00:00", addresses)


def as_many_vfs_as_the_device_has():
    pci = need_dpus(1)[0]
    total = pci.number("sriov_totalvfs")
    ksft_ge(total, 16)
    ksft_eq(len(make_vfs(pci, total)), total)


def more_vfs_than_there_are_is_refused():
    pci = need_dpus(1)[0]
    defer(pci.write, "sriov_numvfs", 0)
    try:
        pci.write("sriov_numvfs", pci.number("sriov_totalvfs") + 1)
        ksft_true(False, "accepted")
    except OSError:
        pass
    ksft_eq(pci.vfs, [])


def vfs_come_and_go_ten_times():
    pci = need_dpus(1)[0]
    defer(pci.write, "sriov_numvfs", 0)
    for _ in range(10):
        pci.write("sriov_numvfs", 2)
        for vf in pci.vfs:
            vf.wait_netdev()
        pci.write("sriov_numvfs", 0)
        ksft_eq(pci.vfs, [])


def two_vfs_of_one_dpu_reach_each_other():
    first, second = make_vfs(need_dpus(1)[0], 2)
    made = Pair(first.netdev, second.netdev, mtu=9000)
    made.left.ping(made.right.ipv4, count=20)
    made.left.ping(made.right.ipv6, count=5, size=8000)
    made.iperf(seconds=2)


def a_vf_reaches_its_pf():
    pci = need_dpus(1)[0]
    vf = make_vfs(pci, 1)[0]
    made = Pair(pci.wait_netdev(), vf.netdev)
    made.left.ping(made.right.ipv4, count=20)
    made.right.ping(made.left.ipv4, count=20)


def vfs_of_two_dpus_reach_each_other_over_the_cable():
    left, right = need_dpus(2)
    made = Pair(make_vfs(left, 1)[0].netdev, make_vfs(right, 1)[0].netdev)
    made.left.ping(made.right.ipv4, count=20)
    made.iperf(seconds=2)


def a_vf_can_be_unbound_and_bound():
    vf = make_vfs(need_dpus(1)[0], 2)[1]
    for _ in range(5):
        vf.unbind()
        ksft_eq(vf.driver, None)
        vf.bind()


def vfs_go_away_under_traffic():
    pci = need_dpus(1)[0]
    first, second = make_vfs(pci, 2)
    made = Pair(first.netdev, second.netdev)
    with made.stream():
        pci.write("sriov_numvfs", 0)
    ksft_eq(pci.vfs, [])


def the_pf_driver_leaves_with_vfs_in_use():
    pci = need_dpus(1)[0]
    defer(pci.restore)
    first, second = make_vfs(pci, 2)
    made = Pair(first.netdev, second.netdev)
    with made.stream():
        pci.unbind()
    ksft_eq(pci.driver, None)


def a_vf_may_not_ask_for_what_is_the_pf_s():
    # The device refuses it; the driver does not even offer it.
    vf = make_vfs(need_dpus(1)[0], 1)[0]
    ksft_true(not (vf.debugfs / "fault").exists())


def devlink_knows_the_vf_as_a_device():
    vf = make_vfs(need_dpus(1)[0], 1)[0]
    wait_for(lambda: vf.netdev, "the network device")
    ksft_in(f"pci/{vf}", cmd("devlink dev show").stdout)


if __name__ == "__main__":
    run(vfs_have_their_ids_and_the_driver, vfs_have_addresses_of_their_own, as_many_vfs_as_the_device_has,
        more_vfs_than_there_are_is_refused, vfs_come_and_go_ten_times, two_vfs_of_one_dpu_reach_each_other,
        a_vf_reaches_its_pf, vfs_of_two_dpus_reach_each_other_over_the_cable, a_vf_can_be_unbound_and_bound,
        vfs_go_away_under_traffic, the_pf_driver_leaves_with_vfs_in_use, a_vf_may_not_ask_for_what_is_the_pf_s,
        devlink_knows_the_vf_as_a_device)
