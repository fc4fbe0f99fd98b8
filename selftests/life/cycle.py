#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Drivers come and go: unbound, bound, unloaded, loaded, in peace and under traffic."""

from ferrite import (MODULES, Pair, cmd, defer, dpus, ksft_eq, ksft_in, ksft_ne, ksft_true, load, loaded, need_dpus,
                     put, run, unload, wait_for)


def whole():
    """Makes sure that all modules are loaded and all DPUs driven. For defer()."""
    load()
    for pci in dpus():
        if not pci.driver:
            pci.bind()
        pci.wait_netdev()


def pair():
    left, right = need_dpus(2)
    return Pair(left.wait_netdev(), right.wait_netdev())


def load_and_unload_twenty_times():
    defer(whole)
    for _ in range(20):
        unload()
        ksft_eq(loaded(), [])
        for pci in dpus():
            ksft_eq(pci.driver, None)
        load()
        ksft_eq(loaded(), MODULES)
        for pci in dpus():
            pci.wait_netdev()


def the_net_driver_comes_and_goes_alone():
    defer(whole)
    pci = need_dpus(1)[0]
    for _ in range(5):
        cmd("modprobe -r ferrite_net")
        ksft_eq(pci.netdev, None)
        ksft_eq(pci.driver, "ferrite_core")
        ksft_true(pci.auxiliary, "the auxiliary device waits for a driver")
        cmd("modprobe ferrite_net")
        pci.wait_netdev()


def the_library_cannot_go_before_its_users():
    cmd("modprobe -r ferrite_aux", fail=False, expect_fail=True)
    ksft_in("ferrite_aux", loaded())


def unbind_and_bind_leave_the_other_dpu_alone():
    defer(whole)
    left, right = need_dpus(2)
    other = right.wait_netdev()
    for _ in range(10):
        left.unbind()
        ksft_eq(left.driver, None)
        ksft_eq(left.auxiliary, [])
        ksft_eq(right.netdev, other)
        left.bind()


def the_client_driver_can_be_unbound_alone():
    defer(whole)
    pci = need_dpus(1)[0]
    device = next(path for path in pci.auxiliary if path.name.startswith("ferrite_core.eth."))
    driver = (device / "driver").resolve()
    for _ in range(5):
        put(driver / "unbind", device.name)
        ksft_eq(pci.netdev, None)
        put(driver / "bind", device.name)
        pci.wait_netdev()


def unbind_under_traffic():
    defer(whole)
    left, right = need_dpus(2)
    for victim in (right, left):
        made = pair()
        with made.stream():
            victim.unbind()
        ksft_eq(victim.driver, None)
        for side in (made.left, made.right):
            side.leave()
        victim.bind()
    ping_again()


def ping_again():
    made = pair()
    made.left.ping(made.right.ipv4)


def the_net_module_unloads_under_traffic():
    defer(whole)
    made = pair()
    with made.stream():
        cmd("modprobe -r ferrite_net", timeout=60)
    for side in (made.left, made.right):
        side.leave()
    whole()
    ping_again()


def all_modules_unload_under_traffic():
    defer(whole)
    made = pair()
    with made.stream():
        unload()
        ksft_eq(loaded(), [])
    for side in (made.left, made.right):
        side.leave()
    whole()
    ping_again()


def a_device_can_be_removed_and_found_again():
    defer(whole)
    pci = need_dpus(2)[1]
    pci.write("remove", 1)
    ksft_true(not pci.path.exists())
    put("/sys/bus/pci/rescan", 1)
    wait_for(pci.path.exists, f"{pci} to be found again")
    wait_for(lambda: pci.driver == "ferrite_core", f"{pci} to be driven again")
    pci.wait_netdev()


def a_device_can_be_removed_under_traffic():
    defer(whole)
    pci = need_dpus(2)[1]
    made = pair()
    with made.stream():
        pci.write("remove", 1)
    for side in (made.left, made.right):
        side.leave()
    put("/sys/bus/pci/rescan", 1)
    wait_for(lambda: pci.driver == "ferrite_core", f"{pci} to be driven again")
    ksft_ne(pci.wait_netdev(), None)
    ping_again()


if __name__ == "__main__":
    run(load_and_unload_twenty_times, the_net_driver_comes_and_goes_alone, the_library_cannot_go_before_its_users,
        unbind_and_bind_leave_the_other_dpu_alone, the_client_driver_can_be_unbound_alone, unbind_under_traffic,
        the_net_module_unloads_under_traffic, all_modules_unload_under_traffic,
        a_device_can_be_removed_and_found_again, a_device_can_be_removed_under_traffic)
