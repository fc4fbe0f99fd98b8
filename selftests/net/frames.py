#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Frames are counted by kind and length, on both ends of the cable, as the standards want."""

import json
import os
import socket

from ferrite import Pair, defer, ksft_eq, ksft_ge, need_dpus, run, wait_for

COUNT = 40
CHECKSUM = 4


def counters(side, group):
    """Returns the counters of a group of `ethtool -S`."""
    return json.loads(side.ethtool(f"--json -S {side.netdev} --groups {group}").stdout)[0][group]


def histogram(side, direction):
    """Returns frames by the shortest length of their class."""
    return {entry["low"]: entry["val"] for entry in counters(side, "rmon")[f"{direction}-pktsNtoM"]}


def packet_socket(side):
    """Opens a packet socket in the namespace of the side."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{side.ns}", os.O_RDONLY)
    os.setns(there, os.CLONE_NEWNET)
    try:
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sender.bind((side.netdev, 0))
    finally:
        os.setns(home, os.CLONE_NEWNET)
        os.close(there)
        os.close(home)
    defer(sender.close)
    return sender


def frame(side, destination, length, ethertype=b"\x88\xb5"):
    """Returns a frame of `length` bytes, checksum included."""
    source = bytes.fromhex(side.link()["address"].replace(":", ""))
    return (destination + source + ethertype).ljust(length - CHECKSUM, b"\xa5")


def each_frame_counts_in_its_class_on_both_sides():
    pair = Pair(*(dpu.wait_netdev() for dpu in need_dpus(2)))
    sender = packet_socket(pair.left)
    classes = list(histogram(pair.left, "tx"))
    ksft_eq(classes, [64, 65, 128, 256, 512, 1024, 1519])
    # The last class is longer than the MTU.
    for length in classes[:-1]:
        before = histogram(pair.left, "tx")[length], histogram(pair.right, "rx")[length]
        for _ in range(COUNT):
            sender.send(frame(pair.left, b"\xff" * 6, length))
        wait_for(lambda: histogram(pair.right, "rx")[length] - before[1] >= COUNT, f"frames of {length} bytes")
        ksft_ge(histogram(pair.left, "tx")[length] - before[0], COUNT, f"{length} bytes sent")


def kinds_of_frames_are_told_apart():
    pair = Pair(*(dpu.wait_netdev() for dpu in need_dpus(2)))
    sender = packet_socket(pair.left)
    octets = counters(pair.left, "eth-mac")["OctetsTransmittedOK"]
    for name, group, destination, ethertype in (
            ("BroadcastFrames{}OK", "eth-mac", b"\xff" * 6, b"\x88\xb5"),
            ("MulticastFrames{}OK", "eth-mac", b"\x01\x00\x5e\x00\x00\x01", b"\x88\xb5"),
            ("MACControlFrames{}", "eth-ctrl", b"\xff" * 6, b"\x88\x08")):
        words = ("Transmitted", "Received") if group == "eth-ctrl" else ("Xmitted", "Received")
        sent, received = (name.format(word) for word in words)
        before = counters(pair.left, group)[sent], counters(pair.right, group)[received]
        for _ in range(COUNT):
            sender.send(frame(pair.left, destination, 200, ethertype))
        wait_for(lambda: counters(pair.right, group)[received] - before[1] >= COUNT, f"{received} to grow")
        ksft_ge(counters(pair.left, group)[sent] - before[0], COUNT, sent)
    ksft_ge(counters(pair.left, "eth-mac")["OctetsTransmittedOK"] - octets, 3 * COUNT * 200)


if __name__ == "__main__":
    run(each_frame_counts_in_its_class_on_both_sides, kinds_of_frames_are_told_apart)
