# SPDX-License-Identifier: GPL-2.0-or-later
"""PCI functions of a Machine: configuration space, capabilities, BARs, MSI-X."""

from lib.machine import ECAM

COMMAND = 0x04
COMMAND_MEMORY, COMMAND_MASTER = 1 << 1, 1 << 2
BAR0 = 0x10

CAP_PM, CAP_MSIX, CAP_EXPRESS = 0x01, 0x11, 0x10
EXT_AER, EXT_DSN, EXT_ARI, EXT_ACS, EXT_SRIOV = 0x0001, 0x0003, 0x000e, 0x000d, 0x0010

# In the Express capability.
DEVCAP, DEVCTL = 4, 8
DEVCAP_FLR, DEVCTL_FLR = 1 << 28, 1 << 15

# In the SR-IOV capability.
SRIOV_CONTROL, SRIOV_TOTAL, SRIOV_NUM, SRIOV_OFFSET, SRIOV_STRIDE, SRIOV_VF_DEVICE, SRIOV_BAR0 = \
    0x08, 0x0e, 0x10, 0x14, 0x16, 0x1a, 0x24
SRIOV_ENABLE, SRIOV_MEMORY, SRIOV_ARI = 1 << 0, 1 << 3, 1 << 4

# Where the tests map what is behind the root port.
WINDOW, WINDOW_END = 0xe0000000, 0xe7ffffff
BUS = 1


class Function:
    """A PCI function of a machine, by its routing id."""

    def __init__(self, machine, bus, devfn):
        self.machine = machine
        self.bus = bus
        self.devfn = devfn
        self.config = ECAM + (bus << 20) + (devfn << 12)
        self.bars = {}

    def get(self, offset, size=4):
        """Reads from the configuration space."""
        return self.machine.read(self.config + offset, size)

    def set(self, offset, value, size=4):
        """Writes to the configuration space."""
        self.machine.write(self.config + offset, size, value)

    def capability(self, wanted):
        """Returns the offset of a capability, or 0."""
        offset = self.get(0x34, 1)
        while offset:
            if self.get(offset, 1) == wanted:
                return offset
            offset = self.get(offset + 1, 1)
        return 0

    def extended(self, wanted):
        """Returns the offset of an extended capability, or 0."""
        offset = 0x100
        while offset:
            header = self.get(offset)
            if header & 0xffff == wanted:
                return offset
            offset = header >> 20
        return 0

    def bar_size(self, bar, base=BAR0):
        """Returns the size of a 64-bit memory BAR, and its lowest four bits."""
        offset = base + 4 * bar
        saved = self.get(offset), self.get(offset + 4)
        self.set(offset, 0xffffffff)
        self.set(offset + 4, 0xffffffff)
        mask = self.get(offset) | self.get(offset + 4) << 32
        self.set(offset, saved[0])
        self.set(offset + 4, saved[1])
        return (~(mask & ~0xf) + 1) & (1 << 64) - 1, mask & 0xf

    def map_bar(self, bar, address):
        """Puts a BAR somewhere."""
        self.set(BAR0 + 4 * bar, address)
        self.set(BAR0 + 4 * bar + 4, 0)
        self.bars[bar] = address

    def enable(self, *, master=True):
        """Turns memory accesses on, and DMA on or off."""
        self.set(COMMAND, COMMAND_MEMORY | (COMMAND_MASTER if master else 0), 2)

    def flr(self):
        """Resets the function. What the reset clears of the configuration space is put back."""
        offset = self.capability(CAP_EXPRESS) + DEVCTL
        self.set(offset, self.get(offset, 2) | DEVCTL_FLR, 2)

    def msix(self, vector, address, data):
        """Has a vector write data to an address."""
        capability = self.capability(CAP_MSIX)
        entry = self.bars[self.get(capability + 4) & 7] + (self.get(capability + 4) & ~7) + 16 * vector
        self.machine.write(entry, 4, address)
        self.machine.write(entry + 4, 4, 0)
        self.machine.write(entry + 8, 4, data)
        self.machine.write(entry + 12, 4, 0)
        self.set(capability + 2, 1 << 15, 2)

    def mask(self, vector, masked):
        """Masks a vector, or not."""
        capability = self.capability(CAP_MSIX)
        entry = self.bars[self.get(capability + 4) & 7] + (self.get(capability + 4) & ~7) + 16 * vector
        self.machine.write(entry + 12, 4, int(masked))

    def pending(self, vector):
        """Returns the pending bit of a vector."""
        capability = self.capability(CAP_MSIX)
        bits = self.bars[self.get(capability + 8) & 7] + (self.get(capability + 8) & ~7)
        return self.machine.read(bits + vector // 64 * 8, 8) >> vector % 64 & 1


def slot_power(port, on):
    """Turns a slot and its power indicator on or off; off, the port lets go of a device that was asked to leave."""
    control = port.capability(CAP_EXPRESS) + 0x18
    port.set(control, port.get(control, 2) & ~0x0700 | (0x0100 if on else 0x0700), 2)


def root_port(machine, port=0):
    """Returns a root port, with a bus and a memory window behind it and ARI forwarding on."""
    bridge = Function(machine, 0, port + 2 << 3)
    bridge.set(0x18, (BUS + port) << 16 | (BUS + port) << 8)
    start, end = WINDOW + (port << 27), WINDOW_END + (port << 27)
    bridge.set(0x20, end & 0xfff00000 | start >> 16 & 0xfff0)
    control2 = bridge.capability(CAP_EXPRESS) + 0x28
    bridge.set(control2, bridge.get(control2, 2) | 1 << 5, 2)
    bridge.enable()
    return bridge
