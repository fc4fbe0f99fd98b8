# SPDX-License-Identifier: GPL-2.0
"""Devices as user space drives them through VFIO: the raw interface, by cdev and iommufd or by group and container."""

import ctypes
import fcntl
import mmap
import os
import re
import struct
from pathlib import Path

# Numbers of include/uapi/linux/vfio.h and iommufd.h.
CHECK_EXTENSION, SET_IOMMU, GROUP_GET_STATUS, GROUP_SET_CONTAINER = 0x3B65, 0x3B66, 0x3B67, 0x3B68
GROUP_GET_DEVICE_FD, GET_REGION_INFO, SET_IRQS, RESET = 0x3B6A, 0x3B6C, 0x3B6E, 0x3B6F
MAP_DMA, FEATURE, BIND_IOMMUFD, ATTACH_PT, PRECOPY_INFO = 0x3B71, 0x3B75, 0x3B76, 0x3B77, 0x3B79
IOAS_ALLOC, IOAS_MAP, IOAS_UNMAP = 0x3B81, 0x3B85, 0x3B86
TYPE1V2 = 3
GET, SET, PROBE = 1 << 16, 1 << 17, 1 << 18
MIGRATION, STATE, LOG_START, LOG_STOP, LOG_REPORT, DATA_SIZE, PRECOPY_V2 = 1, 2, 6, 7, 8, 9, 12
DOORBELLS, CONFIG_REGION = 2, 7
REQUEST_IRQ = 4
# Of include/uapi/linux/pci_regs.h: where the list of capabilities begins, and what of it resets a function.
CAPABILITIES, PCI_EXPRESS, DEVICE_CONTROL, START_FLR = 0x34, 0x10, 8, 1 << 15

ERROR, STOP, RUNNING, STOP_COPY, RESUMING, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P = range(8)
STATES = {STOP: "STOP", RUNNING: "RUNNING", STOP_COPY: "STOP_COPY", RESUMING: "RESUMING", RUNNING_P2P: "RUNNING_P2P",
          PRE_COPY: "PRE_COPY", PRE_COPY_P2P: "PRE_COPY_P2P"}


class Memory:
    """Memory of this process at the same I/O address for every device that is given it."""

    def __init__(self, size, iova):
        self.size, self.iova = size, iova
        self.map = mmap.mmap(-1, size)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.map))

    def read(self, offset, length):
        """Returns bytes of it."""
        return self.map[offset:offset + length]

    def write(self, offset, data):
        """Writes bytes to it."""
        self.map[offset:offset + len(data)] = data


class Iommufd:
    """An address space of iommufd."""

    def __init__(self):
        self.fd = os.open("/dev/iommu", os.O_RDWR)
        alloc = bytearray(struct.pack("<III", 12, 0, 0))
        fcntl.ioctl(self.fd, IOAS_ALLOC, alloc)
        self.ioas = struct.unpack("<III", alloc)[2]

    def open(self, address):
        """Opens a device by its own character device."""
        name = next(Path("/sys/bus").glob(f"*/devices/{address}/vfio-dev/*")).name
        fd = os.open(f"/dev/vfio/devices/{name}", os.O_RDWR)
        try:
            fcntl.ioctl(fd, BIND_IOMMUFD, bytearray(struct.pack("<IIiI", 16, 0, self.fd, 0)))
            fcntl.ioctl(fd, ATTACH_PT, bytearray(struct.pack("<III", 12, 0, self.ioas)))
        except OSError:
            os.close(fd)
            raise
        return fd

    def map(self, memory, iova=None):
        """Lets the devices reach memory, at its own I/O address or another."""
        fcntl.ioctl(self.fd, IOAS_MAP, bytearray(struct.pack("<IIIIQQQ", 40, 7, self.ioas, 0, memory.address, memory.size,
                                                             memory.iova if iova is None else iova)))

    def unmap(self, memory):
        """Takes memory away from the devices, from where it was mapped to by itself."""
        fcntl.ioctl(self.fd, IOAS_UNMAP, bytearray(struct.pack("<IIQQ", 24, self.ioas, memory.iova, memory.size)))

    def close(self):
        """Gives the address space up."""
        os.close(self.fd)


class Container:
    """An address space of the older kind, for groups."""

    def __init__(self):
        self.fd = os.open("/dev/vfio/vfio", os.O_RDWR)
        self.groups = []

    def open(self, address):
        """Opens a device by its group."""
        number = Path(f"/sys/bus/pci/devices/{address}/iommu_group").resolve().name
        group = os.open(f"/dev/vfio/{number}", os.O_RDWR)
        self.groups.append(group)
        fcntl.ioctl(group, GROUP_SET_CONTAINER, struct.pack("<i", self.fd))
        if len(self.groups) == 1:
            fcntl.ioctl(self.fd, SET_IOMMU, TYPE1V2)
        return fcntl.ioctl(group, GROUP_GET_DEVICE_FD, ctypes.create_string_buffer(str(address).encode()))

    def map(self, memory):
        """Lets the devices reach memory."""
        fcntl.ioctl(self.fd, MAP_DMA, bytearray(struct.pack("<IIQQQ", 32, 3, memory.address, memory.iova, memory.size)))

    def close(self):
        """Gives the address space up."""
        for fd in self.groups + [self.fd]:
            os.close(fd)


