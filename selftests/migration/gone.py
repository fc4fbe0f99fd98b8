#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The PF goes, is reset, or vanishes while a user has a VF and a file of its state: he is told, and nothing else happens."""

import errno
import fcntl
import os
import select
import struct
import threading

from ferrite import KsftNamedVariant, defer, ksft_eq, ksft_gt, ksft_true, ksft_variants, log, put, run, wait_for
from ferrite.migration import IOVA, Bench, Reader, drain, fails_with, save
from ferrite.userdriver import REGS
from ferrite.vfio import PRE_COPY, REQUEST_IRQ, RESUMING, RUNNING, SET_IRQS, STATES, STOP, STOP_COPY, read_all

PATIENCE = 30


def unbind(pci):
    """Takes the PF's driver away."""
    pci.unbind()


def remove(pci):
    """Takes the PF itself away."""
    pci.write("remove", 1)


def come_back(pci):
    """Makes the PF what it was."""
    if not pci.path.exists():
        put("/sys/bus/pci/rescan", 1)
    if not pci.driver:
        pci.bind()
    pci.wait_netdev()


def asked_to_let_go(device):
    """Returns the file that VFIO signals when it wants the device back."""
    event = os.eventfd(0)
    defer(os.close, event)
    fcntl.ioctl(device.fd, SET_IRQS, struct.pack("<IIIIIi", 24, 4 | 32, REQUEST_IRQ, 0, 1, event))
    return event


def waiting(fd, state):
    """Returns somebody who waits for more to read, if that is not to be had at once."""
    if state != PRE_COPY:
        return None
    drain(fd)
    return Reader(fd)


def is_dead(fd, state):
    """Fails the test unless a file says that there is no device any more."""
    fails_with(errno.ENODEV, *((os.write, fd, b"x") if state == RESUMING else (os.read, fd, 1)))


@ksft_variants([KsftNamedVariant(f"{how.__name__}_in_{STATES[state]}", how, state)
                for how, state in ((unbind, PRE_COPY), (unbind, RESUMING), (remove, STOP_COPY))])
def the_pf_waits_until_its_vf_is_let_go(how, state):
    bench = Bench()
    device, pci = bench.devices[0], bench.pci
    bench.driver()
    device.log_start([(IOVA, 1 << 20)])
    fd = device.go(state)
    event = asked_to_let_go(device)
    gone = threading.Thread(target=how, args=(pci,))
    defer(come_back, pci)
    gone.start()
    ksft_true(select.select([event], [], [], PATIENCE)[0], "VFIO asks for the device")
    # What was begun can be ended meanwhile. Only a reset is not to be had: who takes the VF away holds it.
    fails_with(errno.EAGAIN, device.reset)
    device.log_report(IOVA, 1 << 20)
    if state == PRE_COPY:
        device.go(STOP_COPY)
    if state != RESUMING:
        ksft_gt(len(read_all(fd)), 0)
        device.go(STOP)
    device.close()
    gone.join(PATIENCE)
    ksft_eq(gone.is_alive(), False, "the PF goes when its VF is let go")
    # The file outlives all of it.
    is_dead(fd, state)
    os.close(fd)
    come_back(pci)
    ksft_eq(pci.driver, "ferrite_core")


def a_file_that_is_left_behind_keeps_nobody():
    bench = Bench()
    device, pci = bench.devices[0], bench.pci
    fd = device.go(PRE_COPY)
    device.close()
    defer(come_back, pci)
    pci.unbind()
    is_dead(fd, PRE_COPY)
    ksft_eq(pci.vfs, [])
    os.close(fd)
    come_back(pci)


@ksft_variants([KsftNamedVariant(STATES[state], state) for state in (PRE_COPY, STOP_COPY, RESUMING)])
def a_device_that_vanished_is_not_connected(state):
    bench = Bench()
    device, pci = bench.devices[0], bench.pci
    bench.driver()
    device.log_start([(IOVA, 1 << 20)])
    fd = device.go(state)
    reader = waiting(fd, state)
    defer(pci.restore, "bus")
    pci.set_admin_timeout(500)
    pci.fault("vanish")
    log.allow("ferrite")
    try:
        device.data_size()
        device.log_report(IOVA, 1 << 20)
        ksft_true(False, "a device that is not there answers")
    except OSError as error:
        ksft_true(error.errno in (errno.ENOTCONN, errno.ETIMEDOUT), error)
    log.wait("device lost")
    if reader:
        reader.wakes()
    fails_with(errno.ENOTCONN, device.log_report, IOVA, 1 << 20)
    fails_with(errno.ENOTCONN, device.go, STOP)
    if state == PRE_COPY:
        fails_with(errno.ENOTCONN, os.read, fd, 1)
    if state == RESUMING:
        fails_with(errno.ENOTCONN, os.write, fd, bytes(64))
    ksft_eq(device.read(REGS, 0), 0xFFFFFFFF)
    ksft_true(device.state in STATES or device.state == 0)
    device.close()
    is_dead(fd, state)
    os.close(fd)


@ksft_variants([KsftNamedVariant(STATES[state], state) for state in (PRE_COPY, STOP, STOP_COPY, RESUMING)])
def a_reset_of_the_pf_ends_what_goes_on(state):
    bench = Bench()
    device, pci = bench.devices[0], bench.pci
    bench.driver().create_queue(0, 0)
    fd = device.go(state)
    reader = waiting(fd, state)
    log.allow("ferrite_vfio")
    pci.reset("flr")
    pci.wait_netdev()
    if reader:
        reader.wakes()
    wait_for(lambda: answers(device.data_size), "the PF to answer again")
    # Whatever the user tries now, a reset of the VF helps.
    answers(lambda: device.go(RUNNING))
    device.reset()
    ksft_eq(device.state, RUNNING)
    if fd is not None:
        is_dead(fd, state)
        os.close(fd)
    bench.driver().create_queue(0, 0)
    ksft_gt(len(save(device)), 0)


def answers(call):
    """Returns whether a call works."""
    try:
        call()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    run(the_pf_waits_until_its_vf_is_let_go, a_file_that_is_left_behind_keeps_nobody, a_device_that_vanished_is_not_connected,
        a_reset_of_the_pf_ends_what_goes_on)
