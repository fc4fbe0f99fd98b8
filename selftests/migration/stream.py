#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What is saved of one VF and loaded into another."""

import errno
import os

from ferrite import KsftNamedVariant, ksft_eq, ksft_lt, ksft_variants, log, run, wait_for
from ferrite.migration import Bench, drain, fails_with, load, save
from ferrite.stream import FEATURES, FRAMES, MAX_QUEUES, OLDEST_READER, OPTIONAL, REGISTERS, RSS_TABLE, VECTORS, VERSION, join, split, with_header
from ferrite.userdriver import QUERY_FUNCTION
from ferrite.vfio import ERROR, PRE_COPY, RESUMING, RUNNING, STOP, write_all


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


@ksft_variants([KsftNamedVariant(fault, fault, offset, form, value) for fault, offset, form, value in (
    ("VERSION", OLDEST_READER, "H", 0x7FFF), ("FEATURES", FEATURES, "Q", 1 << 63), ("QUEUES", MAX_QUEUES, "H", 0x7FFF),
    ("VECTORS", VECTORS, "H", 1), ("STEERING", RSS_TABLE, "H", 0x7FFF))])
def what_does_not_fit_is_refused_while_the_source_works(fault, offset, form, value):
    """With the first piece, which is there in PRE_COPY already, and with the reason in the log."""
    bench = Bench(2)
    source, target = bench.devices
    bench.driver().create_queue(0, 0)
    fd = source.go(PRE_COPY)
    first = with_header(drain(fd), offset, form, value)
    log.expect(f"the stream is refused at byte .*, record 0: {fault} ")
    to = target.go(RESUMING)
    fails_with(errno.EINVAL, os.write, to, first)
    ksft_eq(source.state, PRE_COPY)
    for file in (fd, to):
        os.close(file)
    target.reset()
    source.go(RUNNING)
    bench.driver()


def moves(change):
    """Fails the test unless a VF that is loaded with a changed stream goes on with the queue that its driver had."""
    bench = Bench(2)
    driver = bench.driver()
    driver.create_queue(0, 0)
    target = bench.devices[1]
    target.enable()
    load(target, change(save(bench.devices[0])))
    driver.take_over(target).query_queue(0, 0)


def a_stream_of_the_version_before_is_loaded():
    """Version 2 knows no counters of frames."""
    def older(data):
        known = [record for record in split(data) if record[0] != FRAMES]
        return with_header(join(known), VERSION, "H", 2)
    moves(older)


def a_stream_of_the_version_after_is_loaded_as_far_as_it_is_known():
    def newer(data):
        *records, end = split(data)
        grown = [(tag, instance, payload + bytes(8) if tag == REGISTERS else payload) for tag, instance, payload in records]
        return with_header(join([*grown, (OPTIONAL | 0x0777, 0, b"what is that"), end]), VERSION, "H", 4)
    moves(newer)


def a_record_that_may_not_be_skipped_is_refused():
    bench = Bench(2)
    *records, end = split(save(bench.devices[0]))
    log.expect("the stream is refused at byte .*: UNKNOWN_RECORD ")
    log.expect("fails at CommitLoad")
    target = bench.devices[1]
    fd = target.go(RESUMING)
    fails_with(errno.EINVAL, os.write, fd, join([*records, (0x0777, 0, b""), end]))
    fails_with(errno.EINVAL, target.go, STOP)
    ksft_eq(target.state, ERROR)
    os.close(fd)


def the_address_travels_and_that_of_the_destination_wins():
    addresses = "02:00:00:00:44:01", "02:00:00:00:44:02"
    bench = Bench(2)
    ports, (source, target) = bench.ports, bench.devices
    ports[0].set(f"hw_addr {addresses[0]}")
    driver = bench.driver()
    ksft_eq(driver.command(QUERY_FUNCTION)[:6].hex(":"), addresses[0])
    data = save(source)
    target.enable()
    load(target, data)
    ksft_eq(driver.take_over(target).command(QUERY_FUNCTION)[:6].hex(":"), addresses[0], "the address in use is state of the driver")
    wait_for(lambda: ports[1].function("hw_addr") == addresses[0], "devlink to show the address that came")
    target.reset()
    ports[1].set(f"hw_addr {addresses[1]}")
    target.enable()
    load(target, data)
    driver.take_over(target).command(QUERY_FUNCTION)
    ksft_eq(ports[1].function("hw_addr"), addresses[1])


if __name__ == "__main__":
    run(queues_move_with_their_function, queues_move_while_their_function_works, a_cancelled_migration_changes_nothing,
        a_stream_is_read_and_written_in_any_pieces, a_damaged_stream_is_refused, a_stream_that_ends_early_is_refused,
        noise_is_refused_at_once, what_does_not_fit_is_refused_while_the_source_works, a_stream_of_the_version_before_is_loaded,
        a_stream_of_the_version_after_is_loaded_as_far_as_it_is_known, a_record_that_may_not_be_skipped_is_refused,
        the_address_travels_and_that_of_the_destination_wins)
