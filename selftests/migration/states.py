#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The states of a VF that is migrated, beyond what every driver must do (conformance.py)."""

import errno
import os
import select

from ferrite import ksft_eq, ksft_ge, ksft_gt, ksft_lt, log, run
from ferrite.migration import Bench, Reader, drain, fails_with
from ferrite.vfio import ERROR, PRE_COPY, PRECOPY_V2, RESUMING, RUNNING, SET, STATES, STOP, STOP_COPY, precopy_info, read_all


def take(device, state):
    """Takes a freshly reset device to a state; returns the file that came with it."""
    device.reset()
    ksft_eq(device.state, RUNNING)
    return device.go(state) if state != RUNNING else None


def only_a_reset_leads_out_of_error():
    device = Bench().devices[0]
    log.expect("the stream is refused")
    log.expect("fails at CommitLoad")
    fd = device.go(RESUMING)
    fails_with(errno.EINVAL, device.go, RUNNING)
    ksft_eq(device.state, ERROR)
    for state in STATES:
        fails_with(errno.EIO, device.go, state)
    os.close(fd)
    device.reset()
    ksft_eq(device.state, RUNNING)
    device.go(STOP)
    ksft_eq(device.state, STOP)


def a_reset_in_each_state_leads_to_running():
    bench = Bench()
    device, vf = bench.devices[0], bench.vfs[0]
    ways = {"VFIO": device.reset, "sysfs": lambda: vf.write("reset", 1), "config space": device.reset_by_config}
    for state in STATES:
        for name, reset in ways.items():
            fd = take(device, state)
            reset()
            ksft_eq(device.state, RUNNING, f"{STATES[state]}, {name}")
            if fd is not None:
                call = (os.write, fd, b"x") if state == RESUMING else (os.read, fd, 1)
                fails_with(errno.ENODEV, *call)
                os.close(fd)
            bench.driver()


def pre_copy_ends_for_now_and_stop_copy_for_good():
    bench = Bench()
    driver, device = bench.driver(), bench.devices[0]
    fd = device.go(PRE_COPY)
    _, initial, dirty = precopy_info(fd)
    ksft_gt(initial, 0)
    ksft_eq(dirty, 0)
    first = os.read(fd, 10)
    ksft_eq(precopy_info(fd)[1], initial - 10)
    first += drain(fd)
    ksft_eq(len(first), initial)
    ksft_eq(precopy_info(fd)[1:], (0, 0))
    fails_with(errno.ENOMSG, os.read, fd, 1)
    ksft_eq(select.select([fd], [], [], 0)[0], [])
    driver.create_queue(0, 0)
    _, again, dirty = precopy_info(fd)
    ksft_eq(again, 0)
    ksft_gt(dirty, 0)
    ksft_eq(select.select([fd], [], [], 5)[0], [fd])
    ksft_eq(len(drain(fd)), dirty)
    ksft_ge(device.data_size(), 1)
    ksft_eq(device.go(STOP_COPY), None)
    size = device.data_size()
    fails_with(errno.EINVAL, precopy_info, fd)
    ksft_eq(len(read_all(fd)), size)
    ksft_eq((os.read(fd, 1), os.read(fd, 1)), (b"", b""))
    ksft_eq(select.select([fd], [], [], 0)[0], [fd])
    os.close(fd)


def a_change_wakes_who_polls_and_the_device_is_not_asked_before():
    bench = Bench()
    driver, device = bench.driver(), bench.devices[0]
    fd = device.go(PRE_COPY)
    for kind in (0, 1):
        drain(fd)
        before = bench.pci.counters("admin")["posted"]
        ksft_eq(select.select([fd], [], [], 1)[0], [])
        # As it begins to wait, and as its time is over.
        ksft_lt(bench.pci.counters("admin")["posted"] - before, 3)
        reader = Reader(fd)
        driver.create_queue(kind, 0)
        reader.wakes()
        ksft_gt(precopy_info(fd)[2], 0)
    drain(fd)
    reader = Reader(fd)
    device.go(STOP_COPY)
    reader.wakes()
    os.close(fd)


def who_asks_is_told_of_a_new_beginning():
    bench = Bench()
    device = bench.devices[0]
    driver = bench.driver()
    driver.create_queue(0, 0)
    device.feature(SET | PRECOPY_V2)
    fd = device.go(PRE_COPY)
    drain(fd)
    ksft_eq(precopy_info(fd, flags=0xffffffff), (0, 0, 0))
    driver.create_queue(1, 0)
    flags, initial, dirty = precopy_info(fd)
    ksft_eq(flags, 1)
    ksft_gt(initial, 0)
    ksft_eq(dirty, 0)
    ksft_eq(len(drain(fd)), initial)
    ksft_eq(precopy_info(fd), (0, 0, 0))
    os.close(fd)


def touches_of_a_stopped_device_are_harmless():
    bench = Bench()
    device = bench.devices[0]
    for state in (STOP, STOP_COPY, RESUMING):
        bench.driver()
        fd = device.go(state)
        for offset in range(0, 0x130, 4):
            device.read(0, offset)
        device.write(0, 0x120, 0xffff)
        device.write(2, 0, 1)
        device.write(4, 0, 0xfee00000)
        device.write(7, 4, 6, 2)
        ksft_eq(device.state, state)
        device.reset()
        if fd is not None:
            os.close(fd)


if __name__ == "__main__":
    run(only_a_reset_leads_out_of_error, a_reset_in_each_state_leads_to_running,
        pre_copy_ends_for_now_and_stop_copy_for_good, a_change_wakes_who_polls_and_the_device_is_not_asked_before,
        who_asks_is_told_of_a_new_beginning, touches_of_a_stopped_device_are_harmless)
