# SPDX-License-Identifier: GPL-2.0
# machine: dpu
"""A report of the pages that a VF wrote to: in a TiB of address space against 64 GiB, the same pages."""

import ctypes
import struct
import time

from bench.compare import say
from ferrite.migration import IOVA, Bench as Vfs
from ferrite.userdriver import MAX_COPY
from ferrite.vfio import GET, LOG_REPORT, Memory

PAGE = 4096
MEMORY = 64 << 20
MIB = 1 << 20


class Space:
    """A log of what is written to so much address space."""

    def __init__(self, name, size):
        self.name, self.size = name, size
        # Touched beforehand: the report is measured, and not the memory that it is written to.
        self.bits = ctypes.create_string_buffer(b"\1" * (size // PAGE // 8))

    def __str__(self):
        return self.name

    def report(self, device):
        """Has the report made; returns how long that took, and how many pages are in it."""
        ctypes.memset(self.bits, 0, len(self.bits))
        arguments = struct.pack("<QQQQ", IOVA, self.size, PAGE, ctypes.addressof(self.bits))
        begun = time.monotonic()
        device.feature(GET | LOG_REPORT, arguments)
        took = time.monotonic() - begun
        return took, int.from_bytes(self.bits.raw, "little").bit_count()


def compare(bench):
    """Compares reports of the same pages."""
    vfs = Vfs()
    driver, device = vfs.driver(), vfs.devices[0]
    memory = Memory(MEMORY, IOVA + (1 << 30))
    vfs.space.map(memory)
    copies = [(IOVA, memory.iova + place, MAX_COPY) for place in range(0, MEMORY, MAX_COPY)]

    def measure(space):
        device.log_start([(IOVA, space.size)])
        driver.copy(copies)
        with bench.meter.counted() as counted:
            took, pages = space.report(device)
        device.log_stop()
        if pages < MEMORY // PAGE:
            raise RuntimeError(f"{pages} pages are reported of {MEMORY // PAGE}")
        return {"time": 1000 * took} | counted.per(1, "report")

    say(f"dirty: {MEMORY // MIB} MiB are written to")
    bench.compare(f"{MEMORY // MIB} MiB dirty", [Space("1 TiB", 1 << 40), Space("64 GiB", 64 << 30)], measure)
