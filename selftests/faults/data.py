#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A device that lies on the data path: indices, cookies and lengths that cannot be, queues that stop.

The driver trusts none of them with memory: it says what it saw, and unbinds. A fresh driver passes packets again.
"""

from ferrite import KsftNamedVariant, Pair, cmd, defer, ksft_eq, ksft_variants, log, need_dpus, run, wait_for

# Name, order, and whether a driver can know that it was lied to.
LIES = [
    ("rx_cookie_out_of_range", "rx_wrong_cookie param=0xffffffff skip=20 count=5", True),
    ("rx_cookie_of_another_buffer", "rx_wrong_cookie param=3 skip=20 count=5", False),
    ("rx_length_out_of_range", "rx_wrong_length param=0xffffffff skip=20 count=5", True),
    ("rx_length_of_nothing", "rx_wrong_length param=0 skip=20 count=5", False),
    ("rx_length_beyond_the_buffer", "rx_wrong_length param=65536 skip=20 count=1", True),
    ("tx_index_far_ahead", "tx_wrong_index param=100000 skip=20 count=1", True),
    ("tx_index_one_ahead", "tx_wrong_index param=1 skip=20 count=3", False),
    ("tx_index_behind", "tx_wrong_index param=0xffff0000 skip=20 count=3", True),
    ("cq_tail_far_ahead", "wrong_cq_tail param=100000 skip=20 count=1", True),
    ("cq_tail_three_ahead", "wrong_cq_tail param=3 skip=20 count=1", False),
    ("queue_stops", "stop_queue skip=20 count=1", True),
]


def fresh_pair():
    left, right = need_dpus(2)
    return left, Pair(left.wait_netdev(), right.wait_netdev())


@ksft_variants([KsftNamedVariant(name, order, knowable) for name, order, knowable in LIES])
def a_lie_is_survived(order, knowable):
    left, made = fresh_pair()
    defer(left.restore)
    # What the driver says depends on the lie, and on when it is told.
    (log.expect if knowable else log.allow)(r"ferrite_(net|core) ")
    # A driver that believes an index unmaps what the device has yet to read.
    log.allow_dma_faults()
    made.left.ping(made.right.ipv4)
    left.fault(order)
    # Enough packets, each way, for the lie to be told. Whether they come back is not the question.
    cmd(f"ping -q -c 300 -i 0.002 -W 1 -w 2 -s 1400 {made.right.ipv4}", ns=made.left.ns, fail=False)
    for side in (made.left, made.right):
        side.leave()
    left.unbind()
    ksft_eq(left.driver, None)
    left.bind()
    left, again = fresh_pair()
    again.left.ping(again.right.ipv4)


@ksft_variants([KsftNamedVariant(name, order) for name, order, knowable in LIES if knowable])
def a_lie_under_load_is_survived(order):
    left, made = fresh_pair()
    defer(left.restore)
    log.allow(r"ferrite_(net|core) ")
    log.allow_dma_faults()
    with made.stream():
        left.fault(order)
        cmd(f"ping -q -c 100 -i 0.002 -W 1 -w 1 {made.right.ipv4}", ns=made.left.ns, fail=False)
        left.unbind()
    for side in (made.left, made.right):
        side.leave()
    left.bind()
    left, again = fresh_pair()
    again.left.ping(again.right.ipv4)


def a_receive_queue_is_made_anew_alone():
    left, made = fresh_pair()
    defer(left.restore)
    log.expect(r"rx queue \d+: (dropped a packet|malformed completion)")
    changes = cmd(f"cat /sys/class/net/{made.left.netdev}/carrier_changes", ns=made.left.ns).stdout
    # More in a row than the driver puts up with: pings all come in one queue.
    left.fault("rx_wrong_cookie param=0xffffffff count=70")
    reach = f"ping -n -q -c 20 -i 0.002 -W 1 -w 2 {made.right.ipv4}"
    wait_for(lambda: cmd(reach, ns=made.left.ns, fail=False).ret == 0, "packets to come again")
    log.wait(r"rx queue \d+: made anew")
    made.left.ping(made.right.ipv4)
    ksft_eq(cmd(f"cat /sys/class/net/{made.left.netdev}/carrier_changes", ns=made.left.ns).stdout, changes)


if __name__ == "__main__":
    run(a_lie_is_survived, a_lie_under_load_is_survived, a_receive_queue_is_made_anew_alone)
