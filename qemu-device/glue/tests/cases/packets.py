# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets between the rings and a network backend."""

import os
import socket
import struct

from lib import ferrite, pci
from lib.case import equal, true
from lib.machine import Machine

MAC = bytes.fromhex("525400fe0001")
BROADCAST = b"\xff" * 6


def _frame(length, destination=BROADCAST, source=MAC, fill=0x5a):
    return destination + source + b"\x88\xb5" + bytes([fill]) * (length - 14)


class _Cable:
    """The other end of the uplink: a datagram socket."""

    def __init__(self):
        self.end, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.end.settimeout(10)
        os.set_inheritable(inside.fileno(), True)
        self.inside = inside
        self.arguments = ["-netdev", f"dgram,id=net,local.type=fd,local.str={inside.fileno()}"]


def _connected(device="ferrite,bus=rp0,id=dpu,mac=52:54:00:fe:00:01,netdev=net", extra=()):
    cable = _Cable()
    machine = Machine(*cable.arguments, *extra, device=device, keep=[cable.inside.fileno()])
    pf = ferrite.start(machine)
    pf.start_admin()
    return cable, pf


def _with_queues(**options):
    cable, pf = _connected(**options)
    pf.create_queue(ferrite.TX)
    pf.create_queue(ferrite.RX)
    pf.open_port()
    pf.mark = pf.memory
    return cable, pf


def link_follows_the_cable():
    _, pf = _connected()
    link = lambda: struct.unpack_from("<IB", pf.command(ferrite.QUERY_LINK))
    true(link()[1] == 1 and link()[0] > 0, "the link is up, with a speed")
    pf.machine.qmp("set_link", name="dpu", up=False)
    equal(link(), (0, 0), "speed and state of the link")
    pf.machine.qmp("set_link", name="dpu", up=True)
    equal(link()[1], 1, "state of the link")


def link_is_down_without_a_cable():
    pf = ferrite.start(Machine())
    pf.start_admin()
    equal(struct.unpack_from("<IB", pf.command(ferrite.QUERY_LINK)), (0, 0), "speed and state of the link")


def sent_packets_come_out_of_the_uplink():
    cable, pf = _with_queues()
    for number, length in enumerate((60, 61, 1514, 9614)):
        if length > 1514:
            pf.command(0x0203, struct.pack("<HH", 9600, 0))
        pf.send(_frame(length, fill=number))
        pf.machine.settle()
        equal(cable.end.recv(65536), _frame(length, fill=number), f"packet of {length} bytes")
    pf.machine.until(lambda: pf.completed(ferrite.TX) > 0, "TX completion")


def congested_uplink_drops_what_its_queue_cannot_hold():
    cable, pf = _with_queues()
    # Nobody reads: the socket fills, then the queue of 1024 packets, and the rest is dropped.
    for number in range(1500):
        pf.send(_frame(60, fill=number & 0xff) + struct.pack("<I", number))
        pf.machine.until(lambda: pf.done(ferrite.TX) == number + 1, f"completion of packet {number}")
        pf.memory = pf.mark
    pf.machine.settle()
    numbers = []
    cable.end.settimeout(0.2)
    while True:
        try:
            numbers.append(struct.unpack("<I", cable.end.recv(65536)[-4:])[0])
        except socket.timeout:
            break
    true(1024 <= len(numbers) < 1500, f"of 1500 packets {len(numbers)} came out")
    equal(numbers, list(range(len(numbers))), "packets, in order and the first ones")
    pf.send(_frame(60, fill=1))
    pf.machine.settle()
    equal(cable.end.recv(65536), _frame(60, fill=1), "packet after the congestion")


