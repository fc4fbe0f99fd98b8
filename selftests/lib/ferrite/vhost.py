# SPDX-License-Identifier: GPL-2.0
"""A driver of virtio-net in user space, on /dev/vhost-vdpa-N: it says by ioctl what a virtual machine monitor would, and
writes its rings by hand, also such as no driver should."""

import ctypes
import errno
import fcntl
import mmap
import os
import select
import struct

from net.lib.py import KsftFailEx, defer

from .wait import PATIENCE

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET = 1, 2, 4, 8, 64

# Bits of features.
CTRL_VQ, MQ, CTRL_MAC_ADDR, INDIRECT, EVENT_IDX, VERSION_1, ACCESS_PLATFORM, PACKED = 17, 22, 23, 28, 29, 32, 33, 34
# Those without which a device of ours does not work.
NEEDED = 1 << VERSION_1 | 1 << ACCESS_PLATFORM

# Bits of vhost's own features.
IOTLB_MSG_V2, IOTLB_BATCH, IOTLB_ASID, SUSPEND, RESUME, ENABLE_AFTER_DRIVER_OK, DESC_ASID, IOTLB_PERSIST = range(1, 9)

NEXT, WRITE, INDIRECT_TABLE = 1, 2, 4
AVAIL, USED = 1 << 7, 1 << 15

HEADER = 12
# Addresses for the device are not those of this process.
IOVA = 0x4000_0000
PAGE = 4096
SIZE = 64
BUFFER = 2048
# Pages of a queue: descriptors, driver area, device area, and buffers.
AREA = 3 * PAGE + SIZE * BUFFER

_WRITE, _READ = 1, 2
_VIRTIO = 0xAF


def _number(direction, number, size):
    return direction << 30 | size << 16 | _VIRTIO << 8 | number


class Client:
    """An open device, with some memory that the device reaches."""

    def __init__(self, node, queues=4):
        self.file = os.open(node, os.O_RDWR | os.O_CLOEXEC)
        self.memory = mmap.mmap(-1, queues * AREA)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.events = []
        self.features = 0
        self.changed = self.event()
        defer(self.close)
        self.call(0, 0x01)
        # All that there is; above all, mappings outlive a reset.
        self.backend = self.get("<Q", 0x26)
        self.put("<Q", 0x25, self.backend)

    def close(self):
        """Lets go of the device; again does nothing."""
        if self.file is not None:
            os.close(self.file)
            for event in self.events:
                os.close(event)
            self.file = None

    def event(self):
        """Returns a descriptor that becomes readable when the device says so."""
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.events.append(event)
        return event

    def call(self, direction, number, data=b""):
        """Carries out an ioctl; returns what the kernel made of the data."""
        return fcntl.ioctl(self.file, _number(direction, number, len(data)), data)

    def get(self, layout, number, *values):
        """Asks for something; `values` are what is said along."""
        data = struct.pack(layout, *values) if values else bytes(struct.calcsize(layout))
        answer = struct.unpack(layout, self.call(_READ | (_WRITE if values else 0), number, data))
        return answer[0] if len(answer) == 1 else answer

    def put(self, layout, number, *values):
        """Says something."""
        self.call(_WRITE, number, struct.pack(layout, *values))

    def refused(self, error, what, *arguments):
        """Fails the test unless the kernel refuses something for this reason."""
        try:
            what(*arguments)
        except OSError as refusal:
            if refusal.errno == error:
                return
            raise
        raise KsftFailEx(f"not refused with {errno.errorcode[error]}")

    # -- memory

    def message(self, kind, iova=0, size=0, address=0, access=3, space=0):
        """Sends a message about the mappings of an address space."""
        body = struct.pack("<QQQBB", iova, size, address, access, kind)
        os.write(self.file, struct.pack("<II", 2, space) + body.ljust(64, b"\0"))

    def map(self, offset=0, size=None, access=3, space=0):
        """Lets the device reach memory of ours at IOVA."""
        self.message(2, IOVA + offset, size or len(self.memory), self.base + offset, access, space)

    def unmap(self, offset=0, size=None, space=0):
        """Takes it back."""
        self.message(3, IOVA + offset, size or len(self.memory), space=space)

    # -- the device

    def status(self):
        """Returns the device status."""
        return self.get("<B", 0x71)

    def set_status(self, status):
        """Sets the device status."""
        self.put("<B", 0x72, status)

    def offered(self):
        """Returns the features that are offered."""
        return self.get("<Q", 0x00)

    def config(self, offset, layout):
        """Returns fields of the configuration space."""
        size = struct.calcsize(layout)
        data = struct.pack("<II", offset, size).ljust(8 + size, b"\0")
        answer = fcntl.ioctl(self.file, _number(_READ, 0x73, 8), data)
        return struct.unpack(layout, answer[8:])

    def negotiate(self, features=0):
        """Resets the device and accepts features."""
        self.set_status(0)
        self.set_status(ACKNOWLEDGE)
        self.set_status(ACKNOWLEDGE | DRIVER)
        self.features = NEEDED | features
        self.put("<Q", 0x00, self.features)
        self.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK)
        self.put("<i", 0x77, self.changed)

    def start(self):
        """Lets the device run."""
        self.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)

    def suspend(self):
        """Stops the device where it is."""
        self.call(0, 0x7D)

    def resume(self):
        """Lets it go on."""
        self.call(0, 0x7E)

    def group(self, index):
        """Returns the group that a queue is in, and the one that its rings are in."""
        return self.get("<II", 0x7B, index, 0)[1], self.get("<II", 0x7F, index, 0)[1]

    def set_space(self, group, space):
        """Puts a group into an address space."""
        self.put("<II", 0x7C, group, space)

    def wait(self, event, what):
        """Waits for an event of the device."""
        poll = select.poll()
        poll.register(event, select.POLLIN)
        if not poll.poll(PATIENCE * 1000):
            raise KsftFailEx(f"waited {PATIENCE} s in vain for {what}")
        os.eventfd_read(event)

    def wait_broken(self):
        """Waits until the device says that it needs a reset."""
        while not self.status() & NEEDS_RESET:
            self.wait(self.changed, "the device to say that it needs a reset")


