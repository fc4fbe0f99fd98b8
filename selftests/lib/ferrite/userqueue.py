# SPDX-License-Identifier: GPL-2.0
"""TX and RX queues of a driver in user space: what it takes to move frames and to lose none."""

import mmap
import struct

from net.lib.py import KsftFailEx

from .userdriver import DEPTH_LOG2
from .vfio import DOORBELLS

TX, RX = 0, 1
DEPTH = 1 << DEPTH_LOG2
BUFFER = 0x800
# Where in a queue's piece of memory the parts are that create_queue() told the device.
COMPLETIONS, STATE, CQ_TAIL = 0x2000, 0x3000, 0x3000 + 64
# Where in the driver's memory the buffers are.
BUFFERS = {TX: 0x30000, RX: 0x38000}


class Doorbells:
    """The page of doorbells of a device, mapped."""

    def __init__(self, device):
        _, self.size, offset, _ = device.region(DOORBELLS)
        self.map = mmap.mmap(device.fd, self.size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset)

    def ring(self, kind, number):
        """Rings for a queue."""
        self.write(0x400 * kind + 4 * number, 0)

    def write(self, offset, value):
        """Writes a word: one access, as hardware wants it."""
        memoryview(self.map).cast("I")[offset // 4] = value

    def read(self, offset):
        """Reads a word."""
        return memoryview(self.map).cast("I")[offset // 4]


class Queue:
    """What both kinds have: descriptors go in at `tail`, completions come out at `head`."""

    kind = None

    def __init__(self, driver, number=0, doorbells=None):
        self.driver, self.number = driver, number
        self.doorbells = doorbells
        self.tail = self.head = 0
        driver.create_queue(self.kind, number)
        self.place = driver.base + driver.place(self.kind, number)

    def take_over(self, driver, doorbells=None):
        """Goes on with another device that has the state of this one's."""
        self.driver, self.doorbells = driver, doorbells
        return self

    def _buffer(self, index):
        return self.driver.base + BUFFERS[self.kind] + BUFFER * (index % DEPTH)

    def _post(self, descriptor):
        memory = self.driver.memory
        memory.write(self.place + len(descriptor) * (self.tail % DEPTH), descriptor)
        self.tail += 1
        memory.write(self.place + STATE, struct.pack("<I", self.tail & 0xFFFFFFFF))

    def ring(self):
        """Tells the device of what was posted."""
        if self.doorbells:
            self.doorbells.ring(self.kind, self.number)
        else:
            self.driver.device.write(DOORBELLS, 0x400 * self.kind + 4 * self.number, 0)

    def _done(self):
        """Returns the index before which completions are written."""
        return struct.unpack("<I", self.driver.memory.read(self.place + CQ_TAIL, 4))[0]


class TxQueue(Queue):
    """A TX queue; `head` is how far the device is with descriptors."""

    kind = TX
    completions = 0

    def room(self):
        """Returns how many frames can be sent now."""
        return DEPTH - (self.tail - self.head)

    def send(self, *frames):
        """Posts frames, of a buffer at most, and rings."""
        for frame in frames:
            at = self._buffer(self.tail)
            self.driver.memory.write(at, frame)
            self._post(struct.pack("<QIHHHHHH8x", self.driver.memory.iova + at, len(frame), 1, 0, 0, 0, 0, 0))
        self.ring()

    def reap(self):
        """Takes completions; fails unless each says that what was before it went well. Returns how many descriptors are done."""
        before = self.head
        for index in range(self.completions, self._done()):
            at = self.place + COMPLETIONS + 16 * (index % DEPTH)
            done, status = struct.unpack("<IH", self.driver.memory.read(at, 6))
            if status or not self.head < done <= self.tail:
                raise KsftFailEx(f"TX completion {index}: status {status}, {done} done after {self.head} of {self.tail}")
            self.head = done
        self.completions = self._done()
        return self.head - before


class RxQueue(Queue):
    """An RX queue, whose buffers are posted anew as they are read."""

    kind = RX

    def fill(self):
        """Posts all buffers that the device has not."""
        while self.tail - self.head < DEPTH:
            at = self.driver.memory.iova + self._buffer(self.tail)
            self._post(struct.pack("<QII", at, BUFFER, self.tail % DEPTH))
        self.ring()

    def receive(self):
        """Returns the frames that arrived."""
        frames = []
        for index in range(self.head, self._done()):
            at = self.place + COMPLETIONS + 32 * (index % DEPTH)
            cookie, length, _, flags = struct.unpack("<IIIH", self.driver.memory.read(at, 14))
            if cookie != index % DEPTH or not flags & 1:
                raise KsftFailEx(f"RX completion {index}: buffer {cookie}, flags {flags:#x}")
            frames.append(self.driver.memory.read(self._buffer(index), length))
        self.head += len(frames)
        if frames:
            self.fill()
        return frames
