#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""vDPA devices of SFs, driven by the guest's own virtio-net through virtio_vdpa."""

from pathlib import Path

from ferrite import Pair, bridge, cmd, ksft_eq, ksft_ge, ksft_in, ksft_true, make_sf, refused, run
from ferrite.vdpa import MAC, add, management, netdev_of, vdpa

def device_is_what_was_asked_for():
    _, _, sf = management()
    shown = vdpa("mgmtdev show")["mgmtdev"][sf.handle]
    ksft_in("net", shown["supported_classes"])
    add(sf, "mtu 4000 max_vqp 2")
    netdev = netdev_of()
    config = vdpa("dev config show v0")["config"]["v0"]
    ksft_eq((config["mac"], config["mtu"], config["max_vq_pairs"]), (MAC, 4000, 2))
    ksft_eq(Path("/sys/class/net", netdev, "address").read_text().strip(), MAC)
    ksft_eq(vdpa("dev show v0")["dev"]["v0"]["max_vqs"], 5)
    refused(f"dev add name v1 mgmtdev {sf.handle}", "busy", tool="vdpa")


def packets_pass_to_another_function():
    pci, port, sf = management()
    other, other_sf = make_sf(pci, 8)
    bridge(port.wait_netdev(), other.wait_netdev())
    add(sf)
    netdev = netdev_of()
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
