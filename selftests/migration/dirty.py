#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The log of what a VF writes to memory."""

import errno

from ferrite import ksft_eq, ksft_in, ksft_true, run
from ferrite.migration import IOVA, Bench, fails_with
from ferrite.userdriver import CQ, QUERY_QUEUE, QUEUES
from ferrite.vfio import RUNNING, RUNNING_P2P

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
        quiescent_initiator_writes_nothing_and_answers_later)
