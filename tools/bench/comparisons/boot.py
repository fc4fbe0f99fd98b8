# SPDX-License-Identifier: GPL-2.0
# machine: boot
"""From a driver that is told of a device to its network device, without IOMMU."""

import time
from pathlib import Path

from bench.sides import DRIVERS, KINDS, by_address
from ferrite import cmd, dpus, put

PCI = Path("/sys/bus/pci/devices")


class Function:
    """A PCI function that a driver is given."""

    def __init__(self, name, address, netdevs):
        self.name, self.address, self.netdevs = name, address, netdevs
        self.driver = (PCI / address / "driver").resolve()

    def __str__(self):
        return self.name

    def begin(self):
        """Binds the driver and waits for the network device; returns how long that took."""
        put(self.driver / "unbind", self.address)
        begun = time.monotonic()
        put(self.driver / "bind", self.address)
        while not list((PCI / self.address).glob(self.netdevs)):
            time.sleep(0.001)
        return 1000 * (time.monotonic() - begun)


def emulated(name):
    """Returns one of QEMU's own devices."""
    cmd(f"modprobe {DRIVERS[name]}", timeout=60)
    netdev = by_address(f"02:be:00:{KINDS[name]:02x}:00:00")
    # Of a virtio device, the function is what that is below.
    device = Path("/sys/class/net", netdev, "device").resolve()
    virtio = device.name.startswith("virtio")
    return Function(name, (device.parent if virtio else device).name, "virtio*/net/*" if virtio else "net/*")


def compare(bench):
    """Compares drivers."""
    pci = dpus()[1]
    pci.wait_netdev()
    sides = [Function("ferrite", pci.address, "net/*"), *map(emulated, ("virtio-hub", "igb", "e1000e"))]

    def measure(side):
        with bench.meter.counted() as counted:
            took = side.begin()
        return {"time": took} | counted.per(1, "device")

    bench.compare("driver to network device", sides, measure)
