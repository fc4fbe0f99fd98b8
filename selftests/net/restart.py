#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Receive queues that are made anew one by one, as they are when their memory is to be that of a process (devmem).

What comes into such memory is what the kernel's own test devmem is about; this one is about the queues.
"""

import fcntl
import os
import socket
import struct

from ferrite import Pair, cmd, defer, ksft_eq, ksft_ge, ksft_gt, need_dpus, run, wait_for
from net.lib.py import NetdevFamily, NetNSEnter, NlError, KsftFailEx

# Of a memfd: F_ADD_SEALS, F_SEAL_SHRINK. Of /dev/udmabuf: UDMABUF_CREATE.
ADD_SEALS, SEAL_SHRINK, CREATE = 1033, 2, 0x40187542
SIZE = 8 << 20


def buffer():
    """Returns a DMA buffer, of ordinary memory."""
    memory = os.memfd_create("restart", os.MFD_ALLOW_SEALING)
    defer(os.close, memory)
    os.ftruncate(memory, SIZE)
    fcntl.fcntl(memory, ADD_SEALS, SEAL_SHRINK)
    with open("/dev/udmabuf", "rb") as device:
        made = fcntl.ioctl(device, CREATE, bytearray(struct.pack("IIQQ", memory, 0, 0, SIZE)))
    defer(os.close, made)
    return made


class Memory:
    """Memory that a receive queue is given for as long as this is there."""

    def __init__(self, side, queue):
        self.side = side
        self.queue = queue
        self.netlink = None

    def __enter__(self):
        with NetNSEnter(self.side.ns):
            self.netlink = NetdevFamily()
            index = socket.if_nametoindex(self.side.netdev)
            self.netlink.bind_rx({"ifindex": index, "fd": buffer(), "queues": [{"type": "rx", "id": self.queue}]})
        return self

    def __exit__(self, *error):
        # The queue has memory of its own again when the socket is closed.
        self.netlink.close()


def pair():
    """Two devices, of which the right one has two queues and splits headers from data."""
    both = Pair(*(dpu.wait_netdev() for dpu in need_dpus(2)))
    side = both.right
    defer(cmd, f"ethtool -G {side.netdev} tcp-data-split off", ns=side.ns)
    defer(cmd, f"ethtool -X {side.netdev} default", ns=side.ns)
    side.ethtool(f"-G {side.netdev} tcp-data-split on")
    side.wait_up()
    return both


def packets(side, queue):
    """How many packets a receive queue has received."""
    return side.stats()[f"q{queue}_rx_packets"]


def others_go_on_while_a_queue_is_made_anew():
    both = pair()
    right = both.right
    right.ethtool(f"-X {right.netdev} equal 1")
    with both.stream():
        for _ in range(10):
            before = packets(right, 0)
            with Memory(right, 1):
                wait_for(lambda: packets(right, 0) > before + 50, "packets in the other queue")  # pylint: disable=W0640
    both.left.ping(right.ipv4)


def a_queue_in_use_is_made_anew_and_keeps_its_counters():
    both = pair()
    right = both.right
    # Pings take queue 0 as well: what is not TCP comes to the memory of a process with its first bytes only.
    right.ethtool(f"-X {right.netdev} equal 1")
    both.left.ping(right.ipv4, count=10)
    for _ in range(3):
        before = packets(right, 0)
        with Memory(right, 0):
            ksft_ge(packets(right, 0), before)
            both.left.ping(right.ipv4, count=10)
            ksft_gt(packets(right, 0), before)
        both.left.ping(right.ipv4, count=10)
        ksft_ge(packets(right, 0), before + 20)
    report = both.iperf(seconds=1)
    ksft_ge(report["end"]["sum_received"]["bytes"], 100_000)


def memory_is_given_while_the_device_is_down():
    both = pair()
    right = both.right
    right.down()
    with Memory(right, 1):
        right.up()
        both.left.ping(right.ipv4)
        right.down()
    right.up()
    both.left.ping(right.ipv4)


def without_split_headers_it_is_refused():
    both = pair()
    right = both.right
    right.ethtool(f"-G {right.netdev} tcp-data-split off")
    try:
        with Memory(right, 1):
            pass
    except NlError as refused:
        ksft_eq("tcp-data-split" in str(refused), True, refused)
    else:
        raise KsftFailEx("memory is taken that headers would be in")


def a_device_goes_with_memory_of_others():
    left, right = need_dpus(2)
    defer(right.restore)
    both = Pair(left.wait_netdev(), right.wait_netdev())
    both.right.ethtool(f"-G {both.right.netdev} tcp-data-split on")
    with Memory(both.right, 0):
        right.unbind()


if __name__ == "__main__":
    run(others_go_on_while_a_queue_is_made_anew, a_queue_in_use_is_made_anew_and_keeps_its_counters,
        memory_is_given_while_the_device_is_down, without_split_headers_it_is_refused,
        a_device_goes_with_memory_of_others)
