#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What the drivers make of a device: auxiliary device, devlink instance and port, network device."""

import json
import re

from ferrite import AUXILIARY, cmd, dpus, ethtool, ip, ksft_eq, ksft_in, ksft_ne, ksft_not_in, ksft_true, run


def devlink(arguments):
    return json.loads(cmd(f"devlink -j {arguments}").stdout)


def each_dpu_has_an_ethernet_auxiliary_device():
    names = [device.name for pci in dpus() for device in pci.auxiliary]
    ksft_in("ferrite_core.eth.0", names)
    ksft_in("ferrite_core.eth.0", [device.name for device in AUXILIARY.iterdir()])
    for pci in dpus():
        ethernet = [device for device in pci.auxiliary if device.name.startswith("ferrite_core.eth.")]
        ksft_eq(len(ethernet), 1, pci)
        ksft_eq((ethernet[0] / "driver").resolve().name, "ferrite_net.ferrite_net", pci)


def the_net_driver_depends_on_the_library_and_not_on_the_core():
    depends = cmd("modinfo -F depends ferrite_net").stdout.strip().split(",")
    ksft_in("ferrite_aux", depends)
    ksft_not_in("ferrite_core", depends)
    ksft_in("ferrite_aux", cmd("modinfo -F depends ferrite_core").stdout.strip().split(","))


def modules_have_no_taint_but_that_of_being_out_of_tree():
    for module in ("ferrite_aux", "ferrite_core", "ferrite_net"):
        with open(f"/sys/module/{module}/taint", encoding="ascii") as file:
            ksft_in(file.read().strip(), ("O", "OE"), module)
        ksft_eq(cmd(f"modinfo -F license {module}").stdout.strip(), "GPL")


def devlink_info_tells_who_the_device_is():
    serials = []
    for pci in dpus():
        info = devlink(f"dev info pci/{pci}")["info"][f"pci/{pci}"]
        ksft_eq(info["driver"], "ferrite_core")
        ksft_true(info["serial_number"], "serial number")
        serials.append(info["serial_number"])
        ksft_in("asic.id", info["versions"]["fixed"])
        ksft_in("asic.rev", info["versions"]["fixed"])
        ksft_true(re.fullmatch(r"\d+\.\d+\.\d+.*", info["versions"]["running"]["fw"]),
                  f"running firmware {info['versions']['running']}")
        ksft_in("fw", info["versions"]["stored"])
    ksft_eq(len(set(serials)), len(serials), "each board has its own serial number")


def devlink_has_the_physical_port():
    for pci in dpus():
        ports = {name: port for name, port in devlink("port show")["port"].items() if name.startswith(f"pci/{pci}/")}
        physical = [port for port in ports.values() if port.get("flavour") == "physical"]
        ksft_eq(len(physical), 1, pci)
        ksft_eq(physical[0]["type"], "eth")
        ksft_eq(physical[0]["netdev"], pci.wait_netdev())


def ethtool_names_driver_firmware_and_bus():
    for pci in dpus():
        shown = ethtool(f"-i {pci.wait_netdev()}").stdout
        fields = dict(line.split(": ", 1) for line in shown.splitlines() if ": " in line)
        ksft_eq(fields["driver"], "ferrite_net")
        ksft_eq(fields["firmware-version"], "1.0.0")
        ksft_eq(fields["bus-info"], pci.address)


def the_network_device_has_the_mac_address_of_the_device():
    seen = set()
    for pci in dpus():
        link = ip(f"-d link show dev {pci.wait_netdev()}", json=True)[0]
        ksft_eq(link["link_type"], "ether")
        first = int(link["address"].split(":")[0], 16)
        ksft_eq(first & 1, 0, "not a multicast address")
        ksft_ne(link["address"], "00:00:00:00:00:00")
        ksft_not_in(link["address"], seen)
        seen.add(link["address"])
        ksft_eq(link["min_mtu"], 68)
        ksft_eq(link["max_mtu"], 9600)


if __name__ == "__main__":
    run(each_dpu_has_an_ethernet_auxiliary_device, the_net_driver_depends_on_the_library_and_not_on_the_core,
        modules_have_no_taint_but_that_of_being_out_of_tree, devlink_info_tells_who_the_device_is,
        devlink_has_the_physical_port, ethtool_names_driver_firmware_and_bus,
        the_network_device_has_the_mac_address_of_the_device)
