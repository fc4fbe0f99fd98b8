# SPDX-License-Identifier: GPL-2.0
"""The DPUs of this guest, as sysfs and debugfs show them."""

import os
from pathlib import Path

from net.lib.py import KsftSkipEx, defer

from .wait import wait_for

VENDOR = 0x1AF4
DEVICE_PF = 0x10F0
DEVICE_VF = 0x10F1
AUXILIARY = Path("/sys/bus/auxiliary/devices")
DRIVER = Path("/sys/bus/pci/drivers/ferrite_core")
DEBUGFS = Path("/sys/kernel/debug")


def put(path, text):
    """Writes to a file of the kernel, once: Python's own files write again when the first write failed."""
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, str(text).encode())
    finally:
        os.close(file)


def port_name(netdev):
    """Returns the name that the switch has for a network device, given as its directory in sysfs."""
    try:
        return (netdev / "phys_port_name").read_text(encoding="ascii").strip()
    except OSError:
        return ""


class Pci:
    """A PCI function of a DPU."""

    def __init__(self, path):
        self.path = Path(path)
        self.address = self.path.name

    def __repr__(self):
        return self.address

    def read(self, attribute):
        """Returns the text of a sysfs attribute."""
        return (self.path / attribute).read_text(encoding="ascii").strip()

    def number(self, attribute):
        """Returns a sysfs attribute that is a number, decimal or 0x."""
        return int(self.read(attribute), 0)

    def write(self, attribute, text):
        """Writes a sysfs attribute."""
        put(self.path / attribute, text)

    @property
    def driver(self):
        """Name of the driver that is bound, or None."""
        link = self.path / "driver"
        return link.resolve().name if link.exists() else None

    @property
    def auxiliary(self):
        """Auxiliary devices below the function."""
        return sorted(path for path in self.path.glob("ferrite_core.*") if (path / "subsystem").exists())

    @property
    def netdev(self):
        """Name of its own network device, or None. One in another network namespace is not seen."""
        # Representors and the devices of SFs are children of the PF as well.
        own = "p0" if (self.path / "sriov_totalvfs").exists() else ""
        found = [path.name for path in self.path.glob("net/*") if port_name(path) == own]
        return found[0] if found else None

    def wait_netdev(self):
        """Waits for the network device and returns its name."""
        return wait_for(lambda: self.netdev, f"the network device of {self}")

    def unbind(self):
        """Takes the driver away; returns when it is gone."""
        put(DRIVER / "unbind", self.address)

    def bind(self):
        """Gives the driver the function and waits for its network device, whose name it returns."""
        put(DRIVER / "bind", self.address)
        return self.wait_netdev()

    def try_bind(self):
        """Gives the driver the function; returns whether it took it."""
        try:
            put(DRIVER / "bind", self.address)
        except OSError:
            return False
        return True

    def reset(self, method):
        """Resets the function by one method, `flr` or `bus`, as sysfs does it."""
        usual = self.read("reset_method")
        self.write("reset_method", method)
        try:
            self.write("reset", 1)
        finally:
            self.write("reset_method", usual)

    def restore(self, reset=None):
        """Makes sure that the driver is bound and healthy, whatever happened before. For defer()."""
        if self.driver:
            self.unbind()
        if reset:
            self.reset(reset)
        self.bind()

    @property
    def vfs(self):
        """Its virtual functions, by index."""
        links = sorted(self.path.glob("virtfn*"), key=lambda path: int(path.name.removeprefix("virtfn")))
        return [Pci(link.resolve()) for link in links]

    @property
    def debugfs(self):
        """Directory of the function in debugfs."""
        return DEBUGFS / f"ferrite_core-{self.address}"

    def counters(self, name):
        """Returns the numbers of a debugfs file with `name: value` lines."""
        text = (self.debugfs / name).read_text(encoding="utf-8")
        pairs = [line.split(": ", 1) for line in text.splitlines() if ": " in line]
        return {name: int(value) for name, value in pairs if value.isdigit()}

    def set_admin_timeout(self, milliseconds):
        """Sets how long the driver waits for an answer, until the test ends or the driver is bound anew."""
        file = self.debugfs / "admin_timeout_ms"
        defer(self.undo, file, file.read_text(encoding="ascii"))
        put(file, f"{milliseconds}\n")

    def fault(self, order):
        """Arms a fault, `lose_completion opcode=0x202 count=1`; the end of the test disarms all."""
        file = self.debugfs / "fault"
        if not file.exists():
            raise KsftSkipEx("the device has no faults to inject (DPU_OPTS=faults=on)")
        defer(self.clear_faults)
        put(file, order + "\n")

    def clear_faults(self):
        """Disarms all faults, as far as there is somebody to tell it to the device."""
        self.undo(self.debugfs / "fault", "clear\n")

    @staticmethod
    def undo(file, text):
        """Writes to a file of debugfs, if there is somebody to read it."""
        try:
            put(file, text)
        except OSError:
            # Nobody drives the device, or it hung or vanished: restore() resets it.
            pass


def dpus():
    """Returns the physical functions of all DPUs, by address; skips the test when there is none."""
    found = [Pci(path) for path in sorted(Path("/sys/bus/pci/devices").iterdir())]
    found = [pci for pci in found if (pci.number("vendor"), pci.number("device")) == (VENDOR, DEVICE_PF)]
    if not found:
        raise KsftSkipEx("this guest has no DPU")
    return found


def need_dpus(count):
    """Returns the first DPUs; skips the test when there are fewer."""
    found = dpus()
    if len(found) < count:
        raise KsftSkipEx(f"needs {count} DPUs (NUM_DPU={count}) and this guest has {len(found)}")
    return found[:count]
