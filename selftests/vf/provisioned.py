#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""VFs that were provisioned as ports: what was configured is what their driver finds."""

from ferrite import (Pair, Port, bridge, cmd, defer, ip, ksft_eq, ksft_ge, ksft_in, ksft_true, log, need_dpus, ports, run,
                     set_mode, wait_for)


def switch():
    """Returns a DPU in the mode in which VFs are provisioned."""
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    return pci


def provision(pci):
    """Adds and activates a VF; returns its port and itself."""
    port = Port.add(pci, "flavour pcivf pfnum 0")
    port.activate()
    vf = pci.vfs[port.show()["vfnum"]]
    vf.wait_netdev()
    return port, vf


def others_stay_unbound():
    pci = switch()
    _, vf = provision(pci)
    bound = [str(each) for each in pci.vfs if each.driver]
    ksft_eq(bound, [str(vf)])
    ksft_ge(len(pci.vfs), 16)


def an_inactive_vf_binds_to_nothing():
    pci = switch()
    Port.add(pci, "flavour pcivf pfnum 0")
    vf = pci.vfs[0]
    try:
        vf.bind()
        ksft_true(False, "bound")
    except OSError:
        pass
    ksft_eq(vf.driver, None)


def ports_take_the_lowest_vf_that_is_free():
    pci = switch()
    made = [Port.add(pci, "flavour pcivf pfnum 0") for _ in range(3)]
    ksft_eq([port.show()["vfnum"] for port in made], [0, 1, 2])
    made[1].delete()
    ksft_eq(Port.add(pci, "flavour pcivf pfnum 0").show()["vfnum"], 1)


def provisioned_vfs_reach_each_other():
    pci = switch()
    (first_port, first), (second_port, second) = provision(pci), provision(pci)
    bridge(first_port.wait_netdev(), second_port.wait_netdev())
    pair = Pair(first.netdev, second.netdev)
    pair.left.ping(pair.right.ipv4, count=20)


def max_io_eqs_limits_the_channels():
    pci = switch()
    port = Port.add(pci, "flavour pcivf pfnum 0")
    port.set("max_io_eqs 1")
    ksft_eq(port.function("max_io_eqs"), 1)
    port.activate()
    netdev = pci.vfs[0].wait_netdev()
    ksft_in("Combined:\t1", " ".join(cmd(f"ethtool -l {netdev}").stdout.replace("\t\t", "\t").split("Current")[0].splitlines()))


def the_number_of_vectors_is_the_administrator_s():
    pci = switch()
    total = pci.number("sriov_vf_total_msix")
    ksft_ge(total, 16)
    Port.add(pci, "flavour pcivf pfnum 0")
    vf = pci.vfs[0]
    for count in (4, 9):
        vf.write("sriov_vf_msix_count", count)
        table = int(cmd(f"lspci -s {vf} -vv | sed -nE 's/.*MSI-X: .*Count=([0-9]+).*/\\1/p'", shell=True).stdout)
        ksft_eq(table, count)
    log.expect(f"VF 0 cannot have {total + 1} vectors")
    try:
        vf.write("sriov_vf_msix_count", total + 1)
        ksft_true(False, "accepted")
    except OSError:
        pass


def a_vf_that_is_bound_keeps_its_vectors():
    pci = switch()
    _, vf = provision(pci)
    try:
        vf.write("sriov_vf_msix_count", 4)
        ksft_true(False, "accepted")
    except OSError:
        pass


def a_reset_vf_is_as_it_was_provisioned():
    pci = switch()
    port = Port.add(pci, "flavour pcivf pfnum 0")
    port.set("hw_addr 02:00:00:00:66:66")
    port.activate()
    vf = pci.vfs[0]
    vf.wait_netdev()
    vf.reset("flr")
    wait_for(lambda: port.function("opstate") == "attached", "the VF to be in use again")
    ksft_eq(ip(f"link show dev {vf.wait_netdev()}", json=True)[0]["address"], "02:00:00:00:66:66")


def sriov_is_off_when_the_last_port_went():
    pci = switch()
    made = [Port.add(pci, "flavour pcivf pfnum 0") for _ in range(2)]
    for port in made:
        port.activate()
    for port in made:
        port.delete()
    wait_for(lambda: pci.vfs == [], "SR-IOV to be off again")
    defer(pci.write, "sriov_numvfs", 0)
    pci.write("sriov_numvfs", 2)
    ksft_eq(len(ports(pci, "pcivf")), 2)


if __name__ == "__main__":
    run(others_stay_unbound, an_inactive_vf_binds_to_nothing, ports_take_the_lowest_vf_that_is_free,
        provisioned_vfs_reach_each_other, max_io_eqs_limits_the_channels, the_number_of_vectors_is_the_administrator_s,
        a_vf_that_is_bound_keeps_its_vectors, a_reset_vf_is_as_it_was_provisioned,
        sriov_is_off_when_the_last_port_went)
