#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Packets between two DPUs whose uplinks are cabled together, from one network namespace to another."""

from ferrite import Pair, ip, ksft_eq, ksft_ge, ksft_gt, need_dpus, run

# Counters that must not move while all is well.
BAD = ("tx_bad_descriptor", "tx_dma_fault", "tx_not_permitted", "rx_dma_fault", "rx_too_long", "rx_bad_checksum")


def pair(mtu=None):
    left, right = need_dpus(2)
    return Pair(left.wait_netdev(), right.wait_netdev(), mtu)


def nothing_went_wrong(made, before):
    """Holds the counters of both sides against what they were."""
    for side, old in zip((made.left, made.right), before):
        new = side.stats()
        for name, value in new.items():
            if any(bad in name for bad in BAD):
                ksft_eq(value, old[name], f"{side}: {name}")


def both_stats(made):
    return [made.left.stats(), made.right.stats()]


def ping_loses_nothing():
    made = pair()
    before = both_stats(made)
    for address in (made.right.ipv4, made.right.ipv6):
        made.left.ping(address, count=50)
    nothing_went_wrong(made, before)


def every_size_of_packet_passes():
    made = pair()
    for size in (0, 1, 17, 18, 63, 64, 65, 255, 256, 257, 1023, 1024, 1471, 1472):
        made.left.ping(made.right.ipv4, count=2, size=size, options="-M do")
    # Fragments of all sizes.
    made.left.ping(made.right.ipv4, count=2, size=20000)


def jumbo_frames_pass():
    made = pair(mtu=9600)
    before = both_stats(made)
    for size in (1473, 2048, 4096, 8972, 9572):
        made.left.ping(made.right.ipv4, count=3, size=size, options="-M do")
    made.left.ping(made.right.ipv6, count=3, size=9552, options="-M do")
    nothing_went_wrong(made, before)


def a_jumbo_tcp_stream_has_no_error():
    made = pair(mtu=9000)
    before = both_stats(made)
    report = made.iperf(seconds=3)
    ksft_gt(report["end"]["sum_received"]["bytes"], 1_000_000)
    nothing_went_wrong(made, before)


def tcp_runs_for_ten_seconds_without_error():
    made = pair()
    before = both_stats(made)
    report = made.iperf(seconds=10)
    ksft_gt(report["end"]["sum_received"]["bytes"], 10_000_000)
    ksft_ge(report["end"]["sum_sent"]["seconds"], 9.5)
    nothing_went_wrong(made, before)


def tcp_runs_in_both_directions_on_several_streams():
    made = pair()
    before = both_stats(made)
    with made.stream():
        for reverse in (False, True):
            report = made.iperf("--parallel 4", seconds=2, reverse=reverse)
            ksft_gt(report["end"]["sum_received"]["bytes"], 1_000_000)
    nothing_went_wrong(made, before)


def small_udp_packets_pass():
    made = pair()
    before = both_stats(made)
    report = made.iperf("--udp --length 18 --bitrate 100K", seconds=3)
    ksft_gt(report["end"]["sum"]["packets"], 1000)
    # On a busy host the server may come late to its socket, which then is full: the stack counts that, and so do we.
    ksft_eq(report["end"]["sum"]["lost_packets"], made.right.counter("UdpRcvbufErrors"))
    nothing_went_wrong(made, before)


def counters_of_device_and_stack_agree():
    made = pair()
    before = [side.link()["stats64"] for side in (made.left, made.right)]
    device = both_stats(made)
    made.left.ping(made.right.ipv4, count=100)
    after = [side.link()["stats64"] for side in (made.left, made.right)]
    for direction in ("tx", "rx"):
        for index in (0, 1):
            moved = after[index][direction]["packets"] - before[index][direction]["packets"]
            ksft_ge(moved, 100, f"side {index}: {direction}")
    now = both_stats(made)
    for index, old in enumerate(device):
        names = [name for name in old if name.endswith("tx_packets")]
        ksft_ge(max(now[index][name] - old[name] for name in names), 100)


def traffic_goes_on_after_down_and_up():
    made = pair()
    for side in (made.left, made.right, made.left):
        side.down()
        side.up()
        ip(f"-6 address replace {side.ipv6}/64 dev {side.netdev} nodad", ns=side.ns)
        made.left.ping(made.right.ipv4, count=5)


def up_and_down_under_traffic():
    made = pair()
    with made.stream():
        for _ in range(10):
            made.right.down()
            made.right.up()
        for _ in range(5):
            made.left.down()
            made.left.up()
    made.left.ping(made.right.ipv4, count=5)


def mtu_changes_under_traffic():
    made = pair()
    with made.stream():
        for mtu in (9000, 1500, 4000, 1500):
            for side in (made.left, made.right):
                ip(f"link set {side.netdev} mtu {mtu}", ns=side.ns)
                side.wait_up()
    made.left.ping(made.right.ipv4, count=5)


if __name__ == "__main__":
    run(ping_loses_nothing, every_size_of_packet_passes, jumbo_frames_pass, a_jumbo_tcp_stream_has_no_error,
        tcp_runs_for_ten_seconds_without_error, tcp_runs_in_both_directions_on_several_streams,
        small_udp_packets_pass, counters_of_device_and_stack_agree, traffic_goes_on_after_down_and_up,
        up_and_down_under_traffic, mtu_changes_under_traffic)
