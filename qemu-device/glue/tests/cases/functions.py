# SPDX-License-Identifier: GPL-2.0-or-later
"""SFs, inactive VFs and representors over the real bus: doorbell pages, vectors, MSI-X capability."""

import struct

from lib import ferrite, pci
from lib.case import equal, true
from lib.machine import Machine

CREATE_SF, DESTROY_SF, CONFIGURE, QUERY_CONFIG, SET_STATE, ATTACH, SET_POLICY = range(0x300, 0x307)
SET_MODE, ADD_RULE, QUERY_RULE, SET_RATE = 0x400, 0x402, 0x404, 0x407
QUERY_FUNCTION, ENABLE_PORT = 0x0002, 0x0201
INACTIVE, ACTIVE, IN_USE = 1, 2, 3
INVALID_FUNCTION, NO_RESOURCE, BAD_STATE = 3, 5, 6
REPRESENTOR = 0x8000


class _Guest:
    """A function that lives on the PF: queues as those of `ferrite.Ferrite`, doorbells in a page of its own."""

    def __init__(self, pf, function):
        self.pf, self.function = pf, function
        self.page = struct.unpack_from("<H", pf.command(QUERY_FUNCTION, function=function), 14)[0]
        self.mac = pf.command(QUERY_FUNCTION, function=function)[:6]
        self.rings = {kind: pf.alloc(0x3000) for kind in (ferrite.TX, ferrite.RX)}
        for kind, ring in self.rings.items():
            pf.command(ferrite.CREATE_QUEUE, struct.pack("<QQQHHHHB", ring, ring + 0x1000, ring + 0x2000, kind, 0,
                                                         function % 7 + 1, 0, 4), function=function)
        pf.command(ENABLE_PORT, b"\1", function=function)
        self.tails = {ferrite.TX: 0, ferrite.RX: 0}

    def _publish(self, kind, descriptor):
        ring, tail = self.rings[kind], self.tails[kind]
        self.pf.machine.store(ring + len(descriptor) * (tail % 16), descriptor)
        self.tails[kind] = tail + 1
        self.pf.machine.store(ring + 0x2000, struct.pack("<I", tail + 1))
        self.pf.machine.write(self.pf.bars[2] + 0x1000 * self.page + 0x400 * kind, 4, 0)

    def send(self, frame):
        """Sends a frame."""
        buffer = self.pf.alloc(len(frame))
        self.pf.machine.store(buffer, frame)
        self._publish(ferrite.TX, struct.pack("<QIHHHHHHII", buffer, len(frame), 1, 0, 0, 0, 0, 0, 0, 0))

    def give_buffer(self):
        """Gives the device a buffer; returns its address."""
        buffer = self.pf.alloc(2048)
        self._publish(ferrite.RX, struct.pack("<QII", buffer, 2048, 0))
        return buffer

    def received(self):
        """Returns how many buffers were filled."""
        return self.pf.machine.load32(self.rings[ferrite.RX] + 0x2000 + 64)


def _status(pf, opcode, params=b"", **more):
    """Returns the status of a command."""
    pf.post(opcode, params, **more)
    pf.ring_admin()
    return pf.machine.until(pf.completion, f"completion of command {opcode:#06x}")[2]


def _sf(pf, number):
    """Returns the id of a new SF that is in use."""
    function = struct.unpack_from("<H", pf.command(CREATE_SF, struct.pack("<I", number), function=0))[0]
    pf.command(SET_STATE, struct.pack("<H", ACTIVE), function=function)
    pf.command(ATTACH, b"\1", function=function)
    return function


def _state(pf, function):
    return struct.unpack_from("<H", pf.command(QUERY_CONFIG, function=function), 14)[0]


def sfs_exchange_packets_by_doorbells_of_their_own():
    pf = ferrite.start(Machine())
    pf.start_admin()
    one, other = (_Guest(pf, _sf(pf, number)) for number in (88, 89))
    equal((one.function, other.function, one.page, other.page), (0x100, 0x101, 1, 2), "ids and pages")
    mailbox = pf.alloc(4096)
    pf.msix(other.function % 7 + 1, mailbox, 0xcafe)
    buffer = other.give_buffer()
    one.send(other.mac + one.mac + b"\x88\xb5" + bytes(range(100)))
    pf.machine.until(lambda: other.received() == 1, "packet")
    equal(pf.machine.load(buffer + 14, 100), bytes(range(100)), "payload")
    equal(pf.machine.load32(mailbox), 0xcafe, "what the interrupt of the SF wrote")


