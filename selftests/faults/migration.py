#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A VF whose device fails while it is moved: suspends that fail, streams that are cut or altered, answers that get lost."""

import errno
import os

from ferrite import KsftNamedVariant, cmd, defer, ksft_eq, ksft_in, ksft_true, ksft_variants, log, run
from ferrite.migration import Bench, drain, fails_with, load, save
from ferrite.vfio import ERROR, PRE_COPY, RESUMING, RUNNING, RUNNING_P2P, STOP, STOP_COPY

# Command, the state that it is for, and from where.
COMMANDS = {
    "suspend_the_initiator": (0x0601, RUNNING, RUNNING_P2P),
    "suspend": (0x0601, RUNNING_P2P, STOP),
    "resume": (0x0602, STOP, RUNNING),
    "save_the_setup": (0x0603, RUNNING, PRE_COPY),
    "save_the_rest": (0x0603, STOP, STOP_COPY),
    "end_of_saving": (0x0606, STOP_COPY, STOP),
    "load": (0x0607, STOP, RESUMING),
}
ALL = [0x0601, 0x0602, 0x0603, 0x0604, 0x0605, 0x0606, 0x0607, 0x0608, 0x0609]
# Those that may be carried out twice, which the driver sends again when the answer gets lost.
REPEATED = [opcode for opcode in ALL if opcode not in (0x0603, 0x0609)]


def works_again(bench, device):
    """Holds that a reset makes of a device what it was."""
    bench.pci.clear_faults()
    device.reset()
    ksft_eq(device.state, RUNNING)
    bench.driver(bench.devices.index(device))


@ksft_variants([KsftNamedVariant(name, *which) for name, which in COMMANDS.items()])
def a_command_that_is_refused_is_told_to_who_asked(opcode, first, then):
    bench = Bench()
    device = bench.devices[0]
    bench.driver()
    fd = device.go(first) if first != RUNNING else None
    log.allow("ferrite")
    bench.pci.fault(f"fail_command opcode={opcode} param=11 count=0")
    try:
        device.go(then)
        # What is let go of is let go of, whatever the device says.
        ksft_in(opcode, (0x0606,))
    except OSError as error:
        ksft_eq(error.errno, errno.EIO)
        ksft_in(device.state, (first, ERROR))
    if fd is not None:
        os.close(fd)
    works_again(bench, device)


@ksft_variants([KsftNamedVariant("any_bit", "corrupt_stream param=0xffffffff seed=1"),
                KsftNamedVariant("first_bit", "corrupt_stream param=0"),
                KsftNamedVariant("last_byte_missing", "short_stream param=1"),
                KsftNamedVariant("end_missing", "short_stream param=24"),
                KsftNamedVariant("all_missing", "short_stream param=0xffffffff")])
def a_stream_that_is_not_whole_is_refused(order):
    bench = Bench(2)
    source, target = bench.devices
    driver = bench.driver()
    driver.create_queue(0, 0)
    log.allow("ferrite")
    bench.pci.fault(order)
    data = save(source)
    bench.pci.clear_faults()
    fd = target.go(RESUMING)
    try:
        while data:
            data = data[os.write(fd, data):]
        target.go(RUNNING)
        ksft_true(False, "the stream was taken")
    except OSError as error:
        ksft_in(error.errno, (errno.EINVAL, errno.EIO))
    os.close(fd)
    works_again(bench, target)
    # Where it came from nothing is lost.
    source.go(RUNNING)
    driver.query_queue(0, 0)


def answers_that_get_lost_cost_time_and_nothing_else():
    bench = Bench(2)
    source, target = bench.devices
    bench.pci.set_admin_timeout(300)
    driver = bench.driver()
    driver.create_queue(0, 0)
    log.allow("no answer in time")
    for opcode in REPEATED:
        bench.pci.fault(f"lose_completion opcode={opcode}")
    target.enable()
    load(target, save(source, pre_copy=True))
    driver.take_over(target).query_queue(0, 0)


@ksft_variants([KsftNamedVariant(f"{opcode:04x}", opcode) for opcode in ALL])
def answers_that_never_come_end_in_error(opcode):
    bench = Bench(2)
    source, target = bench.devices
    bench.pci.set_admin_timeout(100)
    bench.driver()
    log.allow("ferrite")
    bench.pci.fault(f"lose_completion opcode={opcode} count=0")
    try:
        load(target, save(source, pre_copy=True))
        # How much there is to save is told from what is known then; an end that is not heard of was one.
        ksft_in(opcode, (0x0605, 0x0606))
    except OSError as error:
        ksft_in(error.errno, (errno.EIO, errno.ETIMEDOUT))
    for device in (source, target):
        works_again(bench, device)


def a_log_of_writes_that_cannot_be_read_is_told():
    bench = Bench()
    device = bench.devices[0]
    bench.driver()
    log.allow("ferrite")
    for opcode in (0x060A, 0x060B, 0x060C):
        bench.pci.fault(f"fail_command opcode={opcode} param=11 count=0")
        ranges = [(bench.memory.iova, bench.memory.size)]
        if opcode == 0x060A:
            fails_with(errno.EIO, device.log_start, ranges)
        else:
            device.log_start(ranges)
            if opcode == 0x060B:
                fails_with(errno.EIO, device.log_report, bench.memory.iova, bench.memory.size)
            try:
                device.log_stop()
            except OSError as error:
                ksft_eq(error.errno, errno.EIO)
        bench.pci.clear_faults()
        device.reset()
    bench.driver()


def a_device_that_vanishes_while_it_is_saved_is_let_go_of():
    bench = Bench()
    device = bench.devices[0]
    bench.driver()
    defer(bench.pci.restore, "bus")
    # Who unbinds the driver waits for the user of the VF to let go.
    defer(device.close)
    log.allow("ferrite")
    fd = device.go(PRE_COPY)
    drain(fd)
    bench.pci.fault("vanish")
    cmd(f"devlink dev info pci/{bench.pci}", fail=False, timeout=60)
    log.wait("registers read as all ones")
    fails_with(errno.ENOTCONN, device.go, STOP_COPY)
    os.close(fd)


if __name__ == "__main__":
    run(a_command_that_is_refused_is_told_to_who_asked, a_stream_that_is_not_whole_is_refused,
        answers_that_get_lost_cost_time_and_nothing_else, answers_that_never_come_end_in_error,
        a_log_of_writes_that_cannot_be_read_is_told, a_device_that_vanishes_while_it_is_saved_is_let_go_of)
