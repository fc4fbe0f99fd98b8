# SPDX-License-Identifier: GPL-2.0-or-later
"""Intel's IOMMU, as much of it as puts functions of a device into domains of their own."""

import struct

from lib.case import true

REGISTERS = 0xfed90000
COMMAND, STATUS, ROOT_TABLE, CONTEXT_COMMAND, FAULT_STATUS = 0x18, 0x1c, 0x20, 0x28, 0x34
SET_ROOT, TRANSLATE = 1 << 30, 1 << 31
LARGE = 2 << 20


class Vtd:
    """The IOMMU of a machine. Its tables are at the end of the memory."""

    def __init__(self, machine):
        self.machine = machine
        self.memory = 0x3000000
        self.root = self._page()
        self.contexts = {}

    def _page(self):
        self.memory += 0x1000
        self.machine.store(self.memory, bytes(0x1000))
        return self.memory

    def _entry(self, table, index, *words):
        self.machine.store(table + 8 * len(words) * index, struct.pack(f"<{len(words)}Q", *words))

    def map(self, function, address, memory):
        """Has a function find 2 MiB of memory at an address, and nothing else."""
        true(address % LARGE == 0 and memory % LARGE == 0, "addresses of large pages")
        if function.bus not in self.contexts:
            self.contexts[function.bus] = self._page()
            self._entry(self.root, function.bus, self.contexts[function.bus] | 1, 0)
        top, middle = self._page(), self._page()
        self._entry(top, address >> 30, middle | 3)
        self._entry(middle, address >> 21 & 511, memory | 1 << 7 | 3)
        domain = 1 + function.devfn
        # Second-level translation, 39 bits of address.
        self._entry(self.contexts[function.bus], function.devfn, top | 1, domain << 8 | 1)

    def enable(self):
        """Turns translation on."""
        self.machine.write(REGISTERS + ROOT_TABLE, 8, self.root)
        for bit in (SET_ROOT, TRANSLATE):
            status = self.machine.read(REGISTERS + STATUS, 4)
            self.machine.write(REGISTERS + COMMAND, 4, status & ~SET_ROOT | bit)
            true(self.machine.read(REGISTERS + STATUS, 4) & bit, f"IOMMU status has {bit:#x}")
        self.machine.write(REGISTERS + CONTEXT_COMMAND, 8, 1 << 63 | 1 << 61)

    def faulted(self):
        """Returns whether the IOMMU has recorded a fault."""
        return self.machine.read(REGISTERS + FAULT_STATUS, 4) & 2 != 0
