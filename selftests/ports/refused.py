#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Wrong commands, and what they are told: why, and what to do."""

from ferrite import KsftNamedVariant, Port, defer, ksft_eq, ksft_variants, mode_of, need_dpus, ports, refused, run, set_mode

# Words of `port add`, and what the refusal says.
WRONG_PORTS = [
    KsftNamedVariant("no_such_pf", "flavour pcisf pfnum 1 sfnum 1", "pfnum"),
    KsftNamedVariant("foreign_controller", "flavour pcisf pfnum 0 controller 1", "controller"),
    KsftNamedVariant("flavour_that_is_not_added", "flavour pcipf pfnum 0", "pcisf|flavour"),
]

# Words of `port function set` for an inactive SF.
WRONG_ATTRIBUTES = [
    KsftNamedVariant("multicast_address", "hw_addr 01:00:5e:00:00:01", "unicast|multicast"),
    KsftNamedVariant("zero_address", "hw_addr 00:00:00:00:00:00", "zero|unicast"),
    KsftNamedVariant("no_queues", "max_io_eqs 0", "from 1 to"),
    KsftNamedVariant("too_many_queues", "max_io_eqs 100000", "from 1 to"),
    KsftNamedVariant("migratable_sf", "migratable enable", "VF|migratable"),
]


@ksft_variants(WRONG_PORTS)
def a_wrong_port(words, why):
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    before = len(ports(pci))
    refused(f"port add pci/{pci} {words}", why)
    ksft_eq(len(ports(pci)), before)


@ksft_variants(WRONG_ATTRIBUTES)
def a_wrong_attribute(words, why):
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    port = Port.add(pci, "flavour pcisf pfnum 0 sfnum 7")
    before = port.show()
    refused(f"port function set {port} {words}", why)
    ksft_eq(port.show(), before)


def functions_in_legacy_mode():
    pci = need_dpus(1)[0]
    for words in ("pcisf pfnum 0 sfnum 1", "pcivf pfnum 0"):
        refused(f"port add pci/{pci} flavour {words}", "set the eswitch mode to switchdev first")


def a_number_that_is_taken():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    Port.add(pci, "flavour pcisf pfnum 0 sfnum 7")
    refused(f"port add pci/{pci} flavour pcisf pfnum 0 sfnum 7", "sfnum 7 is in use")


def an_index_that_is_taken():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    Port.add(f"{pci}/70000", "flavour pcisf pfnum 0 sfnum 7")
    refused(f"port add pci/{pci}/70000 flavour pcisf pfnum 0 sfnum 8", "port index is in use; use another")


def an_index_that_is_the_driver_s():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    refused(f"port add pci/{pci}/300 flavour pcisf pfnum 0 sfnum 8", "indices below 65536 are taken")


def legacy_mode_with_sfs():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    port = Port.add(pci, "flavour pcisf pfnum 0 sfnum 7")
    refused(f"dev eswitch set pci/{pci} mode legacy", "delete .*first")
    ksft_eq(mode_of(pci), "switchdev")
    port.delete()


def a_vf_s_port_beside_sriov_numvfs():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    defer(pci.write, "sriov_numvfs", 0)
    pci.write("sriov_numvfs", 1)
    refused(f"port add pci/{pci} flavour pcivf pfnum 0", "sriov_numvfs")
    refused(f"port del {ports(pci, 'pcivf')[0]}", "sriov_numvfs")


def the_uplink_s_port_cannot_be_deleted():
    pci = need_dpus(1)[0]
    refused(f"port del {ports(pci, 'physical')[0]}", "not support|cannot|Operation")


if __name__ == "__main__":
    run(a_wrong_port, a_wrong_attribute, functions_in_legacy_mode, a_number_that_is_taken, an_index_that_is_taken,
        an_index_that_is_the_driver_s, legacy_mode_with_sfs, a_vf_s_port_beside_sriov_numvfs,
        the_uplink_s_port_cannot_be_deleted)