def sf_is_gone_when_it_is_destroyed():
    pf = ferrite.start(Machine(device="ferrite,bus=rp0,max_sfs=2"))
    pf.start_admin()
    first, _ = _sf(pf, 1), _sf(pf, 2)
    equal(_status(pf, CREATE_SF, struct.pack("<I", 3), function=0), NO_RESOURCE, "status of a third")
    equal(_status(pf, DESTROY_SF, function=first), BAD_STATE, "status of destroying one in use")
    guest = _Guest(pf, first)
    guest.give_buffer()
    pf.command(SET_STATE, struct.pack("<H", INACTIVE), function=first)
    memory = guest.rings[ferrite.RX]
    before = pf.machine.load(memory, 0x3000)
    pf.machine.write(pf.bars[2] + 0x1000 * guest.page + 0x400, 4, 0)
    pf.machine.settle()
    equal(pf.machine.load(memory, 0x3000), before, "rings of the inactive SF")
    pf.command(DESTROY_SF, function=first)
    equal(_status(pf, QUERY_FUNCTION, function=first), INVALID_FUNCTION, "status of a query")
    equal(_state(pf, _sf(pf, 3)), IN_USE, "state of the next")


def inactive_vf_is_on_the_bus_and_not_ready():
    pf = ferrite.start(Machine())
    pf.start_admin()
    pf.command(SET_POLICY, struct.pack("<H", INACTIVE), function=0)
    sriov = pf.extended(pci.EXT_SRIOV)
    for bar, address in ferrite.VF_BARS.items():
        pf.set(sriov + pci.SRIOV_BAR0 + 4 * bar, address)
        pf.set(sriov + pci.SRIOV_BAR0 + 4 * bar + 4, 0)
    pf.set(sriov + pci.SRIOV_NUM, 1, 2)
    pf.set(sriov + pci.SRIOV_CONTROL, pci.SRIOV_ENABLE | pci.SRIOV_MEMORY | pci.SRIOV_ARI, 2)
    offset = pf.get(sriov + pci.SRIOV_OFFSET, 2)
    vf = ferrite.Ferrite(pf.machine, pf.devfn + offset, pf.bus, 0x1000000)
    vf.bars = dict(ferrite.VF_BARS)
    vf.enable()
    pf.machine.until(lambda: vf.reg(ferrite.MAGIC) == ferrite.FERR, "the VF answers")
    equal(vf.reg(ferrite.STATUS), 0, "Status of an inactive VF")
    vf.set_reg(ferrite.ADMIN_SIZE, 4)
    vf.set_reg(ferrite.SQ_BASE, 0x1000000)
    vf.set_reg(ferrite.CQ_BASE, 0x1001000)
    vf.set_reg(ferrite.ADMIN_CONTROL, 1)
    equal(vf.reg(ferrite.ADMIN_STATUS), 4 << 8, "AdminStatus, INACTIVE")
    vf.set_reg(ferrite.ADMIN_CONTROL, 0)
    pf.command(SET_STATE, struct.pack("<H", ACTIVE), function=1)
    equal(vf.reg(ferrite.STATUS), 1, "Status of an active VF")
    vf.start_admin()
    vf.echo(1)
    equal(_state(pf, 1), IN_USE, "state")
    pf.command(SET_STATE, struct.pack("<H", INACTIVE), function=1)
    equal((vf.reg(ferrite.STATUS), vf.reg(ferrite.ADMIN_STATUS)), (0, 0), "Status and AdminStatus")
    vf.flr()
    vf.enable()
    pf.machine.until(lambda: vf.reg(ferrite.MAGIC) == ferrite.FERR, "the VF answers after FLR")
    equal(vf.reg(ferrite.STATUS), 0, "Status of an inactive VF after FLR")


def _table_size(function):
    return (function.get(function.capability(pci.CAP_MSIX) + 2, 2) & 0x7ff) + 1


def _vectors(pf, function, count):
    return _status(pf, CONFIGURE, struct.pack("<H6sHHHH", 1 << 3, bytes(6), 0, 0, count, 0), function=function)


