#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The sessions of the kernel's documentation, devlink-port.rst and mlx5's switchdev.rst, typed as they are there but for
addresses, names and indices, and what devlink prints to them.

What of them is about RDMA or IPsec a Ferrite DPU does not have: users are told so.
"""

import re

from ferrite import Port, Sf, cmd, defer, devlink, ip, ksft_eq, ksft_true, mode_of, need_dpus, ports, refused, run, wait_for

# Of an SF the kernel does not say any more that it is not external.
ATTRIBUTES = "(?: external false)? splittable false"


def typed(words):
    """Types a devlink command and returns what is printed to it."""
    return cmd(f"devlink {words}", timeout=60).stdout


def prints(words, pattern):
    """Types a command, whose output is to have this in it, with any space for a space; returns what groups matched."""
    output = typed(words)
    match = re.search(pattern.replace(" ", r"\s+"), output, re.DOTALL)
    ksft_true(match, f"devlink {words}\nprints:\n{output}")
    return match.groups() if match else ()


def switchdev(pci):
    """Types what both documents begin with."""
    defer(lambda: mode_of(pci) == "legacy" or cmd(f"devlink dev eswitch set pci/{pci} mode legacy"))
    typed(f"dev eswitch set pci/{pci} mode switchdev")


def added(pci, words):
    """Adds a port for the length of the test; returns it and what is printed."""
    output = typed(f"port add pci/{pci} {words}")
    port = Port(re.match(r"(pci/\S+/\d+):", output)[1])
    defer(port.clean)
    return port, output


def a_subfunction_as_mlx5_has_it():
    pci = need_dpus(1)[0]
    switchdev(pci)
    port, output = added(pci, "flavour pcisf pfnum 0 sfnum 88")
    shown = (rf"{port}: type eth netdev (\S+) flavour pcisf controller 0 pfnum 0 sfnum 88{ATTRIBUTES} "
             r"function: hw_addr \S+ state inactive opstate detached")
    ksft_true(re.match(shown.replace(" ", r"\s+"), output), output)
    (netdev,) = prints(f"port show {port}", shown)
    typed(f"port function set {port} hw_addr 00:00:00:00:88:88")

    # From here on by the name of its netdev.
    about = rf"{port}: type eth netdev {netdev} flavour pcisf controller 0 pfnum 0 sfnum 88{ATTRIBUTES} function: "
    prints(f"port show {netdev}", about + "hw_addr 00:00:00:00:88:88 state inactive opstate detached")
    typed(f"port function set {netdev} state active")
    prints(f"port show {netdev}", about + r"hw_addr 00:00:00:00:88:88 state active opstate (attached|detached)")

    sf = Sf.of(88)
    prints("dev show", sf.handle)
    typed(f"dev param set {sf.handle} name enable_eth value true cmode driverinit")
    typed(f"dev reload {sf.handle}")
    prints(f"port show {sf.handle}/0", rf"{sf.handle}/0: type eth netdev {sf.wait_netdev()} flavour virtual")
    ksft_eq(ip(f"link show dev {sf.netdev}", json=True)[0]["address"], "00:00:00:00:88:88")
    wait_for(lambda: port.function("opstate") == "attached", "the SF to be in use")
    prints(f"port show {netdev}", about + "hw_addr 00:00:00:00:88:88 state active opstate attached")
    typed(f"port del {port}")
    ksft_eq(ports(pci, "pcisf"), [])


def hw_addr_and_state_in_one_command_as_for_mlx5():
    pci = need_dpus(1)[0]
    switchdev(pci)
    port, _ = added(pci, "flavour pcisf pfnum 0 sfnum 11")
    typed(f"port function set {port} hw_addr 00:00:00:00:00:11 state active")
    prints(f"port show {port}", "hw_addr 00:00:00:00:00:11 state active")


def vf(pci):
    """Returns the port of the second of the VFs that the administrator made."""
    defer(pci.write, "sriov_numvfs", 0)
    pci.write("sriov_numvfs", 2)
    return next(port for port in ports(pci, "pcivf") if port.show()["vfnum"] == 1)


def inactive_vf(pci):
    """Returns the port of a VF that no driver has."""
    return added(pci, "flavour pcivf pfnum 0")[0]


def mac_address_of_a_vf():
    pci = need_dpus(1)[0]
    switchdev(pci)
    port = vf(pci)
    about = rf"{port}: type eth netdev \S+ flavour pcivf controller 0 pfnum 0 vfnum 1{ATTRIBUTES} function: "
    prints(f"port show {port}", about + "hw_addr ")
    typed(f"port function set {port} hw_addr 00:11:22:33:44:55")
    prints(f"port show {port}", about + "hw_addr 00:11:22:33:44:55")


def mac_address_of_an_sf():
    pci = need_dpus(1)[0]
    switchdev(pci)
    port, _ = added(pci, "flavour pcisf pfnum 0 sfnum 88")
    typed(f"port function set {port} hw_addr 00:00:00:00:88:88")
    prints(f"port show {port}", r"flavour pcisf .* sfnum 88 .*function: hw_addr 00:00:00:00:88:88")


def roce_capability():
    pci = need_dpus(1)[0]
    switchdev(pci)
    port = inactive_vf(pci)
    typed(f"port function set {port} roce disable")
    prints(f"port show {port}", "function: .*roce disable")
    typed(f"port function set {port} roce enable")
    prints(f"port show {port}", "function: .*roce enable")


def migratable_capability():
    pci = need_dpus(1)[0]
    switchdev(pci)
    port = inactive_vf(pci)
    prints(f"port show {port}", "function: .*migratable disable")
    typed(f"port function set {port} migratable enable")
    prints(f"port show {port}", "function: .*migratable enable")
    # Activating it is what hands it to the VFIO driver, which with mlx5 the administrator does.
    typed(f"port function set {port} migratable disable")


def ipsec_capabilities_there_are_none_of():
    pci = need_dpus(1)[0]
    switchdev(pci)
    port = inactive_vf(pci)
    for capability in ("ipsec_crypto", "ipsec_packet"):
        refused(f"port function set {port} {capability} enable", "[Nn]ot supported")


def maximum_of_io_event_queues():
    pci = need_dpus(1)[0]
    switchdev(pci)
    port = inactive_vf(pci)
    (most,) = prints(f"port show {port}", r"function: .*max_io_eqs (\d+)")
    typed(f"port function set {port} max_io_eqs 1")
    prints(f"port show {port}", "function: .*max_io_eqs 1")
    typed(f"port function set {port} max_io_eqs {most}")


def the_uplink_in_a_bridge_with_vlans():
    pci = need_dpus(1)[0]
    switchdev(pci)
    uplink = pci.wait_netdev()
    ip("link add name bridge1 type bridge")
    defer(ip, "link del bridge1")
    ip(f"link set {uplink} master bridge1")
    ip("link set bridge1 type bridge vlan_filtering 1")
    for words in ("vid 2-3", "vid 3 pvid", "vid 3 untagged"):
        cmd(f"bridge vlan add dev {uplink} {words}")
    ksft_eq(devlink("port show")["port"][f"pci/{pci}/0"]["netdev"], uplink)


if __name__ == "__main__":
    run(a_subfunction_as_mlx5_has_it, hw_addr_and_state_in_one_command_as_for_mlx5, mac_address_of_a_vf, mac_address_of_an_sf,
        roce_capability, migratable_capability, ipsec_capabilities_there_are_none_of, maximum_of_io_event_queues,
        the_uplink_in_a_bridge_with_vlans)