class Ring:
    """A virtqueue of a client, whatever its layout: buffers of one piece are put in and come back."""

    def __init__(self, client, index, place=None):
        self.client = client
        self.index = index
        self.offset = (index if place is None else place) * AREA
        self.kicked = client.event()
        self.used = client.event()
        # Offsets of buffers that the device has, by the number that it returns them with.
        self.given = {}
        client.memory[self.offset:self.offset + 3 * PAGE] = bytes(3 * PAGE)

    def ready(self, base=None):
        """Tells the device of the queue and makes it ready; `base` is where it begins, unless at the start."""
        client, index = self.client, self.index
        client.put("<II", 0x10, index, SIZE)
        desc, driver, device = (IOVA + self.offset + page * PAGE for page in range(3))
        client.put("<IIQQQQ", 0x11, index, 0, desc, device, driver, 0)
        client.put("<II", 0x12, index, self.BASE if base is None else base)
        client.put("<Ii", 0x20, index, self.kicked)
        client.put("<Ii", 0x21, index, self.used)
        self.enable(True)
        return self

    def enable(self, ready):
        """Makes the queue ready, or no longer."""
        self.client.put("<II", 0x75, self.index, int(ready))

    def base(self):
        """Returns where the device takes the next buffer."""
        return self.client.get("<II", 0x12, self.index, 0)[1]

    def kick(self):
        """Notifies the device."""
        os.eventfd_write(self.kicked, 1)

    def buffer(self, number):
        """Returns where a buffer is in the memory of the client."""
        return self.offset + 3 * PAGE + number * BUFFER

    def fill(self, number, frame):
        """Writes a packet to a buffer; returns the length with its header."""
        at, data = self.buffer(number), bytes(HEADER) + frame
        self.client.memory[at:at + len(data)] = data
        return len(data)

    def wait_used(self):
        """Waits for the next buffer that comes back; returns its number and how many bytes the device wrote."""
        while (found := self.take()) is None:
            self.client.wait(self.used, f"queue {self.index} to return a buffer")
        return found

    def send(self, frame, number=0):
        """Sends a packet and waits until its buffer is back."""
        self.put([(IOVA + self.buffer(number), self.fill(number, frame), 0)])
        self.kick()
        return self.wait_used()

    def post(self, count):
        """Puts so many buffers in to be written."""
        for number in range(count):
            self.put([(IOVA + self.buffer(number), BUFFER, WRITE)])
        self.kick()

    def receive(self):
        """Waits for a packet and returns it; its buffer is put in again."""
        number, length = self.wait_used()
        at = self.given[number]
        packet = self.client.memory[at + HEADER:at + length]
        self.put([(IOVA + at, BUFFER, WRITE)])
        self.kick()
        return packet

    def store(self, place, offset, value, kind=ctypes.c_uint16):
        """Writes a number to an area at once."""
        kind.from_buffer(self.client.memory, self.offset + place * PAGE + offset).value = value

    def load(self, place, offset):
        """Reads 16 bits of an area at once."""
        return ctypes.c_uint16.from_buffer(self.client.memory, self.offset + place * PAGE + offset).value


