# SPDX-License-Identifier: GPL-2.0
# machine: dpu
"""A port of a device that is added, looked at and deleted, against a port of netdevsim's, which has nothing behind it."""

import time

from ferrite import Port, cmd, defer, devlink, dpus, put, set_mode

BUS = "/sys/bus/netdevsim"
DEVICE = "netdevsim/netdevsim7"


class Sf:
    """An SF of Ferrite's."""

    def __init__(self, pci):
        self.handle = f"pci/{pci}"
        self.pci, self.port = pci, None

    def __str__(self):
        return "ferrite"

    def add(self):
        """Adds a port; returns its name."""
        self.port = Port.create(self.pci, "flavour pcisf pfnum 0 sfnum 1")
        return self.port.handle

    def delete(self):
        """Deletes it."""
        self.port.delete()


class Simulated:
    """A port of netdevsim's."""

    handle = DEVICE

    def __init__(self):
        cmd("modprobe netdevsim", timeout=60)
        defer(cmd, "modprobe -r netdevsim", fail=False)
        put(f"{BUS}/new_device", "7 1")
        defer(put, f"{BUS}/del_device", "7")

    def __str__(self):
        return "netdevsim"

    def add(self):
        """Adds a port; returns its name."""
        put(f"{BUS}/devices/netdevsim7/new_port", "5")
        return f"{DEVICE}/5"

    def delete(self):
        """Deletes it."""
        put(f"{BUS}/devices/netdevsim7/del_port", "5")


def timed(bench, act, per):
    """Returns how long something takes, and its counts."""
    with bench.meter.counted() as counted:
        begun = time.monotonic()
        act()
        took = time.monotonic() - begun
    return {"time": 1000 * took} | counted.per(1, per)


def compare(bench):
    """Compares what ports and reporters cost."""
    pci = dpus()[0]
    set_mode(pci, "switchdev")
    sides = [Sf(pci), Simulated()]

    def port(side):
        def life():
            devlink(f"port show {side.add()}")
            side.delete()
        return timed(bench, life, "port")

    bench.compare("port added, shown, deleted", sides, port)
    bench.compare("health shown", sides, lambda side: timed(bench, lambda: devlink(f"health show {side.handle}"), "look"))
