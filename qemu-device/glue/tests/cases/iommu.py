# SPDX-License-Identifier: GPL-2.0-or-later
"""Each function behind the IOMMU, with its own requester id."""

from lib import ferrite
from lib.case import equal, true
from lib.machine import Machine
from lib.vtd import LARGE, Vtd

# Where the device finds what is mapped: far from any memory, and another place for each function.
BASE = 1 << 30


def _behind_iommu(vfs=2):
    machine = Machine(iommu=True)
    pf = ferrite.start(machine)
    functions = [pf, *ferrite.enable_vfs(pf, vfs)]
    iommu = Vtd(machine)
    for number, function in enumerate(functions):
        function.memory = (number + 1) * LARGE
        function.offset = (number + 1) * BASE - function.memory
        iommu.map(function, (number + 1) * BASE, function.memory)
    iommu.enable()
    return iommu, functions


def functions_reach_what_is_mapped_for_them():
    iommu, functions = _behind_iommu()
    for function in functions:
        function.start_admin()
    for value, function in enumerate(functions):
        function.echo(value)
        buffer = function.alloc(4096)
        function.command(ferrite.IDENTIFY, data_addr=buffer + function.offset, data_len=256)
        true(function.machine.load(buffer, 256) != bytes(256), "the identity was written")
    true(not iommu.faulted(), "no fault was recorded")


def functions_do_not_reach_what_is_mapped_for_others():
    iommu, functions = _behind_iommu()
    for function in functions:
        function.start_admin()
    for function in functions:
        for other in functions:
            buffer = other.alloc(4096)
            function.post(ferrite.IDENTIFY, data_addr=buffer + other.offset, data_len=256)
            function.ring_admin()
            status = function.machine.until(function.completion, "completion")[2]
            equal(status, 0 if other is function else 8, "status")
            equal(other.machine.load(buffer, 256) != bytes(256), other is function, "whether memory was written")
    true(iommu.faulted(), "a fault was recorded")


def ring_that_is_not_mapped_stops_the_admin_queue():
    _, (pf, vf, _) = _behind_iommu()
    vf.start_admin()
    vf.set_reg(ferrite.ADMIN_CONTROL, 0)
    vf.offset = 0
    vf.start_admin()
    vf.post(ferrite.ECHO, bytes(8))
    vf.ring_admin()
    vf.machine.until(lambda: vf.reg(ferrite.ADMIN_STATUS) >> 8 & 0xff == ferrite.DMA_FAULT, "DMA_FAULT")
    pf.start_admin()
    pf.echo(1)


def queues_work_behind_the_iommu():
    # Queue state is accessed as words, by another way than the rest.
    _, (pf, *_) = _behind_iommu(0)
    pf.start_admin()
    pf.create_queue(ferrite.TX)
    pf.command(ferrite.ENABLE_PORT, b"\1")
    pf.send(b"\xff" * 6 + bytes.fromhex("525400fe0001") + b"\x88\xb5" + bytes(50))
    pf.machine.until(lambda: pf.completed(ferrite.TX) == 1, "TX completion")
