#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A device whose VFs have registers of their own migration in their BAR: who has it by VFIO does not reach them."""

import errno
import fcntl
import mmap
import os
import struct

from ferrite import KsftNamedVariant, ksft_eq, ksft_variants, run
from ferrite.migration import Bench, fails_with, load, save
from ferrite.userdriver import REGS
from ferrite.vfio import RUNNING, STATES, Container, Iommufd

# Where the controls begin, and the first of them; a register that holds what is written unless the VF stands still.
CONTROLS, SIZE = 0x2000, 0x4000
SCRATCH = 0x028
FULL = 2
IOEVENTFD = 0x3B74


class Bar:
    """BAR 0 of a VF as it is: what sysfs lets root map, whatever VFIO hides."""

    def __init__(self, vf):
        with open(vf.path / "resource0", "r+b") as file:
            self.map = mmap.mmap(file.fileno(), SIZE)

    def __getitem__(self, offset):
        return memoryview(self.map).cast("I")[offset // 4]

    def __setitem__(self, offset, value):
        memoryview(self.map).cast("I")[offset // 4] = value


def the_registers_are_there_and_work():
    bench = Bench()
    bench.devices[0].enable()
    bar = Bar(bench.vfs[0])
    bar[SCRATCH] = 1
    bar[CONTROLS] = FULL
    ksft_eq(bar[CONTROLS], FULL)
    bar[SCRATCH] = 2
    ksft_eq(bar[SCRATCH], 1, "a function that stands still takes nothing in")
    bar[CONTROLS] = 0
    bar[SCRATCH] = 2
    ksft_eq((bar[CONTROLS], bar[SCRATCH]), (0, 2))


@ksft_variants([KsftNamedVariant(space.__name__, space) for space in (Iommufd, Container)])
def users_find_the_lower_half_alone(space):
    bench = Bench(space=space)
    device = bench.devices[0]
    device.enable()
    bar = Bar(bench.vfs[0])
    _, size, offset, _ = device.region(REGS)
    ksft_eq(size, CONTROLS)
    ksft_eq([device.region(region)[1] for region in (2, 4)], [0x1000, 0x10000], "others are what they were")
    for state in STATES:
        fd = device.go(state)
        level = bar[CONTROLS]
        for place in (CONTROLS, CONTROLS + 4, SIZE - 4, SIZE):
            fails_with(errno.EINVAL, os.pread, device.fd, 4, offset + place)
            fails_with(errno.EINVAL, os.pwrite, device.fd, b"\0\0\0\0", offset + place)
        # Over the edge: up to it, and no further.
        ksft_eq(len(os.pread(device.fd, 8, offset + CONTROLS - 4)), 4)
        ksft_eq(os.pwrite(device.fd, bytes(8), offset + CONTROLS - 4), 4)
        ksft_eq(bar[CONTROLS], level, STATES[state])
        device.reset()
        if fd is not None:
            os.close(fd)


def nothing_is_mapped_or_written_by_the_kernel_for_a_user():
    bench = Bench()
    device = bench.devices[0]
    _, _, offset, _ = device.region(REGS)
    for begin, length in ((CONTROLS, CONTROLS), (0, SIZE), (0, 4096)):
        fails_with(errno.EINVAL, lambda begin=begin, length=length: mmap.mmap(
            device.fd, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset + begin))
    event = os.eventfd(0)
    for place in (CONTROLS, SCRATCH):
        order = struct.pack("<IIQQii", 32, 4, offset + place, FULL, event, 0)
        fails_with(errno.ENOTTY, fcntl.ioctl, device.fd, IOEVENTFD, order)
    os.close(event)


def a_vf_moves_all_the_same():
    bench = Bench(2)
    driver = bench.driver()
    driver.create_queue(0, 0)
    data = save(bench.devices[0], pre_copy=True)
    bench.devices[1].enable()
    load(bench.devices[1], data)
    ksft_eq(bench.devices[1].state, RUNNING)
    driver.take_over(bench.devices[1]).query_queue(0, 0)


if __name__ == "__main__":
    run(the_registers_are_there_and_work, users_find_the_lower_half_alone,
        nothing_is_mapped_or_written_by_the_kernel_for_a_user, a_vf_moves_all_the_same)