def doorbell_of_another_width_rings_nothing():
    cable, pf = _with_queues()
    queue = pf.queues[ferrite.TX, 0]
    frame = _frame(60)
    buffer = pf.alloc(len(frame))
    pf.machine.store(buffer, frame)
    pf.machine.store(queue["ring"], struct.pack("<QIHHHHHHII", buffer, len(frame), 1, 0, 0, 0, 0, 0, 0, 0))
    pf.machine.store(queue["state"], struct.pack("<I", 1))
    # (16 bits at the start of the page are how a virtio driver notifies.)
    for offset, size in ((0, 1), (4, 2), (0, 8), (2, 4)):
        pf.machine.write(pf.bars[2] + offset, size, 1)
        equal(pf.machine.read(pf.bars[2] + offset, size), 0, "what a doorbell reads as")
    pf.machine.settle()
    equal(pf.completed(ferrite.TX), 0, "completions")
    pf.machine.write(pf.bars[2], 4, 1)
    pf.machine.settle()
    equal((pf.completed(ferrite.TX), cable.end.recv(65536)), (1, frame), "completions, and the packet")


def packets_from_the_uplink_are_received():
    cable, pf = _with_queues()
    buffers = [pf.give_buffer(2048) for _ in range(3)]
    for number, length in enumerate((60, 999, 1514)):
        cable.end.send(_frame(length, destination=MAC, source=b"\2abcde", fill=number))
    pf.machine.until(lambda: pf.completed(ferrite.RX) == 3, "3 RX completions")
    for number, length in enumerate((60, 999, 1514)):
        entry = pf.machine.load(pf.queues[ferrite.RX, 0]["cq"] + 32 * number, 32)
        cookie, seen, _, flags = struct.unpack_from("<IIIH", entry)
        equal((cookie, seen, flags & 1), (buffers[number], length, 1), "cookie, length, end")
        equal(pf.machine.load(buffers[number], length),
              _frame(length, destination=MAC, source=b"\2abcde", fill=number), "packet")


def received_packet_raises_the_vector_of_its_queue():
    cable, pf = _with_queues()
    mailbox = pf.alloc(4096)
    pf.msix(1, mailbox, 0xcafe)
    pf.give_buffer(2048)
    cable.end.send(_frame(60, source=b"\2abcde"))
    pf.machine.until(lambda: pf.machine.load32(mailbox) == 0xcafe, "interrupt")


def packets_wait_for_buffers():
    cable, pf = _with_queues()
    for number in range(20):
        cable.end.send(_frame(100, destination=MAC, source=b"\2abcde", fill=number))
    pf.machine.settle()
    equal(pf.completed(ferrite.RX), 0, "packets received without buffers")
    for number in range(20):
        buffer = pf.give_buffer(2048)
        pf.machine.until(lambda: pf.completed(ferrite.RX) == number + 1, f"packet {number}")
        equal(pf.machine.load(buffer, 100)[14], number, "first byte of the packet")


def stopped_machine_receives_nothing():
    cable, pf = _with_queues()
    buffer = pf.give_buffer(2048)
    pf.machine.qmp("stop")
    cable.end.send(_frame(60, source=b"\2abcde"))
    for _ in range(10):
        pf.machine.qmp("query-status")
    equal(pf.machine.load(buffer, 60), bytes(60), "buffer")
    pf.machine.qmp("cont")
    pf.machine.until(lambda: pf.completed(ferrite.RX) == 1, "packet after the machine goes on")


def two_devices_on_one_cable_talk():
    ends = _cabled()
    for sender, receiver in (ends, ends[::-1]):
        for number in range(12):
            buffer = receiver.give_buffer(2048)
            before = receiver.completed(ferrite.RX)
            sender.send(_frame(1514, fill=number, source=b"\x52\x54\0\xfe\0" + bytes([1 + ends.index(sender)])))
            receiver.machine.until(lambda: receiver.completed(ferrite.RX) == before + 1, f"packet {number}")
            equal(receiver.machine.load(buffer, 1514)[14:], bytes([number]) * 1500, "payload")


def _cabled():
    """Returns two devices on one cable, with TX and RX queues."""
    machine = Machine("-netdev", "hubport,id=a,hubid=0", "-netdev", "hubport,id=b,hubid=0",
                      "-device", "ferrite,bus=rp1,id=other,mac=52:54:00:fe:00:02,netdev=b",
                      device="ferrite,bus=rp0,id=dpu,mac=52:54:00:fe:00:01,netdev=a")
    ends = [ferrite.start(machine), ferrite.start(machine, port=1)]
    ends[1].memory = 0x1000000
    for end in ends:
        end.start_admin()
        end.create_queue(ferrite.TX)
        end.create_queue(ferrite.RX)
        end.open_port()
    return ends


