# SPDX-License-Identifier: GPL-2.0-or-later
"""A small driver for the Ferrite DPU.

Its numbers are written by hand from Documentation/hw, on purpose: taken from the device's own
sources, a wrong one would be wrong on both sides.
"""

import struct

from lib import pci
from lib.case import equal

VENDOR, DEVICE_PF, DEVICE_VF = 0x1af4, 0x10f0, 0x10f1

MAGIC, ABI_VERSION, FUNCTION, LIMITS, STATUS, CONTROL = 0x000, 0x004, 0x008, 0x00c, 0x018, 0x01c
SCRATCH, SCRATCH_NOT = 0x028, 0x02c
SQ_BASE, CQ_BASE, ADMIN_SIZE, ADMIN_VECTOR, ADMIN_CONTROL, ADMIN_STATUS = \
    0x100, 0x108, 0x110, 0x114, 0x118, 0x11c
SQ_TAIL, CQ_HEAD = 0x120, 0x124
FERR = 0x52524546
GONE = 0xffffffff

ECHO, IDENTIFY, CREATE_QUEUE, QUERY_LINK, ENABLE_PORT, SET_RX_MODE, INJECT_FAULT = \
    0x0000, 0x0001, 0x0100, 0x0200, 0x0201, 0x0204, 0x0700
TX, RX = 0, 1
DMA_FAULT = 3
DEPTH = 16

# The BARs of the PF and of its VFs, in the window of the root port.
PF_BARS = {2: pci.WINDOW, 0: pci.WINDOW + 0x1000000, 4: pci.WINDOW + 0x1010000}
VF_BARS = {0: pci.WINDOW + 0x2000000, 2: pci.WINDOW + 0x2200000, 4: pci.WINDOW + 0x2400000}
VF_BAR_SIZES = {0: 0x4000, 2: 0x1000, 4: 0x10000}


