# SPDX-License-Identifier: GPL-2.0
"""A driver of a VF in user space, through VFIO: admin queue and queues, as much as tests need."""

import struct

from .wait import wait_for

REGS = 0
FUNCTION, STATUS, ADMIN_SQ, ADMIN_CQ, ADMIN_SIZE, ADMIN_CONTROL = 0x008, 0x018, 0x100, 0x108, 0x110, 0x118
ADMIN_STATUS, SQ_TAIL, CQ_HEAD = 0x11C, 0x120, 0x124
ECHO, QUERY_FUNCTION, COPY_MEMORY = 0x0000, 0x0002, 0x0006
CREATE_QUEUE, QUERY_QUEUE, MODIFY_QUEUE = 0x0100, 0x0102, 0x0103
ENABLE_PORT = 0x0201
MAX_COPY = 0x40000
# Of a queue, and of the admin queue.
DEPTH_LOG2, ADMIN_DEPTH_LOG2 = 4, 6
# Where things are in the memory that a driver has: one page each.
SQ, CQ, DATA, QUEUES = 0x0000, 0x1000, 0x2000, 0x4000
QUEUE_SIZE = 0x4000


class UserDriver:
    """The driver of one VF, in `memory` from `base` on."""

    def __init__(self, device, memory, base=0):
        self.device, self.memory, self.base = device, memory, base
        self.index = 0

    def _bus(self, offset):
        return self.memory.iova + self.base + offset

    def start(self):
        """Starts the admin queue."""
        self.device.enable()
        wait_for(lambda: self.device.read(REGS, STATUS) & 1, "the function to be ready")
        self.index = 0
        self.memory.write(self.base, bytes(0x2000))
        for register, ring in ((ADMIN_SQ, SQ), (ADMIN_CQ, CQ)):
            self.device.write(REGS, register, self._bus(ring) & 0xFFFFFFFF)
            self.device.write(REGS, register + 4, self._bus(ring) >> 32)
        self.device.write(REGS, ADMIN_SIZE, ADMIN_DEPTH_LOG2)
        self.device.write(REGS, ADMIN_CONTROL, 1)
        wait_for(lambda: self.device.read(REGS, ADMIN_STATUS) & 1, "the admin queue to run")

    def take_over(self, device):
        """Goes on with another device that has the state of this one."""
        other = UserDriver(device, self.memory, self.base)
        other.index = self.index
        return other

    def post(self, opcode, params=b"", data=None, function=None):
        """Sends a command, and does not wait for it; returns its slot."""
        if function is None:
            function = self.device.read(REGS, FUNCTION) & 0xFFFF
        slot = self.index % (1 << ADMIN_DEPTH_LOG2)
        address, length = (self._bus(DATA), data) if data else (0, 0)
        entry = struct.pack("<HHHHQII", opcode, self.index & 0xFFFF, function, 0, address, length, 0)
        self.memory.write(self.base + SQ + 64 * slot, (entry + params).ljust(64, b"\0"))
        self.index += 1
        self.device.write(REGS, SQ_TAIL, self.index)
        return slot

    def answered(self, slot, index):
        """Returns status and result of a command, or None."""
        entry = self.memory.read(self.base + CQ + 32 * slot, 32)
        phase = 1 - (index >> ADMIN_DEPTH_LOG2 & 1)
        if entry[28] & 1 != phase:
            return None
        return struct.unpack_from("<H", entry, 4)[0], entry[8:28]

    def ask(self, opcode, params=b"", data=None, function=None):
        """Sends a command and returns status and result of it."""
        index = self.index
        slot = self.post(opcode, params, data, function)
        answer = wait_for(lambda: self.answered(slot, index), f"an answer to {opcode:#x}")
        self.device.write(REGS, CQ_HEAD, self.index)
        return answer

    def command(self, opcode, params=b"", data=None):
        """Sends a command and returns its result; fails unless it was carried out."""
        status, result = self.ask(opcode, params, data)
        if status:
            raise OSError(f"command {opcode:#x} ends with status {status}")
        return result

    def post_copy(self, source, destination, length):
        """Has the function copy memory, by I/O addresses, and does not wait for it; returns the slot of the command."""
        return self.post(COPY_MEMORY, struct.pack("<QQI4x", source, destination, length))

    def copy(self, copies):
        """Has the function copy memory: (source, destination, length) by I/O address, as many as there are."""
        for begin in range(0, len(copies), 1 << ADMIN_DEPTH_LOG2):
            first = self.index
            slots = [self.post_copy(*each) for each in copies[begin:begin + (1 << ADMIN_DEPTH_LOG2)]]
            for number, slot in enumerate(slots):
                status, _ = wait_for(lambda slot=slot, index=first + number: self.answered(slot, index), "a copy")
                if status:
                    raise OSError(f"a copy ends with status {status}")
            self.device.write(REGS, CQ_HEAD, self.index)

    def open_port(self):
        """Lets packets pass; returns the address that they come to."""
        self.command(ENABLE_PORT, b"\1\0\0\0")
        return self.command(QUERY_FUNCTION)[:6]

    @staticmethod
    def place(kind, number):
        """Returns where in the driver's memory a queue is."""
        return QUEUES + QUEUE_SIZE * (2 * number + kind)

    def create_queue(self, kind, number):
        """Creates a queue: kind 0 for TX, 1 for RX."""
        place = self.place(kind, number)
        self.memory.write(self.base + place, bytes(QUEUE_SIZE))
        addresses = (self._bus(place), self._bus(place + 0x2000), self._bus(place + 0x3000))
        self.command(CREATE_QUEUE, struct.pack("<QQQHHHHBBHH2x", *addresses, kind, number, 0, 0, DEPTH_LOG2, 0, 0, 0))

    def query_queue(self, kind, number):
        """Returns what the device says of a queue; fails if there is none."""
        return self.command(QUERY_QUEUE, struct.pack("<HH", kind, number))

    def modify_queue(self, kind, number, usecs):
        """Has the interrupts of a queue come no faster."""
        self.command(MODIFY_QUEUE, struct.pack("<HHHHHB5x", kind, number, usecs, 0, 0, 0))
