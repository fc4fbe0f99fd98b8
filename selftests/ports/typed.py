#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The sessions that users of mlx5 know, typed as there, with what devlink shows at each step."""

from ferrite import (AUXILIARY, Port, Sf, cmd, defer, devlink, ip, ksft_eq, ksft_in, ksft_ne, ksft_not_in, ksft_true,
                     mode_of, need_dpus, ports, run, set_mode, wait_for)

MAC = "02:00:00:00:88:88"


def sf_devices():
    """Returns the names of all SFs' auxiliary devices."""
    return sorted(path.name for path in AUXILIARY.glob("ferrite_core.sf.*"))


def an_sf_from_its_port_to_its_netdev_and_back():
    pci = need_dpus(1)[0]
    ksft_eq(mode_of(pci), "legacy")
    set_mode(pci, "switchdev")
    ksft_eq(mode_of(pci), "switchdev")
    devices = sf_devices()

    port = Port.add(pci, "flavour pcisf pfnum 0 sfnum 88")
    shown = port.show()
    ksft_eq((shown["type"], shown["flavour"], shown["pfnum"], shown["sfnum"]), ("eth", "pcisf", 0, 88))
    ksft_eq((shown["function"]["state"], shown["function"]["opstate"]), ("inactive", "detached"))
    ksft_eq(sf_devices(), devices, "nobody sees the SF before it is active")
    representor = port.wait_netdev()
    ksft_eq(ip(f"-d link show dev {representor}", json=True)[0]["phys_port_name"], "pf0sf88")

    port.set(f"hw_addr {MAC}")
    ksft_eq(port.function("hw_addr"), MAC)
    ksft_eq(port.function("state"), "inactive")
    port.activate()
    ksft_eq((port.function("state"), port.function("opstate")), ("active", "attached"))

    sf = Sf.of(88)
    ksft_in(sf.handle, devlink("dev show")["dev"])
    ksft_eq(sf.netdev, None, "no netdev before somebody asks for one")
    sf.enable()
    netdev = sf.wait_netdev()
    ksft_eq(ip(f"link show dev {netdev}", json=True)[0]["address"], MAC)
    ksft_ne(netdev, representor)

    port.set("state inactive")
    wait_for(lambda: port.function("opstate") == "detached", "the SF to be detached")
    ksft_eq(sf_devices(), devices)
    ksft_eq(port.function("hw_addr"), MAC, "what was configured stays")
    port.activate()
    Sf.of(88)
    port.set("state inactive")
    port.delete()
    ksft_true(not port.exists())
    ksft_not_in(representor, cmd("ls /sys/class/net").stdout.split())


def mac_and_state_in_one_command():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    port = Port.add(pci, "flavour pcisf pfnum 0 sfnum 89")
    port.set(f"hw_addr {MAC} state active")
    sf = Sf.of(89)
    sf.enable()
    ksft_eq(ip(f"link show dev {sf.wait_netdev()}", json=True)[0]["address"], MAC)


def a_port_goes_with_its_active_sf():
    # As with mlx5, deleting needs no deactivating first.
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    devices = sf_devices()
    port = Port.add(pci, "flavour pcisf pfnum 0 sfnum 90")
    port.activate()
    Sf.of(90).enable()
    port.delete()
    ksft_eq(sf_devices(), devices)


def the_device_chooses_a_number():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    numbers = [Port.add(pci, "flavour pcisf pfnum 0").show()["sfnum"] for _ in range(3)]
    ksft_eq(len(set(numbers)), 3, numbers)


def a_chosen_index_is_the_port_s():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    handle = f"pci/{pci}/70000"
    cmd(f"devlink port add {handle} flavour pcisf pfnum 0 sfnum 5")
    defer(Port(handle).clean)
    ksft_eq(Port(handle).show()["sfnum"], 5)


def a_reloaded_sf_keeps_its_parameters():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    port = Port.add(pci, "flavour pcisf pfnum 0 sfnum 91")
    port.activate()
    sf = Sf.of(91)
    sf.enable()
    sf.wait_netdev()
    devlink(f"dev reload {sf.handle}")
    sf.wait_netdev()
    devlink(f"dev param set {sf.handle} name enable_eth value false cmode driverinit")
    devlink(f"dev reload {sf.handle}")
    ksft_eq(sf.netdev, None)


def a_vf_is_provisioned_before_anybody_sees_it():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    port = Port.add(pci, "flavour pcivf pfnum 0")
    shown = port.show()
    ksft_eq((shown["flavour"], shown["pfnum"], shown["vfnum"]), ("pcivf", 0, 0))
    ksft_eq((shown["function"]["state"], shown["function"]["opstate"]), ("inactive", "detached"))
    vf = pci.vfs[0]
    ksft_eq(vf.driver, None)
    port.set("hw_addr 02:00:00:00:77:77 state active")
    ksft_eq(vf.driver, "ferrite_core")
    netdev = vf.wait_netdev()
    ksft_eq(ip(f"link show dev {netdev}", json=True)[0]["address"], "02:00:00:00:77:77")
    ksft_eq((port.function("state"), port.function("opstate")), ("active", "attached"))
    port.set("state inactive")
    ksft_eq(vf.driver, None)
    ksft_eq(port.function("opstate"), "detached")
    port.delete()
    wait_for(lambda: pci.vfs == [], "SR-IOV to be off again")


def vfs_of_sriov_numvfs_have_ports():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    defer(pci.write, "sriov_numvfs", 0)
    pci.write("sriov_numvfs", 3)
    made = ports(pci, "pcivf")
    ksft_eq(sorted(port.show()["vfnum"] for port in made), [0, 1, 2])
    for vf in pci.vfs:
        vf.wait_netdev()
    for port in made:
        ksft_eq(port.function("state"), "active")
        wait_for(lambda: port.function("opstate") == "attached", f"{port} to be attached")  # pylint: disable=W0640
    pci.write("sriov_numvfs", 0)
    ksft_eq(ports(pci, "pcivf"), [])


if __name__ == "__main__":
    run(an_sf_from_its_port_to_its_netdev_and_back, mac_and_state_in_one_command, a_port_goes_with_its_active_sf,
        the_device_chooses_a_number, a_chosen_index_is_the_port_s, a_reloaded_sf_keeps_its_parameters,
        a_vf_is_provisioned_before_anybody_sees_it, vfs_of_sriov_numvfs_have_ports)
