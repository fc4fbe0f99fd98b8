# SPDX-License-Identifier: GPL-2.0
"""vDPA devices of SFs: how they are made, and whose they are."""

import json
from pathlib import Path

from net.lib.py import cmd, defer

from .devlink import Port, Sf, set_mode
from .dpu import need_dpus, put
from .wait import wait_for

MAC = "02:00:00:00:99:01"
BUS = Path("/sys/bus/vdpa")


def vdpa(words):
    """Runs `vdpa`; returns what it says in JSON."""
    return json.loads(cmd(f"vdpa -j {words}", timeout=60).stdout or "{}")


def load():
    """Loads the driver, and those that drive what it makes."""
    cmd("modprobe -a ferrite_vdpa virtio_vdpa vhost_vdpa virtio_net", timeout=60)


def home():
    """Has the modules loaded and the first DPU in switchdev mode, for the length of the test; returns it."""
    pci = need_dpus(1)[0]
    defer(pci.restore)
    load()
    set_mode(pci, "switchdev")
    return pci


def make_management(pci, number=7, words=""):
    """Makes an SF whose function is a management device, for the length of the test; returns its port and device."""
    port = Port.add(pci, f"flavour pcisf pfnum 0 sfnum {number}")
    if words:
        port.set(words)
    port.activate()
    sf = Sf.of(number)
    manage(sf)
    return port, sf


def manage(sf):
    """Makes a management device of an SF."""
    sf.enable("vnet")
    wait_for(lambda: sf.handle in vdpa("mgmtdev show")["mgmtdev"], "the management device")


def management():
    """As `make_management`, of the first DPU; returns that, the SF's port, and the SF."""
    pci = home()
    return pci, *make_management(pci)


def add(sf, words="", name="v0", mac=MAC, driver="virtio_vdpa"):
    """Makes a vDPA device of an SF or VF for a driver, for the length of the test."""
    defer(cmd, f"vdpa dev del {name}", fail=False)
    create(sf, words, name, mac, driver)


def create(sf, words="", name="v0", mac=MAC, driver="virtio_vdpa"):
    """As `add`, for a device that stays."""
    cmd(f"vdpa dev add name {name} mgmtdev {sf.handle} mac {mac} {words}", timeout=60)
    give(name, driver)


def give(name, driver):
    """Gives a vDPA device to a driver of the vDPA bus, whichever has it now."""
    device = BUS / "devices" / name
    if (device / "driver").exists():
        if (device / "driver").resolve().name == driver:
            return
        put(device / "driver/unbind", name)
    put(device / "driver_override", driver)
    put(BUS / "drivers_probe", name)


def netdev_of(mac=MAC):
    """Waits for the network device that virtio_vdpa makes of a vDPA device; returns its name."""
    def find():
        # It is below the device that does DMA for it.
        for address in Path("/sys/class/net").glob("*/address"):
            if address.read_text().strip() == mac and (address.parent / "device/driver").resolve().name == "virtio_net":
                return address.parent.name
        return None
    return wait_for(find, "the network device")


def node_of(name):
    """Waits for the character device by which vhost_vdpa lets user space drive a vDPA device; returns its path."""
    def find():
        found = list((BUS / "devices" / name).glob("vhost-vdpa-*"))
        return found and Path("/dev", found[0].name)
    node = wait_for(find, f"the character device of {name}")
    wait_for(node.exists, f"{node}")
    return node
