#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Each of the fifteen arcs between states, as the device takes it, refuses it, or does not answer: where the VF is then is what
include/uapi/linux/vfio.h allows, and a reset makes it well."""

import errno
import os

from ferrite import KsftFailEx, defer, ksft_eq, log, run
from ferrite.migration import Bench, fails_with, save, write_all
from ferrite.vfio import ERROR, PRE_COPY, PRE_COPY_P2P, RESUMING, RUNNING, RUNNING_P2P, STATES, STOP, STOP_COPY

SUSPEND, RESUME, BEGIN_SAVE, END_SAVE, BEGIN_LOAD, END_LOAD = 0x0601, 0x0602, 0x0603, 0x0606, 0x0607, 0x0609
# From, to, and the command by which the device does it: the second, where it takes two.
ARCS = [
    (RUNNING, RUNNING_P2P, SUSPEND), (RUNNING_P2P, RUNNING, RESUME), (RUNNING_P2P, STOP, SUSPEND), (STOP, RUNNING_P2P, RESUME),
    (STOP, STOP_COPY, BEGIN_SAVE), (STOP_COPY, STOP, END_SAVE), (STOP, RESUMING, BEGIN_LOAD), (RESUMING, STOP, END_LOAD),
    (RUNNING, PRE_COPY, BEGIN_SAVE), (PRE_COPY, RUNNING, END_SAVE), (PRE_COPY, PRE_COPY_P2P, SUSPEND), (PRE_COPY_P2P, PRE_COPY, RESUME),
    (RUNNING_P2P, PRE_COPY_P2P, BEGIN_SAVE), (PRE_COPY_P2P, RUNNING_P2P, END_SAVE), (PRE_COPY_P2P, STOP_COPY, BEGIN_SAVE),
]
OPENS = {(RUNNING, PRE_COPY), (RUNNING_P2P, PRE_COPY_P2P), (STOP, STOP_COPY), (STOP, RESUMING)}
INTERNAL = 11


class Walk:
    """A VF that is taken over an arc, and what was saved of it before."""

    def __init__(self):
        self.bench = Bench()
        self.device, self.pci = self.bench.devices[0], self.bench.pci
        self.bench.driver().create_queue(0, 0)
        self.stream = save(self.device)

    def begin(self, state):
        """Takes the VF to where an arc begins."""
        self.device.reset()
        self.bench.driver().create_queue(0, 0)
        fd = self.device.go(state) if state != RUNNING else None
        if fd is not None:
            defer(os.close, fd)
        if state == RESUMING:
            write_all(fd, self.stream)

    def fails(self, state):
        """Takes an arc that must fail; returns the state that the VF is in then."""
        try:
            self.device.go(state)
        except OSError:
            return self.device.state
        raise KsftFailEx("a step that the device did not take is taken for done")

    def is_well(self):
        """Fails the test unless a reset makes the VF what it is at first."""
        self.device.reset()
        ksft_eq(self.device.state, RUNNING)
        self.bench.driver().create_queue(0, 0)


def each_arc_is_taken_and_comes_with_a_file_or_not():
    walk = Walk()
    ksft_eq(len({arc[:2] for arc in ARCS}), 15)
    for before, after, _ in ARCS:
        walk.begin(before)
        fd = walk.device.go(after)
        ksft_eq((walk.device.state, fd is not None), (after, (before, after) in OPENS), f"{STATES[before]} to {STATES[after]}")
        if fd is not None:
            os.close(fd)
    walk.is_well()


def an_arc_that_is_refused_is_not_taken():
    """But for a load: what the function was, and what it was to be, is lost."""
    walk = Walk()
    log.allow("ferrite")
    for before, after, opcode in ARCS:
        walk.begin(before)
        walk.pci.fault(f"fail_command opcode={opcode:#x} count=1 param={INTERNAL}")
        way = f"{STATES[before]} to {STATES[after]}"
        if opcode == END_LOAD:
            ksft_eq(walk.fails(after), ERROR, way)
            fails_with(errno.EIO, walk.device.go, RUNNING)
        else:
            ksft_eq(walk.fails(after), before, way)
            fd = walk.device.go(after)
            ksft_eq(walk.device.state, after, f"{way}, again")
            if fd is not None:
                os.close(fd)
        walk.pci.clear_faults()
    walk.is_well()


def an_arc_that_is_not_answered_leads_to_an_error():
    """Nobody knows what the device did."""
    walk = Walk()
    log.allow("ferrite")
    for before, after, opcode in ARCS:
        walk.begin(before)
        walk.pci.set_admin_timeout(500)
        walk.pci.fault(f"lose_completion opcode={opcode:#x} count=0")
        way = f"{STATES[before]} to {STATES[after]}"
        ksft_eq(walk.fails(after), ERROR, way)
        walk.pci.clear_faults()
        walk.pci.set_admin_timeout(10000)
        for state in STATES:
            fails_with(errno.EIO, walk.device.go, state)
        walk.is_well()


if __name__ == "__main__":
    run(each_arc_is_taken_and_comes_with_a_file_or_not, an_arc_that_is_refused_is_not_taken, an_arc_that_is_not_answered_leads_to_an_error)
