#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The PF's driver goes, or the PF is reset, with functions present."""

from ferrite import (AUXILIARY, Port, defer, ksft_eq, load, log, make_sf, mode_of, need_dpus, ports, run, set_mode, unload,
                     wait_for)


def populated():
    """Returns a DPU with an active SF, an inactive one, and a VF."""
    pci = need_dpus(1)[0]
    defer(pci.restore)
    set_mode(pci, "switchdev")
    make_sf(pci, 1)
    Port.add(pci, "flavour pcisf pfnum 0 sfnum 2")
    vf = Port.add(pci, "flavour pcivf pfnum 0")
    vf.activate()
    return pci


def sf_devices():
    """Returns the SFs' auxiliary devices."""
    return sorted(path.name for path in AUXILIARY.glob("ferrite_core.sf.*"))


def unbinding_ends_all_functions():
    pci = populated()
    pci.unbind()
    ksft_eq(sf_devices(), [])
    ksft_eq(pci.vfs, [])
    pci.bind()
    ksft_eq(ports(pci, "pcisf") + ports(pci, "pcivf"), [])
    ksft_eq(mode_of(pci), "legacy")
    set_mode(pci, "switchdev")
    make_sf(pci, 1)


def unloading_the_modules_ends_all_functions():
    populated()
    defer(load)
    unload()
    ksft_eq(sf_devices(), [])


def a_reset_of_the_pf_ends_its_sfs_and_gives_its_vfs_back():
    pci = populated()
    before = [str(port) for port in ports(pci, "pcivf")]
    log.expect("2 SFs ended with the reset and have to be added anew")
    pci.reset("flr")
    wait_for(lambda: [str(port) for port in ports(pci, "pcivf")] == before, "the VF's port")
    ksft_eq(ports(pci, "pcisf"), [])
    ksft_eq(mode_of(pci), "switchdev")
    vf = ports(pci, "pcivf")[0]
    wait_for(lambda: vf.function("opstate") == "attached", "the VF to be in use again")
    make_sf(pci, 1)


if __name__ == "__main__":
    run(unbinding_ends_all_functions, unloading_the_modules_ends_all_functions,
        a_reset_of_the_pf_ends_its_sfs_and_gives_its_vfs_back)
