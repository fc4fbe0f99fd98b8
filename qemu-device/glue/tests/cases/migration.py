# SPDX-License-Identifier: GPL-2.0-or-later
"""VFs moved to other VFs over the real bus: what QEMU's PCI core holds, and what the device has to carry."""

import struct

from lib import ferrite
from lib.case import equal, true
from lib.machine import Machine

CONFIGURE, SUSPEND, RESUME, BEGIN_SAVE, READ_SAVE, END_SAVE, BEGIN_LOAD, WRITE_LOAD, END_LOAD = \
    0x302, 0x601, 0x602, 0x603, 0x604, 0x606, 0x607, 0x608, 0x609
START_LOG, READ_LOG = 0x60a, 0x60b
RUNNING, INITIATOR, FULL = range(3)
FINAL = 2
CAPS, MIGRATABLE = 1 << 1, 1 << 0
CHUNK = 4096


def _start():
    """Returns a PF with its admin queue and two VFs that can be moved."""
    pf = ferrite.start(Machine())
    vfs = ferrite.enable_vfs(pf, 2)
    pf.start_admin()
    pf.buffer = pf.alloc(CHUNK)
    for number in (1, 2):
        pf.command(CONFIGURE, struct.pack("<H6sHHHH", CAPS, bytes(6), MIGRATABLE, 0, 0, 0), function=number)
    return pf, vfs


def _move(pf, source, destination):
    """Moves a VF, named by its function id, to another."""
    for function in (source, destination):
        pf.command(SUSPEND, struct.pack("<H", FULL), function=function)
    length = struct.unpack_from("<I", pf.command(BEGIN_SAVE, struct.pack("<HH", FINAL, 0), function=source))[0]
    pf.command(BEGIN_LOAD, function=destination)
    for offset in range(0, length, CHUNK):
        piece = min(CHUNK, length - offset)
        data = {"data_addr": pf.buffer, "data_len": CHUNK}
        pf.command(READ_SAVE, struct.pack("<II", offset, piece), function=source, **data)
        verdict = pf.command(WRITE_LOAD, struct.pack("<QI", offset, piece), function=destination, **data)
        equal(struct.unpack_from("<H", verdict)[0], 0, "fault of a piece")
    equal(struct.unpack_from("<H", pf.command(END_LOAD, b"\1", function=destination))[0], 0, "fault of the stream")
    pf.command(END_SAVE, function=source)
    for level in (INITIATOR, RUNNING):
        pf.command(RESUME, struct.pack("<H", level), function=destination)


def _become(driver, vf):
    """The machine that a driver is in goes on with another VF, whose table and address its owner sets up."""
    driver.bars, driver.devfn, driver.bus = vf.bars, vf.devfn, vf.bus


def admin_queue_goes_on_at_the_destination():
    pf, (source, destination) = _start()
    source.set_reg(ferrite.SCRATCH, 0x5a5a)
    source.start_admin()
    for value in range(20):
        source.echo(value)
    _move(pf, 1, 2)
    source.flr()
    _become(source, destination)
    equal(source.reg(ferrite.SCRATCH), 0x5a5a, "Scratch")
    # The driver need not know that it is another function now.
    equal(source.reg(ferrite.FUNCTION), 1, "Function")
    for value in range(20):
        source.echo(value)


def interrupt_that_is_pending_travels():
    pf, (source, destination) = _start()
    mailbox = source.alloc(4096)
    source.msix(0, mailbox, 0x111)
    source.mask(0, True)
    source.start_admin(vector=0)
    source.echo(1)
    true(source.pending(0), "the interrupt is pending at the source")
    destination.msix(0, mailbox, 0x222)
    equal(destination.machine.load32(mailbox), 0, "no interrupt yet")
    _move(pf, 1, 2)
    destination.machine.until(lambda: destination.machine.load32(mailbox) == 0x222, "interrupt at the destination")


def table_of_a_suspended_function_can_be_touched():
    pf, (vf, _) = _start()
    mailbox = vf.alloc(4096)
    vf.msix(0, mailbox, 0x111)
    vf.start_admin(vector=0)
    pf.command(SUSPEND, struct.pack("<H", FULL), function=1)
    vf.mask(0, True)
    vf.mask(0, False)
    vf.msix(0, mailbox, 0x333)
    # The doorbell is remembered.
    vf.post(ferrite.ECHO, bytes(8))
    vf.ring_admin()
    equal(vf.completion(), None, "completion of a suspended function")
    pf.command(RESUME, struct.pack("<H", RUNNING), function=1)
    equal(vf.machine.until(vf.completion, "completion")[1:3], (ferrite.ECHO, 0), "opcode and status")
    vf.machine.until(lambda: vf.machine.load32(mailbox) == 0x333, "interrupt")


def writes_are_logged():
    pf, (vf, _) = _start()
    vf.start_admin()
    pf.machine.store(pf.buffer, struct.pack("<QQ", 0, 1 << 40))
    pf.command(START_LOG, struct.pack("<HBBI", 1, 12, 0, 0), data_addr=pf.buffer, data_len=CHUNK, function=1)
    vf.echo(5)
    done = pf.command(READ_LOG, struct.pack("<QQI", 0, 1 << 40, 1), data_addr=pf.buffer, data_len=CHUNK, function=1)
    runs, flags = struct.unpack_from("<HH", done)
    equal((runs, flags), (1, 0), "runs and flags")
    equal(struct.unpack("<QQ", pf.machine.load(pf.buffer, 16)), (vf.cq & ~0xfff, 0x1000), "the completion's page")


def flr_wakes_a_suspended_function():
    pf, (vf, other) = _start()
    for function in (1, 2):
        pf.command(SUSPEND, struct.pack("<H", FULL), function=function)
    vf.flr()
    vf.enable()
    vf.ready()
    vf.start_admin()
    vf.echo(3)
    # The other one still is.
    other.set_reg(ferrite.SCRATCH, 0x77)
    equal(other.reg(ferrite.SCRATCH), 0, "Scratch of a function that must not change")