class Device:
    """A device that this process drives."""

    def __init__(self, space, address):
        self.space, self.address = space, address
        self.fd = space.open(address)
        self.regions = {}

    def close(self):
        """Closes the device; nothing happens if it is closed."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def region(self, index):
        """Returns flags, size, offset and capability ids of a region."""
        info = bytearray(4096)
        info[:24] = struct.pack("<IIIIQ", len(info), 0, index, 0, 0)
        fcntl.ioctl(self.fd, GET_REGION_INFO, info)
        _, flags, _, cap, size, offset = struct.unpack_from("<IIIIQQ", info)
        caps = {}
        while flags & 8 and cap:
            name, _, following = struct.unpack_from("<HHI", info, cap)
            caps[name], cap = bytes(info[cap + 8:]), following
        return flags, size, offset, caps

    def _offset(self, region):
        if region not in self.regions:
            self.regions[region] = self.region(region)[2]
        return self.regions[region]

    def read(self, region, offset, length=4):
        """Reads a register."""
        return int.from_bytes(os.pread(self.fd, length, self._offset(region) + offset), "little")

    def write(self, region, offset, value, length=4):
        """Writes a register."""
        os.pwrite(self.fd, value.to_bytes(length, "little"), self._offset(region) + offset)

    def enable(self):
        """Lets the device answer and be bus master."""
        self.write(CONFIG_REGION, 4, 6, 2)

    def reset(self):
        """Resets the device."""
        fcntl.ioctl(self.fd, RESET)

    def reset_by_config(self):
        """Resets the device as its driver does: by a bit of its PCI Express capability, which VFIO sees to."""
        at = self.read(CONFIG_REGION, CAPABILITIES, 1)
        while self.read(CONFIG_REGION, at, 1) != PCI_EXPRESS:
            at = self.read(CONFIG_REGION, at + 1, 1)
        control = self.read(CONFIG_REGION, at + DEVICE_CONTROL, 2)
        self.write(CONFIG_REGION, at + DEVICE_CONTROL, control | START_FLR, 2)

    def feature(self, flags, data=b""):
        """Asks for a feature; returns its data."""
        arg = bytearray(struct.pack("<II", 8 + len(data), flags) + data)
        fcntl.ioctl(self.fd, FEATURE, arg)
        return bytes(arg[8:])

    def flags(self):
        """Returns which states the device has."""
        return struct.unpack("<Q", self.feature(GET | MIGRATION, bytes(8)))[0]

    @property
    def state(self):
        """The state that it is in."""
        return struct.unpack("<Ii", self.feature(GET | STATE, bytes(8)))[0]

    def go(self, state):
        """Takes it to a state; returns the file that comes with it, if one does."""
        fd = struct.unpack("<Ii", self.feature(SET | STATE, struct.pack("<Ii", state, -1)))[1]
        return None if fd < 0 else fd

    def data_size(self):
        """Returns how much there will be to read once it is stopped."""
        return struct.unpack("<Q", self.feature(GET | DATA_SIZE, bytes(8)))[0]

    def log_start(self, ranges, page_size=4096):
        """Has it log what it writes to; returns the page size that it took."""
        table = ctypes.create_string_buffer(b"".join(struct.pack("<QQ", *each) for each in ranges))
        control = struct.pack("<QIIQ", page_size, len(ranges), 0, ctypes.addressof(table))
        return struct.unpack("<QIIQ", self.feature(SET | LOG_START, control))[0]

    def log_stop(self):
        """Ends the log."""
        self.feature(SET | LOG_STOP)

    def log_bitmap(self, iova, length, page_size=4096):
        """Returns the bitmap of the pages of a range that were written to."""
        bits = ctypes.create_string_buffer((length // page_size + 63) // 64 * 8)
        self.feature(GET | LOG_REPORT, struct.pack("<QQQQ", iova, length, page_size, ctypes.addressof(bits)))
        return bits.raw

    def log_report(self, iova, length, page_size=4096):
        """Returns the pages of a range that were written to, by number."""
        found = re.finditer(rb"[^\0]", self.log_bitmap(iova, length, page_size))
        return {8 * byte.start() + bit for byte in found for bit in range(8) if byte[0][0] >> bit & 1}


def precopy_info(fd, flags=0):
    """Returns flags, initial bytes and dirty bytes, as the file of a device that is saved tells."""
    info = bytearray(struct.pack("<IIQQ", 24, flags, 0, 0))
    fcntl.ioctl(fd, PRECOPY_INFO, info)
    return struct.unpack("<IIQQ", info)[1:]


def read_all(fd, chunk=65536):
    """Reads a file to its end."""
    data = b""
    while piece := os.read(fd, chunk):
        data += piece
    return data


def write_all(fd, data, chunk=65536):
    """Writes all of it."""
    while data:
        data = data[os.write(fd, data[:chunk]):]