class Ferrite(pci.Function):
    """A function of the DPU."""

    def __init__(self, machine, devfn=0, bus=pci.BUS, memory=0x100000):
        super().__init__(machine, bus, devfn)
        self.memory = memory
        # What the device has to add to an address to reach it, through an IOMMU.
        self.offset = 0
        self.queues = {}

    def alloc(self, length):
        """Returns the address of zeroed memory, aligned to a page."""
        address = self.memory
        self.memory += (length + 0xfff) & ~0xfff
        self.machine.store(address, bytes(length))
        return address

    # Registers.

    def reg(self, offset, size=4):
        """Reads a register."""
        return self.machine.read(self.bars[0] + offset, size)

    def set_reg(self, offset, value, size=4):
        """Writes a register."""
        self.machine.write(self.bars[0] + offset, size, value)

    def ready(self):
        """Waits until the function may be used."""
        self.machine.until(lambda: self.reg(MAGIC) == FERR and self.reg(STATUS) & 1, "the function is ready")

    # Admin queue.

    def start_admin(self, vector=None):
        """Turns the admin queue on, completions by polling or with a vector."""
        self.sq, self.cq = self.alloc(64 * DEPTH), self.alloc(32 * DEPTH)
        self.tail = self.head = 0
        for base, address in ((SQ_BASE, self.sq + self.offset), (CQ_BASE, self.cq + self.offset)):
            self.set_reg(base, address & 0xffffffff)
            self.set_reg(base + 4, address >> 32)
        self.set_reg(ADMIN_SIZE, 4)
        self.set_reg(ADMIN_VECTOR, 0 if vector is None else 1 << 31 | vector)
        self.set_reg(ADMIN_CONTROL, 1)
        equal(self.reg(ADMIN_STATUS), 1, "AdminStatus")

    def post(self, opcode, params=b"", data_addr=0, data_len=0, tag=7, function=None):
        """Puts a command on the ring, unseen by the device."""
        if function is None:
            function = self.reg(FUNCTION)
        entry = struct.pack("<HHHHQII40s", opcode, tag, function, 0, data_addr, data_len, 0, params)
        self.machine.store(self.sq + 64 * (self.tail % DEPTH), entry)
        self.tail += 1

    def ring_admin(self):
        """Tells the device of posted commands."""
        self.set_reg(SQ_TAIL, self.tail)

    def completion(self):
        """Returns (tag, opcode, status, result) of the next completion, or None."""
        entry = self.machine.load(self.cq + 32 * (self.head % DEPTH), 32)
        tag, opcode, status, _, result, meta = struct.unpack("<HHHH20sI", entry)
        if meta & 1 != 1 - self.head // DEPTH % 2:
            return None
        self.head += 1
        self.set_reg(CQ_HEAD, self.head)
        return tag, opcode, status, result

    def command(self, opcode, params=b"", **more):
        """Has a command carried out, which must succeed; returns its result."""
        self.post(opcode, params, **more)
        self.ring_admin()
        done = self.machine.until(self.completion, f"completion of command {opcode:#06x}")
        equal(done[:3], (more.get("tag", 7), opcode, 0), "tag, opcode and status")
        return done[3]

    def echo(self, value):
        """Checks that the device answers."""
        equal(struct.unpack_from("<Q", self.command(ECHO, struct.pack("<Q", value)))[0], value, "echo")

    # TX and RX queues.

    def create_queue(self, kind, index=0, vector=1):
        """Creates a queue of 16 entries."""
        ring, cq, state = self.alloc(32 * DEPTH), self.alloc(32 * DEPTH), self.alloc(128)
        self.command(CREATE_QUEUE, struct.pack("<QQQHHHHB", ring + self.offset, cq + self.offset, state + self.offset,
                                                kind, index, vector, 0, 4))
        self.queues[kind, index] = {"ring": ring, "cq": cq, "state": state, "tail": 0}

    def open_port(self):
        """Has the port take everything and opens it."""
        self.command(SET_RX_MODE, struct.pack("<HH", 1, 0), data_addr=self.alloc(4096) + self.offset, data_len=768)
        self.command(ENABLE_PORT, b"\1")

    def publish(self, kind, index, descriptor):
        """Gives a descriptor to the device, and rings if it wants to be told."""
        queue = self.queues[kind, index]
        old = queue["tail"]
        self.machine.store(queue["ring"] + len(descriptor) * (old % DEPTH), descriptor)
        queue["tail"] = old + 1
        self.machine.store(queue["state"], struct.pack("<I", queue["tail"]))
        wanted = self.machine.load32(queue["state"] + 68)
        if (queue["tail"] - wanted - 1) & 0xffffffff < queue["tail"] - old:
            self.machine.write(self.bars[2] + (0x400 if kind == RX else 0) + 4 * index, 4, 1)

    def send(self, frame, index=0):
        """Sends a frame."""
        buffer = self.alloc(len(frame))
        self.machine.store(buffer, frame)
        self.publish(TX, index, struct.pack("<QIHHHHHHII", buffer + self.offset, len(frame), 1, 0, 0, 0, 0, 0, 0, 0))

    def give_buffer(self, size, index=0):
        """Gives the device a buffer to receive into; returns its address."""
        buffer = self.alloc(size)
        self.publish(RX, index, struct.pack("<QII", buffer + self.offset, size, buffer))
        return buffer

    def done(self, kind, index=0):
        """Returns up to which descriptor a TX queue is done."""
        queue = self.queues[kind, index]
        last = self.completed(kind, index) - 1
        return self.machine.load32(queue["cq"] + 16 * (last % DEPTH)) if last >= 0 else 0

    def completed(self, kind, index=0):
        """Returns how many completions the device has written."""
        return self.machine.load32(self.queues[kind, index]["state"] + 64)


def start(machine, port=0, **options):
    """Returns the PF behind a root port, mapped and enabled."""
    pci.root_port(machine, port)
    pf = Ferrite(machine, 0, pci.BUS + port)
    for bar, address in PF_BARS.items():
        pf.map_bar(bar, address + (port << 27))
    pf.enable(**options)
    return pf


def enable_vfs(pf, count, **options):
    """Turns VFs on; returns them, mapped and enabled."""
    sriov = pf.extended(pci.EXT_SRIOV)
    offset, stride = pf.get(sriov + pci.SRIOV_OFFSET, 2), pf.get(sriov + pci.SRIOV_STRIDE, 2)
    for bar, address in VF_BARS.items():
        pf.set(sriov + pci.SRIOV_BAR0 + 4 * bar, address)
        pf.set(sriov + pci.SRIOV_BAR0 + 4 * bar + 4, 0)
    pf.set(sriov + pci.SRIOV_NUM, count, 2)
    pf.set(sriov + pci.SRIOV_CONTROL, pci.SRIOV_ENABLE | pci.SRIOV_MEMORY | pci.SRIOV_ARI, 2)
    vfs = []
    for index in range(count):
        vf = Ferrite(pf.machine, pf.devfn + offset + stride * index, pf.bus, 0x1000000 + 0x100000 * index)
        vf.bars = {bar: address + VF_BAR_SIZES[bar] * index for bar, address in VF_BARS.items()}
        vf.enable(**options)
        vf.ready()
        vfs.append(vf)
    return vfs


def disable_vfs(pf):
    """Turns all VFs off."""
    sriov = pf.extended(pci.EXT_SRIOV)
    pf.set(sriov + pci.SRIOV_CONTROL, 0, 2)