def _with_e1000e(target, data):
    """Returns a sender whose packets go to an e1000e, and that has an interrupt which writes data to a target."""
    machine = Machine("-netdev", "hubport,id=a,hubid=0", "-netdev", "hubport,id=b,hubid=0",
                      "-device", "e1000e,bus=rp1,netdev=b",
                      device="ferrite,bus=rp0,id=dpu,mac=52:54:00:fe:00:01,netdev=a")
    sender = ferrite.start(machine)
    sender.start_admin()
    sender.create_queue(ferrite.TX)
    sender.open_port()
    pci.root_port(machine, 1)
    nic = pci.Function(machine, pci.BUS + 1, 0)
    registers = pci.WINDOW + (1 << 27)
    nic.map_bar(0, registers)
    nic.map_bar(3, registers + 0x100000)
    nic.enable()
    nic.msix(0, target(sender), data)
    ring = sender.alloc(4096)
    machine.store(ring, b"".join(struct.pack("<QQ", sender.alloc(4096), 0) for _ in range(8)))
    # Ring base, length, tail; vector 0 on reception; receive everything.
    for offset, value in ((0x2800, ring), (0x2804, 0), (0x2808, 128), (0x2818, 7), (0x00e4, 8), (0x00d0, 1 << 20),
                          (0x0100, 1 << 1 | 1 << 3 | 1 << 4 | 1 << 15)):
        machine.write(registers + offset, 4, value)
    return sender


def interrupt_of_the_receiver_may_reset_the_sender():
    # An e1000e interrupts as soon as it receives: while the sender still sends. The interrupt is a write to
    # the sender's configuration space, or to that of the port above it.
    for what, target, data in (
            ("function", lambda sender: sender.config + sender.capability(pci.CAP_EXPRESS) + pci.DEVCTL, pci.DEVCTL_FLR),
            ("bus", lambda sender: pci.Function(sender.machine, 0, 2 << 3).config + 0x3c, 1 << 22)):
        sender = _with_e1000e(target, data)
        machine = sender.machine
        sender.set_reg(ferrite.SCRATCH, 1)
        sender.send(_frame(100))
        machine.until(lambda: sender.get(pci.COMMAND, 2) == 0, f"reset of the {what}")
        # Its one interrupt is enough.
        pci.Function(machine, pci.BUS + 1, 0).set(pci.COMMAND, 0, 2)
        pci.Function(machine, 0, 2 << 3).set(0x3c, 0)
        sender = ferrite.start(machine)
        sender.ready()
        equal(sender.reg(ferrite.SCRATCH), 0, f"Scratch after the reset of the {what}")
        equal(sender.reg(ferrite.ADMIN_STATUS), 0, "AdminStatus")
        sender.start_admin()
        sender.echo(1)
        machine.kill()


def answer_from_within_the_send_is_received():
    # The user-mode network answers ARP requests before the call that hands it the request returns.
    machine = Machine("-netdev", "user,id=net", device="ferrite,bus=rp0,mac=52:54:00:fe:00:01,netdev=net")
    pf = ferrite.start(machine)
    pf.start_admin()
    pf.create_queue(ferrite.TX)
    pf.create_queue(ferrite.RX)
    pf.open_port()
    buffer = pf.give_buffer(2048)
    arp = struct.pack(">HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, MAC, bytes([10, 0, 2, 15]), bytes(6), bytes([10, 0, 2, 2]))
    pf.send((BROADCAST + MAC + b"\x08\x06" + arp).ljust(60, b"\0"))
    machine.until(lambda: pf.completed(ferrite.RX) == 1, "ARP reply")
    reply = machine.load(buffer, 42)
    equal((reply[:6], reply[12:14], reply[20:22], reply[28:32]),
          (MAC, b"\x08\x06", b"\0\2", bytes([10, 0, 2, 2])), "ARP reply")


def network_is_told_of():
    _, pf = _connected()
    true("model=ferrite,macaddr=52:54:00:fe:00:01" in pf.machine.hmp("info network"), "info network names the device")
