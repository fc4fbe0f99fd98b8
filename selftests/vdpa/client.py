#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""vDPA devices of SFs, driven from user space through vhost_vdpa: what the ioctls say, and rings written by hand."""

import errno
import json
import socket
import struct

from ferrite import KsftNamedVariant, bridge, cmd, defer, ip, ksft_eq, ksft_true, ksft_variants, log, make_sf, run
from ferrite.vdpa import MAC, add, management, node_of, vdpa
from ferrite.vhost import (AREA, CTRL_MAC_ADDR, CTRL_VQ, EVENT_IDX, IOVA, MQ, NEEDED, NEEDS_RESET, NEXT, PACKED, PAGE, SIZE,
                           WRITE, Client, PackedRing, SplitRing)
from ferrite.wait import PATIENCE, wait_for

KIND = 0x88B5
OTHER = "02:00:00:00:99:08"


def binary(mac):
    """Returns an address as it is in a packet."""
    return bytes.fromhex(mac.replace(":", ""))


def frame(number, destination=OTHER, source=MAC):
    """Returns a packet that is known by its number."""
    return binary(destination) + binary(source) + struct.pack("!HI", KIND, number).ljust(100, b"x")


class Peer:
    """The network device of another SF, from which and to which packets are passed one by one."""

    def __init__(self, pci, port):
        other, sf = make_sf(pci, 8, f"hw_addr {OTHER}")
        self.representors = (port.wait_netdev(), other.wait_netdev())
        self.reached = False
        bridge(*self.representors)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(KIND))
        defer(self.socket.close)
        self.socket.settimeout(PATIENCE)
        cmd(f"sysctl -qw net.ipv6.conf.{sf.netdev}.disable_ipv6=1")
        ip(f"link set {sf.netdev} up")
        self.socket.bind((sf.netdev, KIND))

    def wait_reached(self):
        """Waits, once, until the bridge between both forwards: it does not before the functions' links are up."""
        for netdev in self.representors if not self.reached else ():
            wait_for(lambda port=netdev: json.loads(cmd(f"bridge -j link show dev {port}").stdout)[0]["state"] == "forwarding",
                     f"the bridge to forward for {netdev}")
        self.reached = True

    def receive(self):
        """Waits for the next packet; returns its number."""
        return struct.unpack("!I", self.socket.recv(2048)[14:18])[0]

    def send(self, number):
        """Sends a packet."""
        self.socket.send(frame(number, MAC, OTHER))


def user(words="max_vqp 1"):
    """Makes a device for user space; returns it opened, and who answers on the other side."""
    pci, port, sf = management()
    peer = Peer(pci, port)
    add(sf, words, driver="vhost_vdpa")
    return Client(node_of("v0")), peer


def pair(client, kind=SplitRing, first=0):
    """Makes the two queues of a pair ready."""
    receive, transmit = kind(client, first).ready(), kind(client, first + 1).ready()
    receive.post(16)
    return receive, transmit


def expect(receive, number):
    """Takes packets until the one of this number; what the stack and the bridge say by themselves is passed over."""
    while True:
        packet = receive.receive()
        if packet[12:14] == struct.pack("!H", KIND):
            ksft_eq(struct.unpack("!I", packet[14:18])[0], number)
            return


def exchange(client, peer, receive, transmit, number):
    """Passes a packet each way."""
    peer.wait_reached()
    transmit.send(frame(number))
    ksft_eq(peer.receive(), number)
    peer.send(number + 1)
    expect(receive, number + 1)
    ksft_eq(client.status() & NEEDS_RESET, 0)


@ksft_variants([
    KsftNamedVariant("split", SplitRing, 1 << EVENT_IDX),
    KsftNamedVariant("packed", PackedRing, 1 << PACKED),
])
def packets_pass_and_go_on_after_a_reset(kind, features):
    client, peer = user()
    client.map()
    client.negotiate(features)
    receive, transmit = pair(client, kind)
    client.start()
    # More than the rings have entries, so that they go round.
    for number in range(0, 2 * SIZE + 10, 2):
        exchange(client, peer, receive, transmit, number)
    client.suspend()
    # What is made available now waits.
    transmit.put([(IOVA + transmit.buffer(1), transmit.fill(1, frame(1000)), 0)])
    transmit.kick()
    bases = receive.base(), transmit.base()
    ksft_true(transmit.take() is None)
    client.negotiate(features)
    for ring, base in zip((receive, transmit), bases):
        ring.ready(base)
    client.start()
    ksft_eq(peer.receive(), 1000)
    transmit.wait_used()
    exchange(client, peer, receive, transmit, 2000)


def suspended_device_goes_on_when_resumed():
    client, peer = user()
    client.map()
    client.negotiate()
    receive, transmit = pair(client)
    client.start()
    exchange(client, peer, receive, transmit, 1)
    client.suspend()
    transmit.put([(IOVA + transmit.buffer(1), transmit.fill(1, frame(3)), 0)])
    transmit.kick()
    before = transmit.base()
    client.resume()
    transmit.kick()
    ksft_eq(peer.receive(), 3)
    transmit.wait_used()
    ksft_eq(transmit.base(), before + 1)
    exchange(client, peer, receive, transmit, 4)


