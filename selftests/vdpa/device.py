#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""vDPA devices of SFs, driven by the guest's own virtio-net through virtio_vdpa."""

import json
from pathlib import Path

from ferrite import (Pair, Port, Sf, bridge, cmd, defer, ksft_eq, ksft_ge, ksft_in, ksft_true, make_sf, need_dpus, refused, run,
                     set_mode, wait_for)

MAC = "02:00:00:00:99:01"


def vdpa(words):
    """Runs `vdpa`; returns what it says in JSON."""
    return json.loads(cmd(f"vdpa -j {words}", timeout=60).stdout or "{}")


def management():
    """Makes an SF whose function is a management device; returns its representor and handle."""
    pci = need_dpus(1)[0]
    defer(pci.restore)
    cmd("modprobe ferrite_vdpa")
    cmd("modprobe virtio_vdpa")
    cmd("modprobe virtio_net")
    set_mode(pci, "switchdev")
    port = Port.add(pci, "flavour pcisf pfnum 0 sfnum 7")
    port.activate()
    sf = Sf.of(7)
    sf.enable("vnet")
    wait_for(lambda: sf.handle in vdpa("mgmtdev show")["mgmtdev"], "the management device")
    return pci, port, sf


def add(sf, words=""):
    """Makes a vDPA device of an SF, for the length of the test; returns its network device."""
    cmd(f"vdpa dev add name v0 mgmtdev {sf.handle} mac {MAC} {words}", timeout=60)
    defer(cmd, "vdpa dev del v0", fail=False)

    def find():
        # The device is below the one that does DMA for it.
        for address in Path("/sys/class/net").glob("*/address"):
            if address.read_text().strip() == MAC:
                return address.parent.name
        return None
    return wait_for(find, "the network device")


def device_is_what_was_asked_for():
    _, _, sf = management()
    shown = vdpa("mgmtdev show")["mgmtdev"][sf.handle]
    ksft_in("net", shown["supported_classes"])
    netdev = add(sf, "mtu 4000 max_vqp 2")
    config = vdpa("dev config show v0")["config"]["v0"]
    ksft_eq((config["mac"], config["mtu"], config["max_vq_pairs"]), (MAC, 4000, 2))
    ksft_eq(Path("/sys/class/net", netdev, "address").read_text().strip(), MAC)
    ksft_eq(vdpa("dev show v0")["dev"]["v0"]["max_vqs"], 5)
    refused(f"dev add name v1 mgmtdev {sf.handle}", "busy", tool="vdpa")


def packets_pass_to_another_function():
    pci, port, sf = management()
    other, other_sf = make_sf(pci, 8)
    bridge(port.wait_netdev(), other.wait_netdev())
    netdev = add(sf)
    pair = Pair(netdev, other_sf.netdev)
    pair.left.ping(pair.right.ipv4, count=20)
    pair.left.ping(pair.right.ipv6, count=20, size=1400)
    ksft_true(pair.iperf()["end"]["sum_received"]["bytes"] > 0)
    counters = vdpa("dev vstats show v0 qidx 1")["vstats"]["v0"]
    ksft_ge(counters["packets"], 40)


def address_changes_where_the_user_says():
    _, _, sf = management()
    add(sf)
    cmd("vdpa dev set name v0 mac 02:00:00:00:99:02")
    ksft_eq(vdpa("dev config show v0")["config"]["v0"]["mac"], "02:00:00:00:99:02")


def device_goes_with_its_driver():
    _, _, sf = management()
    add(sf)
    cmd("modprobe -r ferrite_vdpa", timeout=60)
    ksft_true(not Path("/sys/bus/vdpa/devices/v0").exists())
    cmd("modprobe ferrite_vdpa")
    add(sf)


def device_goes_with_its_function():
    _, port, sf = management()
    add(sf)
    port.set("state inactive")
    ksft_true(not Path("/sys/bus/vdpa/devices/v0").exists())


if __name__ == "__main__":
    run(device_is_what_was_asked_for, packets_pass_to_another_function, address_changes_where_the_user_says,
        device_goes_with_its_driver, device_goes_with_its_function)
