#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Faults that whoever runs QEMU orders with qom-set, as the device works."""

from ferrite import Pair, cmd, defer, ksft_eq, ksft_in, ksft_true, log, need_dpus, run, stats
from ferrite.monitor import Monitor, QmpError

SET_MAC = "opcode=0x0202"


def a_script_that_is_set_strikes_at_once():
    pci, monitor = need_dpus(1)[0], Monitor()
    netdev = pci.wait_netdev()
    defer(monitor.set, "dpu0", fault_script="")
    monitor.set("dpu0", fault_script=f"fail_command:{SET_MAC}:param=4:count=2")
    ksft_in("fail_command", monitor.get("dpu0", "fault_script"))
    log.expect(r"SET_MAC .*refused")
    for _ in range(2):
        ksft_in("not permitted", cmd(f"ip link set {netdev} address 02:00:00:00:01:01", fail=False).stderr)
    cmd(f"ip link set {netdev} address 02:00:00:00:01:01")


def a_new_script_disarms_what_is_armed():
    pci, monitor = need_dpus(1)[0], Monitor()
    netdev = pci.wait_netdev()
    pci.fault(f"fail_command {SET_MAC} param=4 count=0")
    monitor.set("dpu0", fault_script="")
    cmd(f"ip link set {netdev} address 02:00:00:00:01:02")


def a_bad_script_is_refused_with_a_reason():
    monitor = Monitor()
    try:
        monitor.set("dpu0", fault_script="melt")
        ksft_true(False, "it was taken")
    except QmpError as error:
        ksft_in("no fault is called 'melt'", str(error))
    ksft_eq(monitor.get("dpu0", "fault_script") or "", "")


def a_device_is_swapped_under_traffic():
    left, right = need_dpus(2)
    monitor = Monitor()
    made = Pair(left.wait_netdev(), right.wait_netdev())
    with made.stream():
        monitor.unplug(left, "dpu0")
    for side in (made.left, made.right):
        side.leave()
    monitor.plug(left, "dpu0", bus="port0", netdev="uplink0", mac="02:fe:00:00:00:00", faults=True)
    again = Pair(left.wait_netdev(), right.wait_netdev())
    again.left.ping(again.right.ipv4)
    ksft_true(stats(again.left.netdev, again.left.ns))


if __name__ == "__main__":
    run(a_script_that_is_set_strikes_at_once, a_new_script_disarms_what_is_armed, a_bad_script_is_refused_with_a_reason,
        a_device_is_swapped_under_traffic)
