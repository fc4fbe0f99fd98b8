#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The PF's driver goes, or the PF is reset, with functions present."""

from ferrite import (AUXILIARY, Port, Sf, defer, ksft_eq, load, make_sf, mode_of, need_dpus, ports, run, set_mode, unload,
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


def a_reset_of_the_pf_gives_the_functions_back():
    pci = populated()
    pci.reset("flr")
    wait_for(lambda: sorted(port.show()["sfnum"] for port in ports(pci, "pcisf")) == [1, 2], "the SFs' ports")
    ksft_eq(len(ports(pci, "pcivf")), 1)
    ksft_eq(mode_of(pci), "switchdev")
    for port in ports(pci, "pcivf") + [port for port in ports(pci, "pcisf") if port.show()["sfnum"] == 1]:
        wait_for(lambda port=port: port.function("opstate") == "attached", f"{port} to be in use again")
    Sf.of(1)


if __name__ == "__main__":
    run(unbinding_ends_all_functions, unloading_the_modules_ends_all_functions,
        a_reset_of_the_pf_gives_the_functions_back)
