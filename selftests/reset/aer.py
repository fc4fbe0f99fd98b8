#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Errors that the bus reports (AER): after the link was reset the driver has its device again.

The kernel's aer_inject has the root port say what a real one would.
"""

import struct
from pathlib import Path

from ferrite import KsftSkipEx, Pair, cmd, defer, ksft_eq, log, need_dpus, run, wait_for

INJECT = Path("/dev/aer_inject")
# Bits of the uncorrectable error status: one that is fatal by default, one that is not.
DATA_LINK_PROTOCOL = 1 << 4
COMPLETION_TIMEOUT = 1 << 14


def pair():
    left, right = need_dpus(2)
    return Pair(left.wait_netdev(), right.wait_netdev())


def inject(pci, status, outcome):
    """Reports an error of the function and waits until the recovery ended like this."""
    if not INJECT.exists():
        cmd("modprobe aer_inject", fail=False)
    if not INJECT.exists():
        raise KsftSkipEx("the kernel has no aer_inject (CONFIG_PCIEAER_INJECT)")
    log.allow(rf"ferrite_core {pci.address}: (AER: |PCIe Bus Error|  device \[|   \[ ?\d+\])")
    ended = f"AER: device recovery {outcome}"
    before = len(log.said(ended))
    domain, bus, slot = pci.address.split(":")
    device, function = slot.split(".")
    error = struct.pack("=3Bx7I", int(bus, 16), int(device, 16), int(function), status, 0, 0, 0, 0, 0,
                        int(domain, 16))
    INJECT.write_bytes(error)
    wait_for(lambda: len(log.said(ended)) > before, f"the end of the recovery: {outcome}")


def packets_pass_after_a_fatal_error():
    pci = need_dpus(1)[0]
    defer(pci.restore)
    made = pair()
    made.left.ping(made.right.ipv4)
    for _ in range(3):
        inject(pci, DATA_LINK_PROTOCOL, "successful")
        ksft_eq(pci.driver, "ferrite_core")
        made.left.wait_up()
        made.left.ping(made.right.ipv4)


def a_fatal_error_under_traffic():
    pci = need_dpus(1)[0]
    defer(pci.restore)
    made = pair()
    with made.stream():
        inject(pci, DATA_LINK_PROTOCOL, "successful")
    made.left.wait_up()
    made.left.ping(made.right.ipv4)


def an_error_that_is_not_fatal_disturbs_nobody():
    pci = need_dpus(1)[0]
    made = pair()
    inject(pci, COMPLETION_TIMEOUT, "successful")
    ksft_eq(log.said("link has been reset"), [])
    made.left.ping(made.right.ipv4)


if __name__ == "__main__":
    run(packets_pass_after_a_fatal_error, a_fatal_error_under_traffic, an_error_that_is_not_fatal_disturbs_nobody)
