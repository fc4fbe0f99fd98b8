#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The bus of a DPU is reset: all its functions at once, which come back as after power-on."""

from ferrite import (KsftNamedVariant, KsftSkipEx, Pair, Port, defer, ksft_eq, ksft_variants, log, make_sf, need_dpus, put, run,
                     set_mode, wait_for)


def by_function(pci):
    """Resets the bus as a way to reset the function."""
    pci.reset("bus")


def by_bridge(pci):
    """Resets what is behind the bridge."""
    file = pci.path.resolve().parent / "reset_subordinate"
    if not file.exists():
        raise KsftSkipEx("the bridge of the DPU has no reset_subordinate")
    put(file, 1)


WAYS = ksft_variants([KsftNamedVariant("by_function", by_function), KsftNamedVariant("by_bridge", by_bridge)])


@WAYS
def streams_go_on(reset):
    left, right = need_dpus(2)
    defer(left.restore)
    made = Pair(left.wait_netdev(), right.wait_netdev())
    log.allow(r"ferrite")
    with made.stream() as stream:
        reset(left)
        made.left.wait_up()
        before = stream.packets()
        wait_for(lambda: all(now > then + 100 for now, then in zip(stream.packets(), before)), "the streams to go on")
    made.left.ping(made.right.ipv4)


def functions_are_there_again():
    # Not by the bridge: for that the kernel holds the locks of the VFs too, which the PF's driver takes to let go of them.
    pci = need_dpus(1)[0]
    defer(pci.restore)
    log.allow(r"ferrite")
    set_mode(pci, "switchdev")
    port, _ = make_sf(pci, 4, "hw_addr 02:00:00:00:04:04")
    vf = Port.add(pci, "flavour pcivf pfnum 0")
    vf.set("hw_addr 02:00:00:00:05:05")
    vf.activate()
    by_function(pci)
    for function, address in ((port, "02:00:00:00:04:04"), (vf, "02:00:00:00:05:05")):
        wait_for(lambda function=function: function.function("opstate") == "attached", f"{function} to be in use again")
        ksft_eq(function.function("hw_addr"), address)


if __name__ == "__main__":
    run(streams_go_on, functions_are_there_again)