def control_queue_has_memory_of_its_own():
    client, _ = user()
    client.negotiate(1 << CTRL_VQ | 1 << CTRL_MAC_ADDR)
    ksft_eq(client.group(0), (0, 2))
    ksft_eq(client.group(1), (0, 2))
    ksft_eq(client.group(2), (1, 1))
    control = SplitRing(client, 2)
    client.set_space(1, 1)
    client.map(control.offset, 4 * PAGE, space=1)
    control.ready()
    client.start()
    answers = []
    for mac in ("02:00:00:00:99:05", "01:00:00:00:99:05"):
        at = control.buffer(0)
        client.memory[at:at + 9] = b"\1\1" + binary(mac) + b"\7"
        control.put([(IOVA + at, 8, 0), (IOVA + at + 8, 1, WRITE)])
        control.kick()
        control.wait_used()
        answers.append(client.memory[at + 8])
    # No function has a multicast address.
    ksft_eq(answers, [0, 1])
    ksft_eq(client.config(0, "6s")[0], binary("02:00:00:00:99:05"))
    # Nothing is mapped there for the other queues.
    log.expect(r"(?i)virt(io )?queue 2 stopped: DMA_FAULT")
    client.unmap(control.offset, 4 * PAGE, space=1)
    control.put([(IOVA + control.buffer(0), 8, 0), (IOVA + control.buffer(0) + 8, 1, WRITE)])
    control.kick()
    client.wait_broken()


def packet_outside_of_what_is_mapped_is_not_sent():
    client, peer = user()
    client.map()
    client.negotiate()
    receive, transmit = pair(client)
    client.start()
    for address in (IOVA - PAGE, IOVA + len(client.memory), 0):
        transmit.put([(address, 100, 0)])
        transmit.kick()
        transmit.wait_used()
    ksft_eq(vdpa("dev vstats show v0 qidx 1")["vstats"]["v0"]["errors"], 3)
    exchange(client, peer, receive, transmit, 1)


# Each writes to a transmit queue what no driver may.

def _loop(ring):
    ring.describe(0, IOVA + ring.buffer(0), 100, NEXT, 1)
    ring.describe(1, IOVA + ring.buffer(0), 100, NEXT, 0)
    ring.publish(0)


def _chain_that_leads_outside(ring):
    ring.describe(0, IOVA + ring.buffer(0), 100, NEXT, SIZE)
    ring.publish(0)


def _head_outside(ring):
    ring.publish(0xFFFF)


def _index_too_far_ahead(ring):
    ring.publish(0, SIZE + 1)


def _index_behind(ring):
    ring.publish(0, -1)


def _buffer_to_write(ring):
    ring.describe(0, IOVA + ring.buffer(0), 100, WRITE)
    ring.publish(0)


def _no_room_for_a_header(ring):
    ring.describe(0, IOVA + ring.buffer(0), 5, 0)
    ring.publish(0)


def _table_that_was_not_agreed_on(ring):
    ring.describe(0, IOVA + ring.buffer(0), 32, 4)
    ring.publish(0)


def _end_of_addresses(ring):
    ring.describe(0, 0xFFFF_FFFF_FFFF_FFF0, 100, 0)
    ring.publish(0)


def _ring_that_is_not_mapped_any_more(ring):
    ring.client.unmap(ring.offset, PAGE)
    ring.publish(0)


BAD = [_loop, _chain_that_leads_outside, _head_outside, _index_too_far_ahead, _index_behind, _buffer_to_write,
       _no_room_for_a_header, _table_that_was_not_agreed_on, _end_of_addresses, _ring_that_is_not_mapped_any_more]


def bad_ring_breaks_only_its_own_queue():
    log.expect(r"(?i)virt(io )?queue 3 stopped: BAD_CHAIN")
    log.expect(r"(?i)virt(io )?queue 3 stopped: BAD_TAIL")
    log.expect(r"(?i)virt(io )?queue 3 stopped: DMA_FAULT")
    client, peer = user("max_vqp 2")
    for number, bad in enumerate(BAD):
        client.negotiate(1 << MQ | 1 << CTRL_VQ)
        if number == 0:
            # In pieces, one of which is taken away in the end.
            ring = 3 * AREA
            for offset, size in ((0, ring), (ring, PAGE), (ring + PAGE, AREA - PAGE)):
                client.map(offset, size)
        receive, transmit = pair(client)
        victim = SplitRing(client, 3).ready()
        client.start()
        exchange(client, peer, receive, transmit, 4 * number)
        bad(victim)
        victim.kick()
        client.wait_broken()
        transmit.send(frame(4 * number + 2))
        ksft_eq(peer.receive(), 4 * number + 2)
        peer.send(4 * number + 3)
        expect(receive, 4 * number + 3)
        ksft_eq(client.status() & NEEDS_RESET, NEEDS_RESET, bad.__name__)
        ksft_true(victim.take() is None)


def what_cannot_be_is_refused():
    client, _ = user()
    ksft_eq(client.offered() & NEEDED, NEEDED)
    client.negotiate()
    client.refused(errno.EBUSY, client.put, "<Q", 0x00, NEEDED)
    client.refused(errno.EINVAL, client.put, "<II", 0x10, 0, 8192)
    client.refused(errno.EINVAL, client.set_status, 1)
    client.refused(errno.ENOBUFS, client.put, "<II", 0x10, 99, SIZE)
    client.set_status(0)
    client.refused(errno.EINVAL, client.put, "<Q", 0x00, NEEDED | 1 << 62)
    client.refused(errno.EINVAL, client.set_space, 0, 99)
    client.map(0, PAGE)
    client.refused(errno.EFAULT, client.map, 0, PAGE)
    client.refused(errno.EBUSY, Client, node_of("v0"))


if __name__ == "__main__":
    run(packets_pass_and_go_on_after_a_reset, suspended_device_goes_on_when_resumed, control_queue_has_memory_of_its_own,
        packet_outside_of_what_is_mapped_is_not_sent, bad_ring_breaks_only_its_own_queue, what_cannot_be_is_refused)
