#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Memory decoders that are turned on and off while another processor uses devices."""

import os
import re

from ferrite import Pair, bkg, defer, ksft_eq, ksft_ge, need_dpus, run

COMMAND = 4
MEMORY_AND_MASTER, NOTHING = b"\x06\x00", b"\x00\x00"
PINGS = 500


def others_reach_their_devices_meanwhile():
    """A doorbell, an interrupt's end or an IOMMU command that got lost would stop the ping, or the guest."""
    pci, partner = need_dpus(2)
    pair = Pair(pci.wait_netdev(), partner.wait_netdev())
    defer(pci.write, "sriov_drivers_autoprobe", 1)
    pci.write("sriov_drivers_autoprobe", 0)
    defer(pci.write, "sriov_numvfs", 0)
    pci.write("sriov_numvfs", 16)
    spaces = [os.open(vf.path / "config", os.O_RDWR) for vf in pci.vfs]
    rounds = 0
    defer(os.sched_setaffinity, 0, os.sched_getaffinity(0))
    os.sched_setaffinity(0, {0})
    with bkg(f"taskset -c 1 ping -n -q -f -c {PINGS} {pair.right.ipv4}", ns=pair.left.ns, exit_wait=True) as ping:
        while ping.proc.poll() is None:
            for space in spaces:
                os.pwrite(space, MEMORY_AND_MASTER, COMMAND)
                os.pwrite(space, NOTHING, COMMAND)
            rounds += 1
    for space in spaces:
        os.close(space)
    ksft_ge(rounds, 10)
    ksft_eq(re.search(r"(\d+) received", ping.stdout)[1], str(PINGS), ping.stdout)


if __name__ == "__main__":
    run(others_reach_their_devices_meanwhile)
