#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Moderation of interrupts that follows the traffic."""

from ferrite import Pair, defer, ksft_eq, ksft_gt, ksft_in, need_dpus, run


def adapted(side, direction):
    """Returns how often moderation was changed."""
    return sum(value for name, value in side.stats().items() if name.endswith(f"_{direction}_adapted"))


def shown(side):
    """Returns what ethtool says of moderation."""
    return side.ethtool(f"-c {side.netdev}").stdout


def moderation_follows_traffic_when_it_is_told_to():
    pair = Pair(*(dpu.wait_netdev() for dpu in need_dpus(2)))
    left = pair.left
    ksft_in("Adaptive RX: off  TX: off", shown(left))
    pair.iperf(seconds=1)
    ksft_eq((adapted(left, "rx"), adapted(left, "tx")), (0, 0))
    defer(left.ethtool, f"-C {left.netdev} adaptive-rx off adaptive-tx off")
    left.ethtool(f"-C {left.netdev} adaptive-rx on adaptive-tx on")
    # Acknowledgements are traffic, too.
    pair.iperf(seconds=2)
    before = adapted(left, "rx"), adapted(left, "tx")
    ksft_gt(before[0], 0, "what is received")
    ksft_gt(before[1], 0, "what is sent")
    # New queues go on.
    left.ethtool(f"-G {left.netdev} rx 256 tx 256")
    left.wait_up()
    ksft_in("Adaptive RX: on  TX: on", shown(left))
    pair.iperf(seconds=2)
    ksft_gt(adapted(left, "rx"), before[0], "what is received with new rings")
    left.ethtool(f"-C {left.netdev} adaptive-rx off adaptive-tx off")
    before = adapted(left, "rx"), adapted(left, "tx")
    pair.iperf(seconds=1)
    ksft_eq((adapted(left, "rx"), adapted(left, "tx")), before)


if __name__ == "__main__":
    run(moderation_follows_traffic_when_it_is_told_to)