class SplitRing(Ring):
    """A split virtqueue."""

    BASE = 0

    def __init__(self, client, index, place=None):
        super().__init__(client, index, place)
        self.free = 0
        self.taken = 0

    def describe(self, number, address, length, flags, following=0):
        """Writes a descriptor."""
        at = self.offset + number * 16
        self.client.memory[at:at + 16] = struct.pack("<QIHH", address, length, flags, following & 0xFFFF)

    def publish(self, head, ahead=1):
        """Makes a buffer available; `ahead` is by how much the index moves."""
        index = self.load(1, 2)
        self.store(1, 4 + 2 * (index % SIZE), head)
        self.store(1, 2, index + ahead & 0xFFFF)

    def put(self, pieces):
        """Makes a buffer of pieces (address, length, flags) available."""
        head = self.free
        self.given[head] = pieces[0][0] - IOVA
        for count, (address, length, flags) in enumerate(pieces):
            more = NEXT if count + 1 < len(pieces) else 0
            self.describe(self.free, address, length, flags | more, (self.free + 1) % SIZE)
            self.free = (self.free + 1) % SIZE
        self.publish(head)

    def take(self):
        """Takes a buffer that is back, if there is one."""
        # With the event index, the device is to say when it returns this one.
        self.store(1, 4 + 2 * SIZE, self.taken)
        if self.load(2, 2) == self.taken:
            return None
        at = self.offset + 2 * PAGE + 4 + 8 * (self.taken % SIZE)
        self.taken = self.taken + 1 & 0xFFFF
        return struct.unpack("<II", self.client.memory[at:at + 8])


class PackedRing(Ring):
    """A packed virtqueue."""

    BASE = 0x8000_8000

    def __init__(self, client, index, place=None):
        super().__init__(client, index, place)
        self.place, self.wrap = 0, True
        self.back, self.back_wrap = 0, True

    def flags(self):
        """Returns the bits that make the next descriptor available."""
        return AVAIL if self.wrap else USED

    def describe(self, number, address, length, buffer, flags):
        """Writes a descriptor, its flags last."""
        at = self.offset + number * 16
        self.client.memory[at:at + 14] = struct.pack("<QIH", address, length, buffer)
        self.store(0, number * 16 + 14, flags)

    def put(self, pieces):
        """Makes a buffer of pieces (address, length, flags) available."""
        head, later = self.place, []
        self.given[head] = pieces[0][0] - IOVA
        for count, (address, length, flags) in enumerate(pieces):
            more = NEXT if count + 1 < len(pieces) else 0
            later.append((self.place, address, length, head, flags | more | self.flags()))
            self.place += 1
            if self.place == SIZE:
                self.place, self.wrap = 0, not self.wrap
        # The first one makes them all available.
        for descriptor in reversed(later):
            self.describe(*descriptor)

    def take(self):
        """Takes a buffer of one piece that is back, if there is one."""
        flags = self.load(0, self.back * 16 + 14)
        used = (bool(flags & AVAIL), bool(flags & USED)) == (self.back_wrap, self.back_wrap)
        if not used:
            return None
        at = self.offset + self.back * 16
        length, number = struct.unpack("<IH", self.client.memory[at + 8:at + 14])
        self.back += 1
        if self.back == SIZE:
            self.back, self.back_wrap = 0, not self.back_wrap
        return number, length
