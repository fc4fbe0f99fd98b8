#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The doorbells that user space maps: they are taken away while the function must not be touched, and come back."""

import os
import threading

from ferrite import ksft_eq, ksft_gt, run, wait_for
from ferrite.migration import Bench
from ferrite.userqueue import Doorbells, TxQueue
from ferrite.vfio import PRE_COPY, PRE_COPY_P2P, RESUMING, RUNNING, RUNNING_P2P, STATES, STOP, STOP_COPY

# What no doorbell reads as. It is written where none is, and would be found there again if that were memory.
MARK, PLACE = 0x5A5A5A5A, 0xFF0
CLOSED = (STOP, STOP_COPY, RESUMING)
BROADCAST, EXPERIMENTAL = b"\xff" * 6, b"\x88\xb5"


def go(device, state):
    """Takes a device to a state and forgets the file that comes with it."""
    fd = device.go(state)
    if fd is not None:
        os.close(fd)


def is_memory(doorbells):
    """Whether there is memory in the place of the doorbells."""
    doorbells.write(PLACE, MARK)
    return doorbells.read(PLACE) == MARK


def doorbells_are_there_where_the_function_may_be_touched():
    device = Bench().devices[0]
    doorbells = Doorbells(device)
    for state in STATES:
        go(device, state)
        ksft_eq(is_memory(doorbells), state in CLOSED, STATES[state])
        device.reset()
        ksft_eq(is_memory(doorbells), False, f"a reset in {STATES[state]}")


def a_mapping_that_was_never_touched_is_closed_too():
    device = Bench().devices[0]
    doorbells = Doorbells(device)
    device.go(STOP)
    ksft_eq(is_memory(doorbells), True)
    late = Doorbells(device)
    ksft_eq(late.read(PLACE), MARK, "both map the same page")
    device.go(RUNNING)
    ksft_eq([is_memory(each) for each in (doorbells, late)], [False, False])
    device.go(STOP)
    ksft_eq(doorbells.read(PLACE), 0, "what was written there is nobody else's to find")


def a_queue_goes_on_with_the_mapping_that_it_had():
    bench = Bench()
    device, driver = bench.devices[0], bench.driver()
    frame = BROADCAST + driver.open_port() + EXPERIMENTAL + os.urandom(80)
    queue = TxQueue(driver, doorbells=Doorbells(device))
    for state in (STOP, RUNNING_P2P, STOP_COPY, PRE_COPY, PRE_COPY_P2P):
        go(device, state)
        # Rung while nobody is there to hear it, and seen to when it runs again.
        queue.send(frame)
        if state != PRE_COPY:
            ksft_eq(queue.reap(), 0, STATES[state])
        if state == PRE_COPY_P2P:
            go(device, STOP_COPY)
        go(device, RUNNING)
        wait_for(lambda: queue.reap() or queue.head == queue.tail, "the frame that was posted meanwhile")
        queue.send(frame)
        wait_for(queue.reap, "a frame that was rung for by the mapping")
    ksft_eq((queue.head, queue.tail), (10, 10))


def touches_from_all_sides_harm_nobody():
    bench = Bench()
    device, driver = bench.devices[0], bench.driver()
    driver.open_port()
    doorbells = Doorbells(device)
    TxQueue(driver, doorbells=doorbells)
    stop = threading.Event()
    touches = [0, 0]

    def hammer(number):
        own = doorbells if number else Doorbells(device)
        while not stop.is_set():
            own.ring(0, 0)
            own.read(PLACE)
            touches[number] += 1

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(8):
        for state in (STOP, RUNNING, PRE_COPY, STOP_COPY, RUNNING):
            before = list(touches)
            go(device, state)
            wait_for(lambda: all(now > then for now, then in zip(touches, before)), "both to have touched it")
        device.reset()
        driver.start()
    stop.set()
    for thread in threads:
        thread.join()
    ksft_gt(min(touches), 100)
    ksft_eq(is_memory(doorbells), False)


if __name__ == "__main__":
    run(doorbells_are_there_where_the_function_may_be_touched, a_mapping_that_was_never_touched_is_closed_too,
        a_queue_goes_on_with_the_mapping_that_it_had, touches_from_all_sides_harm_nobody)
