#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Resets, recoveries, hotplug, unbinding and reloading, TIMES (100) of each and under traffic: nothing is lost on the way.

On the kernel with the sanitizers, kmemleak is asked at the end of the guest; here is counted what can be counted.
"""

import os
import re
from pathlib import Path

from ferrite import (KsftFailEx, KsftSkipEx, Pair, bkg, cmd, defer, devlink, ksft_eq, ksft_pr, log, need_dpus, run, wait_for)
from ferrite.monitor import Monitor

TIMES = int(os.environ.get("TIMES", "100"))
# Cycles before memory is counted: caches fill and tables grow.
WARM = max(TIMES // 5, 1)
# What memory may be more by after the other cycles: less than a page a cycle and function.
SLACK = 6 << 20


class Leaks:
    """What there is of things that a driver takes and has to give back."""

    def __init__(self):
        self.before = None

    @staticmethod
    def things():
        """Returns how many there are of what comes in whole numbers."""
        return {
            "interrupts": len([line for line in Path("/proc/interrupts").read_text(encoding="ascii").splitlines()
                               if "ferrite" in line]),
            "net devices": len(list(Path("/sys/class/net").iterdir())),
            "devlink instances": len(devlink("dev show")["dev"]),
            "debugfs": len(list(Path("/sys/kernel/debug").glob("ferrite*"))),
            "auxiliary devices": len(list(Path("/sys/bus/auxiliary/devices").iterdir())),
        }

    @staticmethod
    def memory():
        """Returns how much memory the kernel has for itself."""
        cmd("sync")
        Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        return sum(int(re.search(rf"^{name}:\s*(\d+)", text, re.M)[1]) << 10
                   for name in ("SUnreclaim", "VmallocUsed", "Percpu", "KernelStack", "PageTables"))

    def cycle(self, number):
        """Notes how much there is; to be called after each cycle."""
        if number == WARM:
            self.before = self.things(), self.memory()

    def check(self):
        """Holds that there is no more than there was."""
        things, memory = self.before
        ksft_eq(self.things(), things)
        grown = self.memory() - memory
        ksft_pr(f"{grown >> 10} KiB more after {TIMES - WARM} cycles")
        if grown > SLACK:
            raise KsftFailEx(f"{grown} bytes more after {TIMES - WARM} cycles")


def pair():
    left, right = need_dpus(2)
    return left, Pair(left.wait_netdev(), right.wait_netdev())


def passes_on(made, stream):
    """Waits until packets pass each way that were not there before."""
    made.left.wait_up()
    before = stream.packets()
    wait_for(lambda: all(now > then + 10 for now, then in zip(stream.packets(), before)), "the streams to go on")


def in_place(what):
    """Does something to a DPU whose net device stays, with streams that go on."""
    left, made = pair()
    defer(left.restore)
    leaks = Leaks()
    with made.stream() as stream:
        for number in range(1, TIMES + 1):
            what(left)
            passes_on(made, stream)
            leaks.cycle(number)
    leaks.check()


def anew(what):
    """Does something to a DPU whose net device goes and comes back, with traffic each time."""
    left, right = need_dpus(2)
    leaks = Leaks()
    for number in range(1, TIMES + 1):
        made = Pair(left.wait_netdev(), right.wait_netdev())
        with bkg(f"ping -q -i 0.001 {made.right.ipv4}", ns=made.left.ns, fail=False), \
                bkg(f"ping -q -i 0.001 -s 1400 {made.left.ipv4}", ns=made.right.ns, fail=False):
            made.left.ping(made.right.ipv4, count=3)
            what(left)
        for side in (made.left, made.right):
            side.leave()
        left.wait_netdev()
        leaks.cycle(number)
    leaks.check()
    made = Pair(left.wait_netdev(), right.wait_netdev())
    made.left.ping(made.right.ipv4)


def resets_of_the_function():
    in_place(lambda pci: pci.reset("flr"))


def recoveries_of_a_firmware_that_hangs():
    log.allow("ferrite")
    pci = need_dpus(1)[0]
    reporter = f"pci/{pci} reporter fw_fatal"
    devlink(f"health set {reporter} grace_period 0")

    def recovered():
        return devlink(f"health show {reporter}")["health"][f"pci/{pci}"][0]["recover"]

    def hang(_):
        before = recovered()
        devlink(f"health test {reporter}")
        wait_for(lambda: recovered() > before, "the device to be recovered")

    in_place(hang)


def hotplug():
    monitor, names = Monitor(), iter(range(1, 1 << 20))
    properties = {"bus": "port0", "netdev": "uplink0", "mac": "02:fe:00:00:00:00", "faults": True}
    current = ["dpu0"]

    def replug(pci):
        monitor.unplug(pci, current[0])
        current[0] = f"plugged{next(names)}"
        monitor.plug(pci, current[0], **properties)

    anew(replug)


def unbinding_and_binding():
    def rebind(pci):
        pci.unbind()
        pci.bind()

    anew(rebind)


def reloading():
    pci = need_dpus(1)[0]
    done = cmd(f"devlink dev reload pci/{pci}", fail=False, timeout=60)
    if "not supported" in done.stderr:
        raise KsftSkipEx("the PF's devlink instance does not reload")
    anew(lambda pci: devlink(f"dev reload pci/{pci}"))


if __name__ == "__main__":
    run(resets_of_the_function, recoveries_of_a_firmware_that_hangs, unbinding_and_binding, reloading, hotplug)
