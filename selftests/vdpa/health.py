#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Health of virtqueues: one that the device stops is told of, and packets go on to pass."""

from ferrite import Pair, bridge, ksft_eq, ksft_in, log, make_sf, refused, run
from ferrite.health import Reporter
from ferrite.vdpa import add, management, netdev_of


def a_queue_that_stops_goes_on_from_where_it_stood():
    pci, port, sf = management()
    other, other_sf = make_sf(pci, 8)
    bridge(port.wait_netdev(), other.wait_netdev())
    add(sf)
    made = Pair(netdev_of(), other_sf.netdev)
    made.left.ping(made.right.ipv4)
    health = Reporter(sf.handle, "vdpa")
    log.expect(r"(?i)virt(io|queue).* 0 stopped: INJECTED")
    health.test()
    health.wait_recovered()
    ksft_in("stopped: true", health.told("dump show"))
    ksft_eq(health.data("diagnose")["queues"][0]["stopped"], False)
    made.left.ping(made.right.ipv4, count=20)


def nothing_is_tested_without_a_device():
    _, _, sf = management()
    health = Reporter(sf.handle, "vdpa")
    refused(f"health test {health}", "nobody drives")
    ksft_eq(health.data("diagnose")["made"], False)


if __name__ == "__main__":
    run(a_queue_that_stops_goes_on_from_where_it_stood, nothing_is_tested_without_a_device)
