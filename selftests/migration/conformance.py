#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Does a VFIO migration driver, anybody's, what include/uapi/linux/vfio.h says?

    BDF=0000:01:00.2 selftests/run migration/conformance

tests the device with this address, or this UUID if it is a mediated one, which is bound to its driver and used by nobody. Without
BDF it is a VF of the guest's DPU. States that the driver does not have are left out; so is what takes a device that
writes to memory, unless it is one that we have a driver for.
"""

import errno
import os
import random
import select
import threading

from ferrite import DEVICE_VF, VENDOR, KsftFailEx, KsftSkipEx, defer, ksft_eq, ksft_ge, ksft_gt, ksft_in, ksft_pr, ksft_true, log, run, wait_for
from ferrite.migration import IOVA, Bench, drain, fails_with, write_all
from ferrite.userdriver import CQ, MAX_COPY, SQ, UserDriver
from ferrite.vfio import (CONFIG_REGION, ERROR, PRE_COPY, PRE_COPY_P2P, PROBE, RESUMING, RUNNING, RUNNING_P2P, STATE, STATES, STOP,
                          STOP_COPY, LOG_START, Device, Iommufd, Memory, precopy_info, read_all)

SAVING = {PRE_COPY, PRE_COPY_P2P, STOP_COPY}
NEEDS = {RUNNING_P2P: 2, PRE_COPY: 4, PRE_COPY_P2P: 6}
# A transfer that is ended before anything was written is no state of a device, and drivers may say so.
REFUSAL = ("the stream is refused", "fails at ")


def device():
    """Opens the device under test, which is running."""
    address = os.environ.get("BDF")
    if not address:
        for words in REFUSAL:
            log.allow(words)
        return Bench().devices[0]
    space = Iommufd()
    defer(space.close)
    opened = Device(space, address)
    defer(opened.close)
    return opened


def exerciser(dev):
    """Returns a driver that has the device write to memory, and that memory. Skips the test if we have none for it."""
    if dev.read(CONFIG_REGION, 0) != DEVICE_VF << 16 | VENDOR:
        raise KsftSkipEx("there is no driver here that has this device write to memory")
    memory = Memory(4 << 20, IOVA + (1 << 32))
    dev.space.map(memory)
    driver = UserDriver(dev, memory)
    driver.start()
    return driver, memory


def need_log(dev):
    """Skips the test if the device does not log what it writes to."""
    try:
        dev.feature(PROBE | (2 << 16) | LOG_START)
    except OSError as error:
        raise KsftSkipEx("the driver logs nothing") from error


def states(dev):
    """Returns the states that the driver has."""
    flags = dev.flags()
    ksft_true(flags & 1, "a migration driver has STOP_COPY")
    return [state for state in STATES if NEEDS.get(state, 0) & ~flags == 0]


def need(dev, state):
    """Skips the test if the driver does not have a state."""
    if state not in states(dev):
        raise KsftSkipEx(f"the driver has no {STATES[state]}")


def take(dev, state):
    """Takes a freshly reset device to a state; returns the file that came with it."""
    dev.reset()
    ksft_eq(dev.state, RUNNING, "after a reset")
    return dev.go(state) if state != RUNNING else None


def is_dead(fd, way):
    """Fails the test unless a file whose session ended says so: by the end of the stream, or an error."""
    try:
        data = os.write(fd, b"x") if way == RESUMING else os.read(fd, 1)
    except OSError as error:
        if error.errno == errno.ENOMSG:
            raise KsftFailEx("a file whose session ended says ENOMSG") from error
        return
    ksft_eq(data, b"", "a file whose session ended gives data")


def every_pair_of_states_is_a_way_or_refused():
    dev = device()
    for before in states(dev):
        for after in states(dev):
            way = f"{STATES[before]} to {STATES[after]}"
            fd = take(dev, before)
            if before == RESUMING != after:
                try:
                    dev.go(after)
                    raise KsftFailEx(f"{way}: nothing was loaded, and that was taken")
                except OSError:
                    ksft_true(dev.state != after, way)
            elif before == STOP_COPY and after in (PRE_COPY, PRE_COPY_P2P):
                fails_with(errno.EINVAL, dev.go, after)
                ksft_eq(dev.state, STOP_COPY, way)
            else:
                same = before == after or {before, after} <= SAVING
                other = dev.go(after)
                ksft_eq(dev.state, after, way)
                ksft_eq(other is not None, not same and after in SAVING | {RESUMING}, f"{way}: a file")
                if other is not None:
                    os.close(other)
                if fd is not None and not same:
                    is_dead(fd, before)
            if fd is not None:
                os.close(fd)
    dev.reset()


def states_that_there_are_not_are_refused():
    dev = device()
    for state in [ERROR, 8, 0xffffffff] + [state for state in STATES if state not in states(dev)]:
        try:
            dev.go(state)
            raise KsftFailEx(f"state {state} was taken")
        except OSError:
            ksft_eq(dev.state, RUNNING)


def probing_tells_and_does_nothing():
    dev = device()
    dev.feature(PROBE | (3 << 16) | STATE, bytes(8))
    ksft_eq(dev.state, RUNNING)


def a_reset_in_each_state_leads_to_running_and_ends_files():
    dev = device()
    for state in states(dev):
        fd = take(dev, state)
        dev.reset()
        ksft_eq(dev.state, RUNNING, STATES[state])
        if fd is not None:
            is_dead(fd, state)
            os.close(fd)


def stop_copy_ends_with_the_end_of_the_file():
    dev = device()
    fd = take(dev, STOP_COPY)
    ksft_gt(dev.data_size(), 0)
    ksft_true(select.select([fd], [], [], 0)[0], "readable")
    read_all(fd)
    ksft_eq((os.read(fd, 1), os.read(fd, 1)), (b"", b""))
    ksft_eq(dev.state, STOP_COPY)
    os.close(fd)
    dev.go(RUNNING)


def what_was_saved_can_be_loaded_again():
    dev = device()
    fd = take(dev, STOP_COPY)
    data = read_all(fd)
    os.close(fd)
    dev.go(STOP)
    for chunk in (len(data), 13):
        fd = dev.go(RESUMING)
        write_all(fd, data, chunk)
        ksft_eq(dev.go(STOP), None)
        ksft_eq(dev.state, STOP)
        os.close(fd)
    dev.go(RUNNING)


def half_of_what_was_saved_is_refused():
    dev = device()
    fd = take(dev, STOP_COPY)
    data = read_all(fd)
    os.close(fd)
    dev.go(STOP)
    fd = dev.go(RESUMING)
    write_all(fd, data[:len(data) // 2])
    try:
        dev.go(STOP)
        raise KsftFailEx("half a stream was taken")
    except OSError:
        ksft_in(dev.state, (RESUMING, ERROR))
    os.close(fd)
    dev.reset()


def pre_copy_says_enomsg_and_stop_copy_does_not():
    dev = device()
    need(dev, PRE_COPY)
    fd = take(dev, PRE_COPY)
    _, initial, dirty = precopy_info(fd)
    ksft_gt(initial, 0)
    ksft_eq(dirty, 0)
    first = len(os.read(fd, 1))
    ksft_eq(precopy_info(fd)[1], initial - first, "initial bytes after a read")
    drain(fd)
    ksft_eq(precopy_info(fd)[1], 0)
    fails_with(errno.ENOMSG, os.read, fd, 4096)
    ksft_eq(dev.go(STOP_COPY), None)
    fails_with(errno.EINVAL, precopy_info, fd)
    read_all(fd)
    ksft_eq(os.read(fd, 1), b"")
    os.close(fd)


def the_ioctl_of_the_file_checks_what_it_gets():
    import fcntl
    import struct
    dev = device()
    need(dev, PRE_COPY)
    fd = take(dev, PRE_COPY)
    fails_with(errno.EINVAL, fcntl.ioctl, fd, 0x3B79, bytearray(struct.pack("<IIQQ", 16, 0, 0, 0)))
    fails_with(errno.ENOTTY, fcntl.ioctl, fd, 0x3B70, bytearray(24))
    fails_with(errno.EBADF, os.write, fd, b"x")
    fails_with(errno.ESPIPE, os.pread, fd, 1, 0)
    os.close(fd)


def the_data_size_is_told_in_every_state():
    dev = device()
    for state in states(dev):
        fd = take(dev, state)
        ksft_ge(dev.data_size(), 0, STATES[state])
        if fd is not None:
            os.close(fd)


def many_threads_do_no_harm():
    dev = device()
    stop = threading.Event()
    problems = []

    def hammer(work):
        while not stop.is_set():
            try:
                work()
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EIO, errno.ENODEV, errno.EBUSY, errno.EAGAIN):
                    problems.append(error)
                    return

    def walk(state):
        fd = dev.go(state)
        if fd is not None:
            os.close(fd)

    works = [lambda: dev.state, dev.data_size, dev.reset, lambda: walk(STOP_COPY), lambda: walk(RUNNING)]
    threads = [threading.Thread(target=hammer, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for _ in range(20):
        walk_safely(walk)
    stop.set()
    for thread in threads:
        thread.join()
    ksft_eq(problems, [])
    dev.reset()
    ksft_eq(dev.state, RUNNING)


def walk_safely(walk):
    """Walks from one state to another; that somebody else is faster is fine."""
    for state in (STOP, STOP_COPY, RUNNING):
        try:
            walk(state)
        except OSError:
            pass


def the_log_is_begun_once():
    dev = device()
    need_log(dev)
    ranges = [(1 << 30, 1 << 30)]
    dev.log_start(ranges)
    for _ in range(2):
        try:
            dev.log_start(ranges)
            raise KsftFailEx("a second log was begun")
        except OSError:
            pass
    ksft_eq(dev.log_report(1 << 30, 1 << 30), set())
    dev.log_stop()
    try:
        dev.log_report(1 << 30, 1 << 30)
        raise KsftFailEx("a log that was ended reports")
    except OSError:
        pass


def a_quiet_device_writes_nothing_and_makes_up_for_it():
    dev = device()
    for state in set(states(dev)) & {RUNNING_P2P, PRE_COPY_P2P, STOP, STOP_COPY}:
        dev.reset()
        driver, memory = exerciser(dev)
        place = memory.size // 2
        memory.write(place, b"from")
        fd = dev.go(state)
        index = driver.index
        slot = driver.post_copy(memory.iova + place, memory.iova + place + 4096, 4)
        before = bytes(memory.map)
        # It answers this; until then it had time for the other.
        dev.data_size()
        ksft_true(bytes(memory.map) == before, STATES[state])
        dev.go(RUNNING)
        wait_for(lambda driver=driver, slot=slot, index=index: driver.answered(slot, index), "the copy to be made")
        ksft_eq(memory.read(place + 4096, 4), b"from", STATES[state])
        if fd is not None:
            os.close(fd)
        dev.space.unmap(memory)


def the_log_tells_all_that_was_written():
    """What was written is seen in memory itself."""
    dev = device()
    need_log(dev)
    driver, memory = exerciser(dev)
    seed = int(os.environ.get("SEED", "0")) or random.randrange(1, 1 << 32)
    ksft_pr(f"SEED={seed}")
    chance = random.Random(seed)
    page = dev.log_start([(memory.iova, memory.size)])
    own, half = {SQ // page}, memory.size // 2
    for state in [state for state in (RUNNING, PRE_COPY) if state in states(dev)]:
        fd = dev.go(state)
        # From the lower half, which begins with what is the driver's own, to the upper one.
        memory.write(half - MAX_COPY, chance.randbytes(MAX_COPY))
        before = bytes(memory.map)
        copies = []
        for _ in range(40):
            length = chance.choice((1, 4095, 4096, 4097, chance.randrange(1, MAX_COPY)))
            copies.append((half - MAX_COPY, chance.randrange(half, memory.size - length), length))
        driver.copy([(memory.iova + source, memory.iova + to, length) for source, to, length in copies])
        after = bytes(memory.map)
        changed = {at // page for at in range(0, memory.size, page) if before[at:at + page] != after[at:at + page]} - own
        touched = {number for _, to, length in copies for number in range(to // page, (to + length - 1) // page + 1)} | {CQ // page}
        told = dev.log_report(memory.iova, memory.size, page)
        ksft_eq(changed - told, set(), "pages that changed and are not told")
        ksft_eq(told - touched, set(), "pages that are told and were not written")
        if fd is not None:
            os.close(fd)
    dev.log_stop()


CASES = [every_pair_of_states_is_a_way_or_refused, states_that_there_are_not_are_refused, probing_tells_and_does_nothing,
         a_reset_in_each_state_leads_to_running_and_ends_files, stop_copy_ends_with_the_end_of_the_file,
         what_was_saved_can_be_loaded_again, half_of_what_was_saved_is_refused, pre_copy_says_enomsg_and_stop_copy_does_not,
         the_ioctl_of_the_file_checks_what_it_gets, the_data_size_is_told_in_every_state, many_threads_do_no_harm, the_log_is_begun_once,
         a_quiet_device_writes_nothing_and_makes_up_for_it, the_log_tells_all_that_was_written]

if __name__ == "__main__":
    run(*CASES)
