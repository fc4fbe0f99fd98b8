#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Headers of received TCP segments in buffers of their own (tcp-data-split).

What users can set and see is what the kernel's own test hds is about; this one is about the packets.
"""

import json

from ferrite import Pair, cmd, defer, ksft_eq, ksft_ge, ksft_true, need_dpus, run


def pair():
    return Pair(*(dpu.wait_netdev() for dpu in need_dpus(2)))


def rings(side):
    return json.loads(side.ethtool(f"--json -g {side.netdev}").stdout)[0]


def split(side, arguments):
    side.ethtool(f"-G {side.netdev} {arguments}")
    side.wait_up()


def traffic_passes_whole_with_headers_split():
    both = pair()
    right = both.right
    defer(split, right, "tcp-data-split off hds-thresh 0")
    for threshold in (0, 1000):
        split(right, f"tcp-data-split on hds-thresh {threshold}")
        shown = rings(right)
        ksft_eq(shown["hds-thresh"], threshold)
        ksft_true(shown["tcp-data-split"] in ("on", True), shown)
        both.left.ping(right.ipv4, count=3, size=1400)
        before = right.stats()
        report = both.iperf(seconds=1)
        ksft_ge(report["end"]["sum_received"]["bytes"], 1_000_000)
        after = right.stats()
        for name in after:
            if name.endswith(("rx_bad_completion", "rx_unwritten", "rx_dropped", "port_rx_dma_fault")):
                ksft_eq(after[name], before[name], name)


def joining_gives_way_to_splitting():
    both = pair()
    right = both.right
    defer(cmd, f"ethtool -K {right.netdev} rx-gro-hw off", ns=right.ns)
    defer(split, right, "tcp-data-split off")
    right.ethtool(f"-K {right.netdev} rx-gro-hw on")
    split(right, "tcp-data-split on")
    ksft_true("rx-gro-hw: off" in right.ethtool(f"-k {right.netdev}").stdout)
    both.iperf(seconds=1)


if __name__ == "__main__":
    run(traffic_passes_whole_with_headers_split, joining_gives_way_to_splitting)
