#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The log of what a VF writes to memory."""

import errno

from ferrite import ksft_eq, ksft_in, ksft_pr, ksft_true, run
from ferrite.migration import IOVA, Bench, fails_with
from ferrite.userdriver import CQ, MAX_COPY, QUERY_QUEUE, QUEUES
from ferrite.vfio import RUNNING, RUNNING_P2P, Memory

SIZE = 1 << 20


def what_is_written_is_reported_once():
    bench = Bench()
    driver, device = bench.driver(), bench.devices[0]
    ksft_eq(device.log_start([(IOVA, SIZE)]), 4096)
    ksft_eq(device.log_report(IOVA, SIZE), set())
    driver.create_queue(0, 0)
    pages = device.log_report(IOVA, SIZE)
    ksft_in(CQ >> 12, pages)
    ksft_true(pages <= {CQ >> 12} | set(range(QUEUES >> 12, (QUEUES + 0x4000) >> 12)), pages)
    ksft_eq(device.log_report(IOVA, SIZE), set())
    driver.query_queue(0, 0)
    ksft_eq(device.log_report(IOVA, SIZE), {CQ >> 12})
    device.log_stop()


def only_ranges_are_logged():
    bench = Bench()
    driver, device = bench.driver(), bench.devices[0]
    driver.create_queue(0, 0)
    device.log_start([(IOVA + 0x8000, 0x8000)])
    driver.query_queue(0, 0)
    ksft_eq(device.log_report(IOVA, SIZE), set())
    device.log_stop()


def a_log_is_begun_once_and_ended_often():
    device = Bench().devices[0]
    device.log_stop()
    fails_with(errno.EINVAL, device.log_report, IOVA, SIZE)
    device.log_start([(IOVA, SIZE)])
    fails_with(errno.EEXIST, device.log_start, [(IOVA, SIZE)])
    device.log_stop()
    device.log_stop()
    fails_with(errno.EINVAL, device.log_report, IOVA, SIZE)


def wrong_ranges_are_refused():
    device = Bench().devices[0]
    fails_with(errno.EINVAL, device.log_start, [(IOVA, SIZE), (IOVA + 4096, SIZE)])
    fails_with(errno.EINVAL, device.log_start, [(IOVA + 1, SIZE)])
    fails_with(errno.EINVAL, device.log_start, [(IOVA, 0)])
    device.log_start([(IOVA + 0x10000 * number, 0x1000) for number in range(200)])


def a_terabyte_is_reported_as_fast_as_what_is_dirty():
    bench = Bench()
    driver, device = bench.driver(), bench.devices[0]
    driver.create_queue(0, 0)
    device.log_start([(0, 1 << 40)])
    driver.query_queue(0, 0)
    pages = device.log_report(0, 1 << 40, 1 << 20)
    ksft_eq(pages, {IOVA >> 20})


def reports_cost_what_is_dirty_and_not_the_space():
    """A GiB, one MiB in two of the address space, as seen by the number of commands that a report takes."""
    bench = Bench()
    driver, device = bench.driver(), bench.devices[0]
    places = [IOVA + (1 << 30) + 2 * SIZE * number for number in range(1024)]
    memory = Memory(SIZE, places[0])
    for place in places:
        bench.space.map(memory, place)
    # The last quarter of memory is copied to the first of what is mapped there, to the second, and so on: what is in the
    copies = [(IOVA, place + part, MAX_COPY) for place in places for part in range(0, SIZE, MAX_COPY)]
    costs = {}
    for name, space in (("a TiB", 1 << 40), ("8 GiB", IOVA + (8 << 30))):
        device.log_start([(IOVA, space - IOVA)])
        costs[f"nothing, {name}"] = cost(bench, lambda space=space: ksft_eq(pages(device, space), 0))
        driver.copy(copies)
        # The completions of the copies, and what was copied.
        costs[f"a GiB, {name}"] = cost(bench, lambda space=space: ksft_eq(pages(device, space), 1 + (1 << 18)))
        costs[f"nothing again, {name}"] = cost(bench, lambda space=space: ksft_eq(pages(device, space), 0))
        device.log_stop()
    ksft_pr(f"commands of a report: {costs}")
    # 256 runs a command, of 1025.
    ksft_eq(list(costs.values()), 2 * [1, 5, 1])


def pages(device, space):
    """Returns how many pages are reported to have been written."""
    return int.from_bytes(device.log_bitmap(IOVA, space - IOVA), "little").bit_count()


def cost(bench, act):
    """Returns how many commands the PF sends meanwhile."""
    before = bench.pci.counters("admin")["posted"]
    act()
    return bench.pci.counters("admin")["posted"] - before


def quiescent_initiator_writes_nothing_and_answers_later():
    bench = Bench()
    driver, device = bench.driver(), bench.devices[0]
    driver.create_queue(0, 0)
    device.log_start([(IOVA, SIZE)])
    device.go(RUNNING_P2P)
    index = driver.index
    slot = driver.post(QUERY_QUEUE, bytes(4))
    ksft_eq(device.read(0, 0), 0x52524546)
    ksft_eq(device.log_report(IOVA, SIZE), set())
    ksft_eq(driver.answered(slot, index), None)
    device.go(RUNNING)
    driver.query_queue(0, 0)
    ksft_eq(driver.answered(slot, index)[0], 0)
    ksft_eq(device.log_report(IOVA, SIZE), {CQ >> 12})


if __name__ == "__main__":
    run(what_is_written_is_reported_once, only_ranges_are_logged, a_log_is_begun_once_and_ended_often,
        wrong_ranges_are_refused, a_terabyte_is_reported_as_fast_as_what_is_dirty,
        reports_cost_what_is_dirty_and_not_the_space,
        quiescent_initiator_writes_nothing_and_answers_later)
