#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The tree of rates, as devlink makes it, and what there is to count."""

from ferrite import Port, defer, devlink, ksft_eq, ksft_true, need_dpus, refused, run, set_mode


def rate(handle):
    """What devlink shows of a leaf or node."""
    return devlink(f"port function rate show {handle}")["rate"][str(handle)]


def make_node(pci, name, words=""):
    """Makes a node for the length of the test."""
    node = f"pci/{pci}/{name}"
    devlink(f"port function rate add {node} {words}")
    defer(devlink, f"port function rate del {node}", fail=False)
    return node


def switched():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    return pci


def a_leaf_comes_and_goes_with_its_port():
    pci = switched()
    port = Port.add(pci, "flavour pcisf pfnum 0 sfnum 7")
    ksft_eq(rate(port)["type"], "leaf")
    devlink(f"port function rate set {port} tx_max 10mbit tx_share 1mbit tx_priority 3 tx_weight 20")
    shown = rate(port)
    ksft_eq((shown["tx_max"], shown["tx_share"]), (10_000_000 // 8, 1_000_000 // 8))
    ksft_eq((shown["tx_priority"], shown["tx_weight"]), (3, 20))
    port.delete()
    ksft_eq(devlink("port function rate show")["rate"], {})


def functions_hang_from_nodes():
    pci = switched()
    outer = make_node(pci, "outer", "tx_max 100mbit")
    inner = make_node(pci, "inner")
    devlink(f"port function rate set {inner} parent outer")
    ksft_eq(rate(inner)["parent"], "outer")
    port = Port.add(pci, "flavour pcisf pfnum 0 sfnum 7")
    devlink(f"port function rate set {port} parent inner tx_max 5mbit")
    ksft_eq(rate(port)["parent"], "inner")
    # Neither devlink nor the device lets go of what something hangs from.
    refused(f"port function rate del {inner}", "children")
    refused(f"port function rate set {outer} parent inner", "already a parent")
    devlink(f"port function rate set {port} noparent")
    ksft_true("parent" not in rate(port))
    devlink(f"port function rate del {inner}")
    devlink(f"port function rate del {outer}")


def a_function_that_goes_lets_go_of_its_node():
    pci = switched()
    node = make_node(pci, "node")
    for words in ("pcisf pfnum 0 sfnum 7", "pcivf pfnum 0"):
        port = Port.add(pci, f"flavour {words}")
        devlink(f"port function rate set {port} parent node tx_max 5mbit")
        port.delete()
    devlink(f"port function rate del {node}")


def a_vf_is_unlimited_for_its_next_user():
    pci = switched()
    port = Port.add(pci, "flavour pcivf pfnum 0")
    devlink(f"port function rate set {port} tx_max 5mbit")
    port.delete()
    port = Port.add(pci, "flavour pcivf pfnum 0")
    ksft_eq(rate(port).get("tx_max", 0), 0)


def what_cannot_be_is_refused():
    pci = switched()
    port = Port.add(pci, "flavour pcisf pfnum 0 sfnum 7")
    refused(f"port function rate set {port} tx_weight 201", "use 1 to 200")
    refused(f"port function rate set {port} tc-bw 0:20 1:70 2:0 3:0 4:0 5:0 6:0 7:0", "90 together")
    ksft_eq(rate(port).get("tx_weight", 0), 0)


def nodes_are_in_the_way_of_another_mode():
    pci = switched()
    node = make_node(pci, "node")
    refused(f"dev eswitch set pci/{pci} mode legacy", "[Nn]ode")
    devlink(f"port function rate del {node}")


def rates_outlive_a_reset():
    pci = switched()
    node = make_node(pci, "node", "tx_max 100mbit")
    port = Port.add(pci, "flavour pcivf pfnum 0")
    devlink(f"port function rate set {port} parent node tx_max 5mbit")
    pci.reset("flr")
    ksft_eq(rate(port)["parent"], "node")
    # The device knows it, too: it would refuse a parent that is none.
    devlink(f"port function rate set {port} tx_max 6mbit")
    devlink(f"port function rate set {node} tx_max 50mbit")


def unbinding_leaves_nothing():
    pci = switched()
    make_node(pci, "node")
    port = Port.add(pci, "flavour pcisf pfnum 0 sfnum 7")
    devlink(f"port function rate set {port} parent node")
    pci.unbind()
    defer(pci.bind)
    ksft_eq(devlink("port function rate show")["rate"], {})


def sfs_are_counted():
    pci = switched()

    def shown():
        found = devlink(f"resource show pci/{pci}")["resources"][f"pci/{pci}"]
        return next(resource for resource in found if resource["name"] == "max_local_SFs")

    before = shown()
    ksft_eq((before["occ"], before["size"] >= 512), (0, True))
    port = Port.add(pci, "flavour pcisf pfnum 0 sfnum 7")
    ksft_eq(shown()["occ"], 1)
    port.delete()
    ksft_eq(shown()["occ"], 0)


if __name__ == "__main__":
    run(a_leaf_comes_and_goes_with_its_port, functions_hang_from_nodes,
        a_function_that_goes_lets_go_of_its_node, a_vf_is_unlimited_for_its_next_user,
        what_cannot_be_is_refused, nodes_are_in_the_way_of_another_mode, rates_outlive_a_reset,
        unbinding_leaves_nothing, sfs_are_counted)
