#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What a VF tries against its own migration, and against others: none of it has an effect."""

import os
import struct

from ferrite import ksft_eq, ksft_true, log, run, wait_for
from ferrite.migration import Bench, load, save
from ferrite.userdriver import ECHO, QUERY_QUEUE, REGS
from ferrite.vfio import (DOORBELLS, PRE_COPY, PRE_COPY_P2P, RESUMING, RUNNING, RUNNING_P2P, STATES, STOP, STOP_COPY, Device,
                          Iommufd, precopy_info)

NOT_PERMITTED = 4
# All commands of the guide's group 06, by opcode: parameters that would be right, and room for data.
COMMANDS = {
    0x0600: (b"", 4096), 0x0601: (struct.pack("<H2x", 2), None), 0x0602: (struct.pack("<H2x", 0), None),
    0x0603: (struct.pack("<HH", 1, 0), None), 0x0604: (struct.pack("<II", 0, 16), 4096), 0x0605: (b"", None),
    0x0606: (b"", None), 0x0607: (b"", None), 0x0608: (struct.pack("<QI4x", 0, 16), 4096),
    0x0609: (struct.pack("<I", 1), None), 0x060A: (struct.pack("<HBxI", 1, 12, 0), 4096),
    0x060B: (struct.pack("<QQI4x", 0, 1 << 40, 1), 4096), 0x060C: (b"", None),
}
# Provisioning and the switch, which are the PF's as well.
OTHERS = {0x0303: b"", 0x0304: struct.pack("<H2x", 0), 0x0301: b"", 0x0306: struct.pack("<H2x", 1), 0x0400: struct.pack("<H2x", 0)}
# States in which a function carries commands out.
AT_WORK = (RUNNING, PRE_COPY)
# States in which it takes no writes in, and a register that would tell.
STANDING, SCRATCH = (STOP, STOP_COPY, RESUMING), 0x028


def no_command_of_a_vf_is_about_migration():
    bench = Bench(2)
    device, driver = bench.devices[0], bench.driver()
    own = device.read(REGS, 0x008) & 0xFFFF
    other = bench.devices[1].read(REGS, 0x008) & 0xFFFF
    for state in AT_WORK:
        fd = device.go(state) if state != RUNNING else None
        size = device.data_size()
        for function in (own, other, 0):
            for opcode, (params, data) in COMMANDS.items():
                ksft_eq(driver.ask(opcode, params, data, function)[0], NOT_PERMITTED, f"{opcode:#x} about {function:#x}")
            for opcode, params in OTHERS.items():
                ksft_eq(driver.ask(opcode, params, None, function)[0], NOT_PERMITTED, f"{opcode:#x} about {function:#x}")
        ksft_eq((device.state, bench.devices[1].state, device.data_size()), (state, RUNNING, size))
        if fd is not None:
            ksft_true(precopy_info(fd)[1] > 0)
            os.close(fd)
    device.go(RUNNING)


def no_command_of_a_vf_is_about_another_function():
    bench = Bench(2)
    driver = bench.driver()
    bench.driver(1).create_queue(0, 0)
    other = bench.devices[1].read(REGS, 0x008) & 0xFFFF
    for function in (other, 0):
        for opcode, params in ((ECHO, bytes(8)), (QUERY_QUEUE, bytes(4)), (0x0101, bytes(4)), (0x0201, b"\1\0\0\0")):
            ksft_eq(driver.ask(opcode, params, None, function)[0], NOT_PERMITTED, f"{opcode:#x} about {function:#x}")


def nothing_that_is_written_to_a_bar_moves_a_function():
    bench = Bench()
    device = bench.devices[0]
    sizes = {region: device.region(region)[1] for region in (REGS, DOORBELLS, 4)}
    for state in STATES:
        fd = device.go(state)
        for value in (0, 1, 2, 0xFFFFFFFF):
            for region, size in sizes.items():
                for offset in [*range(0, min(size, 0x140), 4), *range(0x2000, min(size, 0x2010), 4), *range(size - 0x40, size, 4)]:
                    device.write(region, offset, value)
        ksft_eq(device.state, state, STATES[state])
        if state in STANDING:
            # It takes nothing in: it was not resumed.
            ksft_eq(device.read(REGS, SCRATCH), 0, STATES[state])
        if fd is not None:
            os.close(fd)
        device.reset()
        ksft_eq(device.state, RUNNING)
    bench.driver()


def one_page_of_doorbells_is_all_there_is():
    bench = Bench(2)
    ksft_eq(bench.devices[0].region(DOORBELLS)[1], 4096)
    # Those behind it are another function's.
    for what in (lambda: device.read(DOORBELLS, 4096), lambda: device.write(DOORBELLS, 4096, 0)):
        device = bench.devices[0]
        try:
            what()
        except OSError:
            continue
        ksft_true(False, "a doorbell behind the page was reached")


def a_reset_by_the_vf_leaves_its_state_to_who_moves_it():
    bench = Bench()
    for state in (RUNNING_P2P, PRE_COPY, PRE_COPY_P2P, STOP):
        device = bench.devices[0]
        bench.driver()
        fd = device.go(state)
        device.write(REGS, 0x01C, 1)
        if state in AT_WORK:
            wait_for(lambda: device.read(REGS, 0x018) == 1, "the end of the reset")
        ksft_eq(device.state, state, STATES[state])
        device.go(RUNNING)
        wait_for(lambda: device.read(REGS, 0x018) == 1, "the function to be ready")
        if fd is not None:
            os.close(fd)
        device.reset()


def a_loaded_function_reaches_what_its_user_mapped_and_nothing_else():
    """The stream commands it to answer in memory that only the first user gave: the second has no address space."""
    bench = Bench(2)
    driver, source, target = bench.driver(), *bench.devices
    source.go(RUNNING_P2P)
    # Waits in the ring, for whoever carries it out.
    index = driver.index
    slot = driver.post(ECHO, bytes(8))
    data = save(source)
    target.close()
    space = Iommufd()
    stranger = Device(space, bench.vfs[1])
    log.allow_dma_faults()
    log.expect("device reports ADMIN_DMA_FAULT")
    stranger.enable()
    load(stranger, data)
    wait_for(lambda: stranger.read(REGS, 0x018) != 1, "the function to have tried")
    ksft_eq(driver.answered(slot, index), None)
    stranger.close()
    space.close()
    source.go(RUNNING)
    wait_for(lambda: driver.answered(slot, index), "the function that has the memory to answer")


if __name__ == "__main__":
    run(no_command_of_a_vf_is_about_migration, no_command_of_a_vf_is_about_another_function,
        nothing_that_is_written_to_a_bar_moves_a_function, one_page_of_doorbells_is_all_there_is,
        a_reset_by_the_vf_leaves_its_state_to_who_moves_it,
        a_loaded_function_reaches_what_its_user_mapped_and_nothing_else)
