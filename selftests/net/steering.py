#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Filters and contexts of receive steering: what is dropped, and what stays when the device does not.

That packets go to the right queue is what the kernel's own tests are about: rss_ctx, ntuple, toeplitz.
"""

import json
import re

from ferrite import Pair, cmd, ksft_eq, ksft_in, need_dpus, run


def pair():
    """Two PFs that reach each other, the left one with two queues at least."""
    dpus = need_dpus(2)
    both = Pair(dpus[0].wait_netdev(), dpus[1].wait_netdev())
    both.left.ethtool(f"-L {both.left.netdev} combined 2", fail=False)
    both.left.wait_up()
    return both


def number(output):
    """Returns the number at the end of what ethtool says."""
    return int(output.stdout.split()[-1])


def table(side, context=0):
    """Returns the indirection table of a context."""
    shown = side.ethtool(f"--json -x {side.netdev} context {context}").stdout
    return json.loads(shown)[0]["rss-indirection-table"]


def filters(side):
    """Returns the locations of the filters."""
    return [int(at) for at in re.findall(r"Filter: (\d+)", side.ethtool(f"-n {side.netdev}").stdout)]


def a_dropped_flow_comes_no_more_and_is_counted():
    both = pair()
    left, right = both.left, both.right
    rule = number(left.ethtool(f"-N {left.netdev} flow-type ip4 l4proto 1 action -1"))
    before = left.stats()["port_rx_filtered"]
    lost = cmd(f"ping -n -q -c 3 -i 0.02 -W 1 {right.ipv4}", ns=left.ns, fail=False, expect_fail=True)
    ksft_in("100% packet loss", lost.stdout)
    ksft_eq(left.stats()["port_rx_filtered"] - before, 3)
    # All else comes.
    left.ping(right.ipv6, count=3)
    left.ethtool(f"-N {left.netdev} delete {rule}")
    left.ping(right.ipv4, count=3)


def contexts_and_filters_stay_when_the_port_goes_down_and_rings_change():
    both = pair()
    left = both.left
    context = number(left.ethtool(f"-X {left.netdev} context new start 1 equal 1"))
    number(left.ethtool(f"-N {left.netdev} flow-type ip4 l4proto 1 context {context}"))
    left.ethtool(f"-N {left.netdev} flow-type udp4 dst-port 9 action -1 loc 7")
    left.ethtool(f"-G {left.netdev} rx 128 tx 128")
    left.down()
    left.up()
    ksft_eq(set(table(left, context)), {1})
    ksft_eq(filters(left), [0, 7])
    before = left.stats()["q1_rx_packets"]
    left.ping(both.right.ipv4, count=10)
    ksft_eq(left.stats()["q1_rx_packets"] - before >= 10, True, "replies come in queue 1")
    for location in (0, 7):
        left.ethtool(f"-N {left.netdev} delete {location}")
    left.ethtool(f"-X {left.netdev} context {context} delete")


def what_is_in_use_is_not_taken_away():
    both = pair()
    left = both.left
    context = number(left.ethtool(f"-X {left.netdev} context new"))
    rule = number(left.ethtool(f"-N {left.netdev} flow-type tcp4 dst-port 80 context {context}"))
    left.ethtool(f"-N {left.netdev} flow-type tcp4 dst-port 81 action 1 loc 9")
    for refused in (f"-X {left.netdev} context {context} delete", f"-L {left.netdev} combined 1",
                    f"-N {left.netdev} flow-type tcp4 dst-port 80 action 2",
                    f"-N {left.netdev} flow-type tcp4 dst-port 80 context {context + 1}",
                    f"-N {left.netdev} delete 200"):
        done = cmd(f"ethtool {refused}", ns=left.ns, fail=False, expect_fail=True)
        ksft_eq(done.ret != 0, True, refused)
    for location in (rule, 9):
        left.ethtool(f"-N {left.netdev} delete {location}")
    left.ethtool(f"-X {left.netdev} context {context} delete")
    ksft_eq(filters(left), [])


if __name__ == "__main__":
    run(a_dropped_flow_comes_no_more_and_is_counted,
        contexts_and_filters_stay_when_the_port_goes_down_and_rings_change, what_is_in_use_is_not_taken_away)
