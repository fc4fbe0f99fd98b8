#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""VFs that devlink hands to VFIO and takes back."""

import os
import select
import struct
import threading
from pathlib import Path

from ferrite import AUXILIARY, Port, cmd, defer, ksft_eq, ksft_in, ksft_not_in, ksft_true, refused, run
from ferrite.migration import Bench, provision, switch
from ferrite.vfio import REQUEST_IRQ, SET_IRQS, Container, Device, Iommufd
import fcntl


def an_active_migratable_vf_is_a_vfio_device():
    pci = switch()
    port, vf = provision(pci)
    ksft_eq(vf.driver, "ferrite_vfio")
    ksft_eq(port.function("state"), "active")
    names = [path.name for path in Path(vf.path, "vfio-dev").iterdir()]
    ksft_true(Path("/dev/vfio/devices", names[0]).exists())
    ksft_eq(len([path for path in AUXILIARY.iterdir() if path.name.startswith("ferrite_core.vfio_mig.")]), 1)


def an_inactive_one_is_not():
    pci = switch()
    port, vf = provision(pci)
    port.set("state inactive")
    ksft_eq(vf.driver, None)
    ksft_eq([path.name for path in AUXILIARY.iterdir() if path.name.startswith("ferrite_core.vfio_mig.")], [])
    port.set("migratable disable")
    port.activate()
    ksft_eq(vf.driver, "ferrite_core")


def user_tools_find_the_module():
    aliases = cmd("modinfo -F alias ferrite_vfio").stdout.split()
    ksft_in("vfio_pci:v00001AF4d000010F1sv*sd*bc*sc*i*", aliases)
    depends = cmd("modinfo -F depends ferrite_vfio").stdout.strip().split(",")
    ksft_in("ferrite_aux", depends)
    ksft_not_in("ferrite_core", depends)


def without_the_driver_activation_is_refused():
    pci = switch()
    port = Port.add(pci, "flavour pcivf pfnum 0")
    port.set("migratable enable")
    defer(cmd, "modprobe ferrite_vfio")
    cmd("modprobe -r ferrite_vfio", timeout=60)
    refused(f"port function set {port} state active", "no VFIO driver")
    ksft_eq(port.function("state"), "inactive")
    cmd("modprobe ferrite_vfio", timeout=60)
    port.set("state active")
    ksft_eq(port.function("state"), "active")


def it_can_be_opened_by_its_group():
    bench = Bench(space=Container)
    ksft_eq(bench.devices[0].flags(), 7)
    bench.driver()


def it_can_be_opened_by_its_character_device():
    bench = Bench(space=Iommufd)
    ksft_eq(bench.devices[0].flags(), 7)
    bench.driver()


def deactivating_asks_the_user_to_let_go():
    bench = Bench()
    device, port = bench.devices[0], bench.ports[0]
    event = os.eventfd(0)
    defer(os.close, event)
    fcntl.ioctl(device.fd, SET_IRQS, struct.pack("<IIIIIi", 24, 4 | 32, REQUEST_IRQ, 0, 1, event))
    asked = []

    def let_go():
        asked.append(bool(select.select([event], [], [], 30)[0]))
        device.close()

    user = threading.Thread(target=let_go)
    user.start()
    port.set("state inactive")
    user.join()
    ksft_eq(asked, [True])
    ksft_eq(bench.vfs[0].driver, None)


def only_doorbells_are_mappable():
    device = Bench().devices[0]
    flags, size, _, caps = device.region(2)
    ksft_true(flags & 4)
    ksft_in(1, caps)
    ksft_eq(struct.unpack_from("<IIQQ", caps[1])[:1] + struct.unpack_from("<IIQQ", caps[1])[2:], (1, 0, size))
    ksft_eq(device.region(0)[0] & 4, 0)


if __name__ == "__main__":
    run(an_active_migratable_vf_is_a_vfio_device, an_inactive_one_is_not, user_tools_find_the_module,
        without_the_driver_activation_is_refused, it_can_be_opened_by_its_group,
        it_can_be_opened_by_its_character_device, deactivating_asks_the_user_to_let_go, only_doorbells_are_mappable)
