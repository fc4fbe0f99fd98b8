#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The PCI side of the device: ids, capabilities, BARs, drivers. Documentation/hw/pci.md has the numbers."""

import struct

from ferrite import (DEVICE_PF, VENDOR, cmd, defer, dpus, ip, ksft_eq, ksft_ge, ksft_in, ksft_not_in, ksft_true,
                     need_dpus, run)

# Capability ids of the PCI specification.
CAP_MSI = 0x05
CAP_EXPRESS = 0x10
CAP_MSIX = 0x11
EXT_AER = 0x0001
EXT_ACS = 0x000D
EXT_ARI = 0x000E
EXT_SRIOV = 0x0010


class Config:
    """Configuration space."""

    def __init__(self, pci):
        self.bytes = (pci.path / "config").read_bytes()

    def word(self, offset):
        return struct.unpack_from("<H", self.bytes, offset)[0]

    def long(self, offset):
        return struct.unpack_from("<I", self.bytes, offset)[0]

    def capabilities(self):
        """Returns the offset of each capability by its id."""
        found, offset = {}, self.bytes[0x34]
        while offset:
            found[self.bytes[offset]] = offset
            offset = self.bytes[offset + 1]
        return found

    def extended(self):
        """Returns the offset of each extended capability by its id."""
        found, offset = {}, 0x100
        while offset and self.long(offset):
            header = self.long(offset)
            found[header & 0xFFFF] = offset
            offset = header >> 20
        return found


def ids_are_those_of_the_contract():
    for pci in dpus():
        ksft_eq(pci.number("vendor"), VENDOR)
        ksft_eq(pci.number("device"), DEVICE_PF)
        ksft_eq(pci.number("subsystem_vendor"), VENDOR)
        ksft_eq(pci.number("class"), 0x020000)
        ksft_eq(pci.number("revision"), 1)


def the_core_driver_is_bound():
    for pci in dpus():
        ksft_eq(pci.driver, "ferrite_core")


def capabilities_are_there():
    config = Config(need_dpus(1)[0])
    capabilities, extended = config.capabilities(), config.extended()
    ksft_in(CAP_MSIX, capabilities)
    ksft_not_in(CAP_MSI, capabilities)
    ksft_in(CAP_EXPRESS, capabilities)
    # An endpoint (type 0), with function level reset.
    express = capabilities[CAP_EXPRESS]
    ksft_eq(config.word(express + 2) >> 4 & 0xF, 0)
    ksft_true(config.long(express + 4) & 1 << 28, "function level reset")
    for capability in (EXT_AER, EXT_ACS, EXT_ARI, EXT_SRIOV):
        ksft_in(capability, extended)
    ksft_eq(config.bytes[0x3D], 0, "no interrupt pin")
    ksft_ge(config.word(extended[EXT_SRIOV] + 0x0E), 16, "VFs")


def bars_are_64_bits_wide_and_have_their_sizes():
    lines = need_dpus(1)[0].read("resource").splitlines()
    sizes, flags = {}, {}
    for index in (0, 2, 4):
        start, end, flags[index] = (int(word, 16) for word in lines[index].split())
        sizes[index] = end - start + 1
    ksft_eq(sizes[0], 0x4000)
    ksft_true(sizes[2] >= 0x1000 and sizes[2] & sizes[2] - 1 == 0, f"doorbell pages: {sizes[2]:#x}")
    ksft_eq(sizes[4], 0x10000)
    for index, value in flags.items():
        ksft_true(value & 0x100000, f"BAR {index} is 64 bits wide")
        ksft_eq(value & 0x2000, 0, f"BAR {index} is not prefetchable")


def vectors_are_taken_when_they_are_used():
    pci = need_dpus(1)[0]
    netdev = pci.wait_netdev()
    vectors = lambda: len(list((pci.path / "msi_irqs").iterdir()))
    # Of the admin queue and events.
    ksft_eq(vectors(), 1)
    defer(ip, f"link set {netdev} down")
    ip(f"link set {netdev} up")
    ksft_ge(vectors(), 2)
    ip(f"link set {netdev} down")
    ksft_eq(vectors(), 1)


def interrupts_are_named_after_the_device():
    pci = need_dpus(1)[0]
    with open("/proc/interrupts", encoding="ascii") as file:
        ours = [line for line in file if pci.address in line]
    ksft_ge(len(ours), 1)


def lspci_names_the_driver():
    shown = cmd(f"lspci -k -s {need_dpus(1)[0].address}").stdout
    ksft_in("Kernel driver in use: ferrite_core", shown)


if __name__ == "__main__":
    run(ids_are_those_of_the_contract, the_core_driver_is_bound, capabilities_are_there,
        bars_are_64_bits_wide_and_have_their_sizes, vectors_are_taken_when_they_are_used,
        interrupts_are_named_after_the_device, lspci_names_the_driver)
