#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A DPU with fewer MSI-X vectors than its functions have queues: they are taken when queues are opened, and shared."""

from ferrite import Pair, defer, ip, ksft_eq, ksft_gt, ksft_in, make_sf, need_dpus, run, set_mode

VECTORS = 4


def taken(pci):
    """How many vectors the DPU has taken."""
    return len(list((pci.path / "msi_irqs").iterdir()))


def handlers():
    """Who handles the interrupts of each vector that somebody does."""
    with open("/proc/interrupts", encoding="ascii") as file:
        return [line.split() for line in file]


def opened(pci):
    """Opens the network device of a PF for the length of the test, and returns its name."""
    netdev = pci.wait_netdev()
    defer(ip, f"link set {netdev} down")
    ip(f"link set {netdev} up")
    return netdev


def functions_share_what_the_pf_has():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    opened(pci)
    port, sf = make_sf(pci, 7)
    made = Pair(sf.netdev, port.wait_netdev())
    ksft_eq(taken(pci), VECTORS)
    shared = [line for line in handlers() if f"{made.left.netdev}-0" in " ".join(line)]
    ksft_eq(len(shared), 1, shared)
    ksft_in(",", " ".join(shared[0]), "somebody else has the vector, too")
    for reverse in (False, True):
        report = made.iperf("--parallel 8", reverse=reverse)
        # None waits for an interrupt that another one was told of.
        received = [stream["receiver"]["bytes"] for stream in report["end"]["streams"]]
        ksft_gt(min(received), 0, received)


def closing_gives_them_back():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    port, sf = make_sf(pci, 7)
    made = Pair(sf.netdev, port.wait_netdev())
    for _ in range(5):
        made.left.down()
        made.right.down()
        ksft_eq(taken(pci), 1)
        made.left.up()
        ksft_gt(taken(pci), 1)
        made.right.up()
    made.left.ping(made.right.ipv4)


def many_functions_come_and_go():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    functions = [make_sf(pci, number) for number in range(10)]
    for port, sf in functions:
        ip(f"link set {sf.netdev} up")
        ip(f"link set {port.wait_netdev()} up")
    ksft_eq(taken(pci), VECTORS)
    for port, _ in functions:
        port.delete()
    ksft_eq(taken(pci), 1)


if __name__ == "__main__":
    run(functions_share_what_the_pf_has, closing_gives_them_back, many_functions_come_and_go)
