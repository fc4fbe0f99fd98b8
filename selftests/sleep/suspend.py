#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The machine sleeps and wakes, with functions of all kinds in use, and they go on."""

from pathlib import Path

from ferrite import (KsftNamedVariant, KsftSkipEx, Pair, Port, cmd, defer, ksft_eq, ksft_in, ksft_variants, log, make_sf,
                     need_dpus, put, run, set_mode, wait_for)

POWER = Path("/sys/power")


def sleep(level):
    """Has the kernel go to sleep as far as a level of pm_test, and wake."""
    if not (POWER / "pm_test").exists():
        raise KsftSkipEx("the kernel has no pm_test")
    ksft_in(level, (POWER / "pm_test").read_text())
    put(POWER / "pm_test", level)
    defer(put, POWER / "pm_test", "none")
    put(POWER / "state", "mem")


def nap():
    """Has the machine sleep until its clock wakes it."""
    if not Path("/dev/rtc0").exists():
        raise KsftSkipEx("this guest has no clock that could wake it")
    cmd("rtcwake --mode freeze --seconds 3", timeout=120)


WAYS = [("devices_stop", lambda: sleep("devices")), ("devices_lose_power", lambda: sleep("platform")), ("machine_idles", nap)]


@ksft_variants([KsftNamedVariant(name, way) for name, way in WAYS])
def streams_go_on(way):
    left, right = need_dpus(2)
    defer(left.restore)
    made = Pair(left.wait_netdev(), right.wait_netdev())
    log.allow(r"ferrite")
    with made.stream() as stream:
        way()
        made.left.wait_up()
        made.right.wait_up()
        before = stream.packets()
        wait_for(lambda: all(now > then + 100 for now, then in zip(stream.packets(), before)), "the streams to go on")
    made.left.ping(made.right.ipv4)


@ksft_variants([KsftNamedVariant(name, way) for name, way in WAYS])
def functions_are_there_when_the_machine_wakes(way):
    pci = need_dpus(1)[0]
    defer(pci.restore)
    log.allow(r"ferrite")
    set_mode(pci, "switchdev")
    port, _ = make_sf(pci, 4, "hw_addr 02:00:00:00:04:04")
    vf = Port.add(pci, "flavour pcivf pfnum 0")
    vf.set("hw_addr 02:00:00:00:05:05")
    vf.activate()
    way()
    for function, address in ((port, "02:00:00:00:04:04"), (vf, "02:00:00:00:05:05")):
        wait_for(lambda function=function: function.function("opstate") == "attached", f"{function} to be in use again")
        ksft_eq(function.function("hw_addr"), address)


def it_sleeps_again_and_again():
    left, right = need_dpus(2)
    made = Pair(left.wait_netdev(), right.wait_netdev())
    log.allow(r"ferrite")
    for _ in range(5):
        sleep("platform")
        made.left.wait_up()
        made.right.wait_up()
        made.left.ping(made.right.ipv4)


if __name__ == "__main__":
    run(streams_go_on, functions_are_there_when_the_machine_wakes, it_sleeps_again_and_again)
