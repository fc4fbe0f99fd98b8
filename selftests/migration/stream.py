#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What is saved of one VF and loaded into another."""

import errno
import os

from ferrite import ksft_eq, ksft_lt, log, run
from ferrite.migration import Bench, fails_with, load, save
from ferrite.vfio import ERROR, RESUMING, RUNNING, STOP, write_all


def moved(pre_copy):
    bench = Bench(2)
    source, target = bench.devices
    driver = bench.driver()
    for number in range(4):
        driver.create_queue(0, number)
        driver.create_queue(1, number)
    data = save(source, pre_copy)
    ksft_lt(len(data), 16384)
    target.enable()
    load(target, data)
    ksft_eq(target.state, RUNNING)
    # The rings, and where they stand, are those of before: the driver notices nothing.
    driver = driver.take_over(target)
    for number in range(4):
        driver.query_queue(0, number)
        driver.query_queue(1, number)
    fails_with(errno.EIO, fifth, driver)
    return source, driver


def fifth(driver):
    """Asks for a queue that there is not; the driver's own error becomes EIO."""
    try:
        driver.query_queue(0, 4)
    except OSError as error:
        raise OSError(errno.EIO, str(error)) from error


def queues_move_with_their_function():
    moved(pre_copy=False)


def queues_move_while_their_function_works():
    moved(pre_copy=True)


def a_cancelled_migration_changes_nothing():
    bench = Bench()
    driver = bench.driver()
    driver.create_queue(0, 0)
    save(bench.devices[0], pre_copy=True)
    bench.devices[0].go(RUNNING)
    driver.query_queue(0, 0)
    driver.create_queue(1, 0)


def a_stream_is_read_and_written_in_any_pieces():
    bench = Bench(2)
    driver = bench.driver()
    driver.create_queue(0, 0)
    data = save(bench.devices[0])
    fd = bench.devices[1].go(RESUMING)
    bench.devices[1].enable()
    write_all(fd, data, chunk=7)
    bench.devices[1].go(RUNNING)
    os.close(fd)
    driver.take_over(bench.devices[1]).query_queue(0, 0)


def a_damaged_stream_is_refused():
    bench = Bench(2)
    bench.driver().create_queue(0, 0)
    data = save(bench.devices[0])
    target = bench.devices[1]
    log.expect("the stream is refused")
    log.expect("fails at CommitLoad")
    for position in (0, len(data) // 2, len(data) - 1):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        target.reset()
        fd = target.go(RESUMING)
        try:
            write_all(fd, bytes(damaged))
        except OSError as error:
            ksft_eq(error.errno, errno.EINVAL)
        fails_with(errno.EINVAL, target.go, STOP)
        ksft_eq(target.state, ERROR)
        os.close(fd)
    target.reset()
    load(target, data)


def a_stream_that_ends_early_is_refused():
    bench = Bench(2)
    data = save(bench.devices[0])
    target = bench.devices[1]
    log.expect("the stream is refused")
    log.expect("fails at CommitLoad")
    fd = target.go(RESUMING)
    write_all(fd, data[:-1])
    fails_with(errno.EINVAL, target.go, RUNNING)
    os.close(fd)


def noise_is_refused_at_once():
    target = Bench().devices[0]
    log.expect("the stream is refused")
    fd = target.go(RESUMING)
    fails_with(errno.EINVAL, os.write, fd, bytes(4096))
    fails_with(errno.EINVAL, os.write, fd, bytes(1))
    os.close(fd)


if __name__ == "__main__":
    run(queues_move_with_their_function, queues_move_while_their_function_works, a_cancelled_migration_changes_nothing,
        a_stream_is_read_and_written_in_any_pieces, a_damaged_stream_is_refused, a_stream_that_ends_early_is_refused,
        noise_is_refused_at_once)
