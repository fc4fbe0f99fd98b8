#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""devlink regions: the registers and the admin rings, as they are now and as they were."""

import re
import struct

from ferrite import cmd, defer, ksft_eq, ksft_in, ksft_ne, log, need_dpus, refused, run
from ferrite.health import Reporter

REGISTERS = 0x200


def device():
    pci = need_dpus(1)[0]
    pci.wait_netdev()
    return pci


def bytes_of(words):
    """Returns the bytes that devlink prints, line by line after their address."""
    lines = cmd(f"devlink region {words}").stdout.splitlines()
    return bytes.fromhex("".join(re.sub(r"^[0-9a-f]{16} ", "", line) for line in lines))


def registers_are_read_as_they_are():
    pci = device()
    read = bytes_of(f"read pci/{pci}/registers address 0 length {REGISTERS}")
    ksft_eq(len(read), REGISTERS)
    ksft_eq(read[:4], b"FERR")
    # What begins and ends anywhere is the same.
    ksft_eq(bytes_of(f"read pci/{pci}/registers address 1 length 2"), b"ER")
    ksft_ne(bytes_of(f"read pci/{pci}/registers address 32 length 4"), b"\xff" * 4)


def snapshots_stay_as_they_were():
    pci = device()
    cmd(f"devlink region new pci/{pci}/admin_rings snapshot 5")
    defer(cmd, f"devlink region del pci/{pci}/admin_rings snapshot 5")
    before = bytes_of(f"dump pci/{pci}/admin_rings snapshot 5")
    # A command goes through the rings.
    cmd(f"devlink dev info pci/{pci}")
    ksft_eq(bytes_of(f"dump pci/{pci}/admin_rings snapshot 5"), before)
    ksft_ne(bytes_of(f"read pci/{pci}/admin_rings address 0 length {len(before)}"), before)


def there_are_eight_snapshots_at_most():
    pci = device()
    for number in range(10, 18):
        cmd(f"devlink region new pci/{pci}/registers snapshot {number}")
        defer(cmd, f"devlink region del pci/{pci}/registers snapshot {number}")
    refused(f"region new pci/{pci}/registers snapshot 18", "maximum")
    ksft_in("[10 11 12 13 14 15 16 17]", cmd(f"devlink region show pci/{pci}/registers").stdout)


def nothing_is_beyond_the_region():
    pci = device()
    ksft_eq(len(bytes_of(f"read pci/{pci}/registers address {REGISTERS - 2} length 8")), 2)
    ksft_eq(bytes_of(f"read pci/{pci}/registers address {REGISTERS} length 4"), b"")


def what_the_firmware_did_before_it_stopped_can_be_read():
    pci = device()
    defer(pci.restore)
    log.expect(r"device lost: (heartbeat stopped|device reports a fatal state)")
    log.allow(r"ferrite")
    before = bytes_of(f"read pci/{pci}/crash_dump address 0 length 2112")
    reporter = Reporter(f"pci/{pci}", "fw_fatal")
    reporter.test()
    reporter.wait_recovered()
    dump = bytes_of(f"read pci/{pci}/crash_dump address 0 length 2112")
    (time, crashes, count), (_, before_that) = struct.unpack_from("<QII", dump), struct.unpack_from("<QI", before)
    ksft_eq(crashes, before_that + 1)
    ksft_ne(time, 0)
    # It stopped over the command after the one that told it to: IDENTIFY has no answer.
    opcodes = [struct.unpack_from("<QHHHHH", dump, 64 + 32 * index) for index in range(count)]
    ksft_eq((opcodes[-2][1], opcodes[-2][5]), (0x0700, 0))
    ksft_eq(opcodes[-1][5], 0xFFFF)


if __name__ == "__main__":
    run(registers_are_read_as_they_are, snapshots_stay_as_they_were, there_are_eight_snapshots_at_most,
        nothing_is_beyond_the_region, what_the_firmware_did_before_it_stopped_can_be_read)
