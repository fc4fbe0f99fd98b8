#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""As many SFs as the device can have: what the next one costs, and what is left of them.

Times are shown. They are judged only with TIMED=1 in the environment, for a machine that does nothing else.
"""

import os
from pathlib import Path

from ferrite import AUXILIARY, defer, ksft_eq, ksft_lt, ksft_pr, need_dpus, ports, refused, run, set_mode, wait_for
from ferrite.devlink import batch, largest_sfs

# What the kernel may keep of 512 functions that are gone: caches that grew, in KiB.
KEPT = 8 * 1024
GROUP = 64


def memory():
    """Returns the KiB of memory in use once the kernel gave back what it can."""
    Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    return sum(int(fields[name].split()[0]) for name in ("Slab", "Percpu", "VmallocUsed", "PageTables"))


def sf_devices():
    """Returns how many SFs' auxiliary devices there are."""
    return len(list(AUXILIARY.glob("ferrite_core.sf.*")))


def occupied(pci):
    """Returns how many SFs the resource says there are."""
    return largest_sfs(pci)["occ"]


def make(pci, count):
    """Makes SFs and activates them; returns the seconds that one took, for each group of them."""
    seconds = []
    for begin in range(0, count, GROUP):
        numbers = range(begin, min(begin + GROUP, count))
        known = {port.handle for port in ports(pci)}
        spent = batch([f"port add pci/{pci} flavour pcisf pfnum 0 sfnum {number}" for number in numbers])
        added = [port for port in ports(pci, "pcisf") if port.handle not in known]
        ksft_eq(len(added), len(numbers))
        seconds.append(spent + batch([f"port function set {port} state active" for port in added]))
    return seconds


def delete_all(pci):
    """Deletes what ports of SFs are left."""
    left = ports(pci, "pcisf")
    if left:
        batch([f"port del {port}" for port in left])


def all_sfs_come_and_go_and_nothing_stays():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    defer(delete_all, pci)
    before_all = sf_devices()
    count = largest_sfs(pci)["size"]
    # Once for what the kernel sets up with the first few and keeps: names, caches, sysfs directories.
    make(pci, GROUP)
    delete_all(pci)
    before = memory()

    seconds = make(pci, count)
    ksft_eq(occupied(pci), count)
    wait_for(lambda: sf_devices() == before_all + count, "the devices of all SFs")
    refused(f"port add pci/{pci} flavour pcisf pfnum 0 sfnum {count}", f"all {count} SFs are in use")
    ksft_pr("milliseconds for one SF, by groups:", *(f"{1000 * each:.2f}" for each in seconds))
    if os.environ.get("TIMED"):
        ksft_lt(seconds[-1], 1.3 * seconds[0], "the cost of an SF grows with their number")

    delete_all(pci)
    ksft_eq(sf_devices(), before_all)
    ksft_eq(occupied(pci), 0)
    after = memory()
    ksft_pr(f"KiB in use before: {before}, after: {after}")
    ksft_lt(after, before + KEPT, "memory stays in use")


def numbers_are_free_again():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    defer(delete_all, pci)
    for _ in range(3):
        make(pci, 8)
        delete_all(pci)
    ksft_eq(ports(pci, "pcisf"), [])


if __name__ == "__main__":
    run(all_sfs_come_and_go_and_nothing_stays, numbers_are_free_again)
