#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Checksums are computed and checked by the device, not by the stack beside it.

A packet socket tells, for each packet, whether its checksum was left to the device (TX) and whether the device
vouched for it (RX). The bytes themselves are checked here.
"""

import os
import socket
import struct

from ferrite import KsftFailEx, Pair, defer, ksft_eq, ksft_gt, ksft_true, need_dpus, run

SOL_PACKET = 263
PACKET_AUXDATA = 8
TP_STATUS_CSUMNOTREADY = 1 << 3
TP_STATUS_CSUM_VALID = 1 << 7
PACKET_OUTGOING = 4
ETH_P_ALL = 3
ETH_P_IP = 0x0800
PORT = 4242


def pair():
    left, right = need_dpus(2)
    made = Pair(left.wait_netdev(), right.wait_netdev())
    # GRO checks checksums itself and then vouches for them in the device's name.
    set_offload(made.right, "gro", "off")
    return made


def set_offload(side, feature, state):
    side.ethtool(f"-K {side.netdev} {feature} {state}")
    defer(side.ethtool, f"-K {side.netdev} {feature} on")


def in_namespace(side, make):
    """Calls `make` in the namespace of the side; a socket stays there."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{side.ns}", os.O_RDONLY)
    os.setns(there, os.CLONE_NEWNET)
    try:
        return make()
    finally:
        os.setns(home, os.CLONE_NEWNET)
        os.close(there)
        os.close(home)


def tap(side):
    """Opens a packet socket that says what became of checksums."""
    def make():
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        sniffer.bind((side.netdev, ETH_P_ALL))
        sniffer.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        sniffer.settimeout(20)
        return sniffer
    sniffer = in_namespace(side, make)
    defer(sniffer.close)
    return sniffer


def udp_socket(side):
    return in_namespace(side, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))


def next_udp(sniffer, outgoing):
    """Returns bytes and status of the next UDP packet to PORT in this direction."""
    while True:
        try:
            data, control, _flags, address = sniffer.recvmsg(65536, 64)
        except TimeoutError as error:
            raise KsftFailEx("the packet was not seen") from error
        if (address[2] == PACKET_OUTGOING) != outgoing or address[1] != ETH_P_IP or data[23] != socket.IPPROTO_UDP:
            continue
        if struct.unpack_from("!H", data, 36)[0] != PORT:
            continue
        auxdata = next(payload for level, kind, payload in control if (level, kind) == (SOL_PACKET, PACKET_AUXDATA))
        return data, struct.unpack_from("I", auxdata)[0]


def internet_sum(data):
    """Returns the folded sum of RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def udp_sum(packet):
    """Returns the sum over pseudo header and UDP packet: 0xffff when its checksum is right."""
    length = struct.unpack_from("!H", packet, 38)[0]
    pseudo = packet[26:34] + struct.pack("!HH", socket.IPPROTO_UDP, length)
    return internet_sum(pseudo + packet[34:34 + length])


def exchange(made, payload):
    """Sends one UDP packet from left to right; returns its bytes and status on both sides."""
    taps = tap(made.left), tap(made.right)
    with udp_socket(made.left) as sender, udp_socket(made.right) as receiver:
        receiver.bind((made.right.ipv4, PORT))
        receiver.settimeout(20)
        sender.sendto(payload, (made.right.ipv4, PORT))
        ksft_eq(receiver.recv(65536), payload)
    return next_udp(taps[0], outgoing=True), next_udp(taps[1], outgoing=False)


def the_device_computes_and_checks_checksums():
    made = pair()
    # Odd and even lengths, in one descriptor and in several.
    for length in (1, 2, 101, 1400):
        (_, sent_status), (received, status) = exchange(made, b"\xa5" * length)
        ksft_true(sent_status & TP_STATUS_CSUMNOTREADY, f"{length} bytes: the stack leaves the checksum to the device")
        ksft_eq(udp_sum(received), 0xFFFF, f"{length} bytes: the checksum on the wire")
        ksft_true(status & TP_STATUS_CSUM_VALID, f"{length} bytes: the device vouches for the checksum")


def without_offload_the_stack_does_both():
    made = pair()
    set_offload(made.left, "tx", "off")
    set_offload(made.right, "rx", "off")
    (sent, sent_status), (received, status) = exchange(made, b"\x5a" * 333)
    ksft_eq(sent_status & TP_STATUS_CSUMNOTREADY, 0)
    ksft_eq(udp_sum(sent), 0xFFFF)
    ksft_eq(udp_sum(received), 0xFFFF)
    ksft_eq(status & TP_STATUS_CSUM_VALID, 0)


def a_wrong_checksum_is_delivered_without_a_voucher_and_counted():
    made = pair()
    _, (good, _) = exchange(made, b"\x11" * 64)
    bad = bytearray(good)
    bad[40] ^= 0xFF
    before = made.right.stats()
    sniffer, sender = tap(made.right), tap(made.left)
    sender.send(bytes(bad))
    received, status = next_udp(sniffer, outgoing=False)
    ksft_eq(received[40], bad[40], "nobody mended it on the way")
    ksft_eq(status & TP_STATUS_CSUM_VALID, 0)
    names = [name for name in before if "rx_bad_checksum" in name]
    after = made.right.stats()
    ksft_gt(sum(after[name] for name in names), sum(before[name] for name in names))


if __name__ == "__main__":
    run(the_device_computes_and_checks_checksums, without_offload_the_stack_does_both,
        a_wrong_checksum_is_delivered_without_a_voucher_and_counted)
