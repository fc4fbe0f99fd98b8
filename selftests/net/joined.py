#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Segments that the device joined (rx-gro-hw) are what the stack takes them for."""

from ferrite import Pair, cmd, defer, ip, ksft_eq, ksft_gt, need_dpus, run

# Type of a tunnel, its options, whether what carries it is IPv6, and whether what it carries is.
TUNNELS = (
    ("ipip", "", False, False),
    ("sit", "", False, True),
    ("ip6tnl", "mode ip4ip6 encaplimit none", True, False),
    ("ip6tnl", "mode ip6ip6 encaplimit none", True, True),
)


def pair():
    left, right = need_dpus(2)
    return Pair(left.wait_netdev(), right.wait_netdev())


def join(side):
    """Has the device join segments, and the stack not."""
    for feature, state, before in (("rx-gro-hw", "on", "off"), ("gro", "off", "on")):
        side.ethtool(f"-K {side.netdev} {feature} {state}")
        defer(side.ethtool, f"-K {side.netdev} {feature} {before}")


def joined(side):
    """Returns how many segments came that were joined."""
    return sum(value for name, value in side.stats().items() if name.endswith("rx_hw_gro_wire_packets"))


def stream(made, address):
    """Sends 8 MB by TCP to an address; returns the bytes that arrived."""
    report = made.iperf(size="8M", address=address)
    return report["end"]["sum_received"]["bytes"]


def segments_of_a_stream_are_joined():
    made = pair()
    join(made.right)
    before = joined(made.right)
    arrived = stream(made, made.right.ipv4)
    ksft_gt(joined(made.right) - before, arrived // 1500 // 2)


def segments_in_tunnels_are_joined():
    made = pair()
    join(made.right)
    for kind, options, outer, inner in TUNNELS:
        addresses = ("2001:db8:9::1", "2001:db8:9::2") if inner else ("198.51.100.1", "198.51.100.2")
        for side, peer, address in ((made.left, made.right, addresses[0]), (made.right, made.left, addresses[1])):
            ends = (side.ipv6, peer.ipv6) if outer else (side.ipv4, peer.ipv4)
            ip(f"link add under type {kind} {options} local {ends[0]} remote {ends[1]} dev {side.netdev}", ns=side.ns)
            defer(cmd, f"ip -n {side.ns} link del under", fail=False)
            ip(f"address add {address}/64 dev under nodad" if inner else f"address add {address}/24 dev under", ns=side.ns)
            ip("link set under up", ns=side.ns)
        before = joined(made.right)
        arrived = stream(made, addresses[1])
        ksft_gt(joined(made.right) - before, arrived // 1500 // 2, f"{kind} {options}")
        for side in (made.left, made.right):
            ip("link del under", ns=side.ns)
    bad = {name: value for name, value in made.right.stats().items() if name.endswith("rx_bad_completion")}
    ksft_eq(sum(bad.values()), 0)


if __name__ == "__main__":
    run(segments_of_a_stream_are_joined, segments_in_tunnels_are_joined)