def vectors_of_a_vf_are_those_of_its_capability():
    pf = ferrite.start(Machine(device="ferrite,bus=rp0,id=dpu,mac=52:54:00:fe:00:01,max_vfs=4,vf_vectors=8"))
    pf.start_admin()
    vfs = ferrite.enable_vfs(pf, 4)
    equal(_vectors(pf, 1, 20), NO_RESOURCE, "status with none left")
    for number, count in ((2, 2), (3, 2), (1, 20)):
        equal(_vectors(pf, number, count), 0, f"status of giving VF {number} {count} vectors")
    equal([_table_size(vf) for vf in vfs], [20, 2, 2, 8], "table sizes")
    equal(vfs[0].reg(ferrite.LIMITS), 20 << 16 | 1, "Limits")
    mailbox = vfs[0].alloc(4096)
    vfs[0].msix(19, mailbox, 0x1919)
    vfs[0].start_admin(vector=19)
    vfs[0].echo(1)
    equal(pf.machine.load32(mailbox), 0x1919, "what the last vector wrote")
    path = pf.machine.directory / "state"
    pf.machine.save(path)
    machine = Machine.restored(path, device="ferrite,bus=rp0,id=dpu,mac=52:54:00:fe:00:01,max_vfs=4,vf_vectors=8")
    for function in (pf, *vfs):
        function.machine = machine
    equal([_table_size(vf) for vf in vfs], [20, 2, 2, 8], "table sizes after migration")
    machine.store(mailbox, bytes(4))
    vfs[0].echo(2)
    equal(machine.load32(mailbox), 0x1919, "what the last vector wrote after migration")
    ferrite.disable_vfs(pf)
    equal([_table_size(vf) for vf in ferrite.enable_vfs(pf, 4)], [8, 8, 8, 8], "table sizes of new VFs")


def representor_is_the_other_end_of_its_function():
    pf = ferrite.start(Machine())
    pf.start_admin()
    pf.command(SET_MODE, struct.pack("<H", 1), function=0)
    sf = _Guest(pf, _sf(pf, 88))
    representor = _Guest(pf, sf.function | REPRESENTOR)
    equal(representor.page, 1025, "page of the representor")
    buffers = sf.give_buffer(), representor.give_buffer()
    stranger = b"\2\1\1\1\1\1"
    sf.send(stranger + sf.mac + b"\x88\xb5" + b"out" + bytes(60))
    representor.send(sf.mac + stranger + b"\x88\xb5" + b"in" + bytes(60))
    pf.machine.until(lambda: (sf.received(), representor.received()) == (1, 1), "packets")
    equal((pf.machine.load(buffers[0] + 14, 2), pf.machine.load(buffers[1] + 14, 3)), (b"in", b"out"), "payloads")
    # A rule takes the flow off the representor.
    rule = struct.pack("<IH2s32s64s64s", 1, sf.function, bytes(2), struct.pack("<HH", 1, sf.function | REPRESENTOR)
                       + struct.pack("<HH", 1, sf.function), bytes(64), bytes(64))
    data = pf.alloc(4096)
    pf.machine.store(data, rule)
    number = pf.command(ADD_RULE, function=0, data_addr=data, data_len=168)[:4]
    sf.give_buffer()
    representor.give_buffer()
    sf.send(sf.mac + sf.mac + b"\x88\xb5" + bytes(60))
    pf.machine.until(lambda: (sf.received(), representor.received()) == (2, 2), "packets by the rule")
    equal(struct.unpack_from("<QQ", pf.command(QUERY_RULE, number, function=0)), (1, 74), "packets and bytes")


def limited_sf_waits_for_the_clock():
    pf = ferrite.start(Machine())
    pf.start_admin()
    sf = _Guest(pf, _sf(pf, 88))
    data = pf.alloc(4096)
    # 10,000 bytes a second, in packets of 1,000.
    pf.machine.store(data, struct.pack("<QQII32s", 10_000, 0, 0, 0, bytes(32)))
    pf.command(SET_RATE, struct.pack("<HH", 0, 0), function=sf.function, data_addr=data, data_len=56)
    for _ in range(8):
        sf.send(b"\xff" * 6 + sf.mac + b"\x88\xb5" + bytes(986))

    def done():
        ring = sf.rings[ferrite.TX]
        count = pf.machine.load32(ring + 0x2000 + 64)
        return pf.machine.load32(ring + 0x1000 + 16 * ((count - 1) % 16)) if count else 0

    pf.machine.settle()
    true(1 <= done() <= 2, f"one packet at once, not {done()}")
    for _ in range(18):
        pf.machine.settle()
    true(3 <= done() <= 5, f"about four packets in a third of a second, not {done()}")
    pf.machine.until(lambda: done() == 8, "the last packet")
