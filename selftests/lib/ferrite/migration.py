# SPDX-License-Identifier: GPL-2.0
"""VFs that can be migrated, handed out by devlink and driven by this process."""

import errno
import os
import select
import threading
from pathlib import Path

from net.lib.py import KsftFailEx, cmd, defer

from .devlink import Port, set_mode
from .dpu import need_dpus
from .harness import log
from .userdriver import UserDriver
from .vfio import PRE_COPY, RESUMING, RUNNING, STOP, STOP_COPY, Device, Iommufd, Memory, read_all, write_all
from .wait import wait_for

IOVA = 0x10_0000_0000


def fails_with(number, what, *args):
    """Fails the test unless a call fails with this errno."""
    try:
        what(*args)
    except OSError as error:
        if error.errno != number:
            raise KsftFailEx(f"{error} instead of {errno.errorcode[number]}") from error
        return
    raise KsftFailEx(f"worked, and should fail with {errno.errorcode[number]}")


def provision(pci, words=""):
    """Hands a VF to VFIO; returns its port and itself."""
    port = Port.add(pci, "flavour pcivf pfnum 0")
    port.set(f"{words} migratable enable")
    port.set("state active")
    return port, pci.vfs[port.show()["vfnum"]]


def switch():
    """Returns a DPU in the mode in which VFs are provisioned, with the VFIO driver loaded."""
    cmd("modprobe ferrite_vfio", timeout=60)
    # What the PCI core says when VFIO resets a device: as it is opened, as it is closed, when asked to.
    log.allow("ferrite_vfio .*: (resetting|reset done)")
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    return pci


class Bench:
    """Some VFs in one address space, with memory that all of them reach."""

    def __init__(self, count=1, space=None):
        self.pci = switch()
        self.ports, self.vfs = zip(*(provision(self.pci) for _ in range(count)))
        self.space = (space or Iommufd)()
        self.devices = []
        defer(self.close)
        for vf in self.vfs:
            self.devices.append(Device(self.space, vf))
        self.memory = Memory(1 << 20, IOVA)
        self.space.map(self.memory)

    def close(self):
        """Lets all devices go, before their ports are deleted."""
        for device in self.devices:
            device.close()
        self.space.close()

    def driver(self, number=0):
        """Returns a driver that runs on a device."""
        driver = UserDriver(self.devices[number], self.memory, 0x40000 * number)
        driver.start()
        return driver


class Reader(threading.Thread):
    """Somebody who sleeps until a file can be read."""

    POLL, LONG = "7 ", 300

    def __init__(self, fd):
        super().__init__(daemon=True)
        self.fd = fd
        self.start()
        syscall = Path(f"/proc/self/task/{self.native_id}/syscall")
        wait_for(lambda: syscall.read_text(encoding="ascii").startswith(self.POLL), "the reader to sleep")

    def run(self):
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        poll.poll(self.LONG * 1000)

    def wakes(self):
        """Fails the test unless it was woken, long before it would have looked by itself."""
        self.join(self.LONG / 10)
        if self.is_alive():
            raise KsftFailEx("nobody woke who polls")


def save(device, pre_copy=False):
    """Saves a device and leaves it stopped; returns the stream."""
    if pre_copy:
        fd = device.go(PRE_COPY)
        data = drain(fd)
        if device.go(STOP_COPY) is not None:
            raise KsftFailEx("a second file for the same stream")
    else:
        fd, data = device.go(STOP_COPY), b""
    data += read_all(fd)
    os.close(fd)
    device.go(STOP)
    return data


def drain(fd):
    """Reads what there is while the device works."""
    data = b""
    while True:
        try:
            piece = os.read(fd, 65536)
        except OSError as error:
            if error.errno != errno.ENOMSG:
                raise
            return data
        if not piece:
            raise KsftFailEx("the stream ends while the device works")
        data += piece


def load(device, data):
    """Loads a device and leaves it running."""
    fd = device.go(RESUMING)
    write_all(fd, data)
    device.go(RUNNING)
    os.close(fd)
