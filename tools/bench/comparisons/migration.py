# SPDX-License-Identifier: GPL-2.0
# machine: dpu
"""What of a VF with queues is left to be moved once it stands still, against all of it, and against the kernel's sample device."""

import os
import time
import uuid
from pathlib import Path

from bench.compare import say
from ferrite import cmd, defer, put
from ferrite.migration import Bench as Vfs, drain
from ferrite.vfio import PRE_COPY, RUNNING, STOP, STOP_COPY, Device, Iommufd, read_all

QUEUES = 4
MTTY = Path("/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-2/create")


class Side:
    """A device that is saved, with what it does first."""

    def __init__(self, name, device, before):
        self.name, self.device, self.before = name, device, before

    def __str__(self):
        return self.name

    def save(self):
        """Saves what is left when the device stands still; returns how much, and how long that took."""
        fd = None
        if self.before:
            fd = self.device.go(PRE_COPY)
            drain(fd)
        begun = time.monotonic()
        last = self.device.go(STOP_COPY)
        data = read_all(fd if last is None else last)
        took = time.monotonic() - begun
        for file in {fd, last} - {None}:
            os.close(file)
        self.device.go(STOP)
        self.device.go(RUNNING)
        return len(data), 1000 * took


def mtty():
    """Makes the kernel's sample of a device that can be migrated; returns it, or None with a reason."""
    if cmd("modprobe mtty", fail=False, timeout=60).ret or not MTTY.exists():
        say("migration: without mtty, which this kernel has not")
        return None
    name = str(uuid.uuid4())
    put(MTTY, name)
    path = Path("/sys/bus/mdev/devices", name)
    defer(put, path / "remove", 1)
    return Device(Iommufd(), name)


def compare(bench):
    """Compares what is left with all there is, and with the sample."""
    vfs = Vfs()
    driver, device = vfs.driver(), vfs.devices[0]
    for number in range(QUEUES):
        for kind in (0, 1):
            driver.create_queue(kind, number)
    sides = [Side("after pre-copy", device, True), Side("without pre-copy", device, False)]
    if sample := mtty():
        sides.append(Side("mtty", sample, True))

    def measure(side):
        size, took = side.save()
        return {"bytes": size, "time": took}

    bench.compare(f"{QUEUES} queue pairs", sides, measure)
