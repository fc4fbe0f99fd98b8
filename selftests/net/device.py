#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The network device as an administrator handles it: open and stop, addresses, MTU, ethtool."""

import re

from ferrite import cmd, defer, ethtool, ip, ksft_eq, ksft_ge, ksft_in, ksft_true, log, need_dpus, run, stats, wait_for


def opened(netdev):
    """Opens a device for the length of the test."""
    defer(ip, f"link set {netdev} down")
    ip(f"link set {netdev} up")
    wait_for(lambda: ip(f"link show dev {netdev}", json=True)[0]["operstate"] == "UP", f"{netdev} to be up")


def up_and_down_fifty_times():
    netdev = need_dpus(1)[0].wait_netdev()
    defer(ip, f"link set {netdev} down")
    for _ in range(50):
        ip(f"link set {netdev} up")
        ip(f"link set {netdev} down")
    opened(netdev)


def a_new_mac_address_holds_through_down_and_up():
    netdev = need_dpus(1)[0].wait_netdev()
    old = ip(f"link show dev {netdev}", json=True)[0]["address"]
    defer(ip, f"link set {netdev} address {old}")
    for address in ("02:00:00:00:00:77", "0a:11:22:33:44:55"):
        ip(f"link set {netdev} address {address}")
        ksft_eq(ip(f"link show dev {netdev}", json=True)[0]["address"], address)
        opened(netdev)
        ksft_eq(ip(f"link show dev {netdev}", json=True)[0]["address"], address)


def a_mac_address_can_change_while_the_device_is_up():
    netdev = need_dpus(1)[0].wait_netdev()
    old = ip(f"link show dev {netdev}", json=True)[0]["address"]
    opened(netdev)
    defer(ip, f"link set {netdev} address {old}")
    done = cmd(f"ip link set {netdev} address 02:00:00:00:00:78", fail=False)
    ksft_eq(done.ret, 0, done.stderr)
    ksft_eq(ip(f"link show dev {netdev}", json=True)[0]["address"], "02:00:00:00:00:78")


def a_multicast_mac_address_is_refused():
    netdev = need_dpus(1)[0].wait_netdev()
    old = ip(f"link show dev {netdev}", json=True)[0]["address"]
    cmd(f"ip link set {netdev} address 01:00:5e:00:00:01", fail=False, expect_fail=True)
    ksft_eq(ip(f"link show dev {netdev}", json=True)[0]["address"], old)


def mtu_has_the_range_of_the_contract():
    netdev = need_dpus(1)[0].wait_netdev()
    old = ip(f"link show dev {netdev}", json=True)[0]["mtu"]
    defer(ip, f"link set {netdev} mtu {old}")
    for mtu in (68, 1500, 9000, 9600):
        ip(f"link set {netdev} mtu {mtu}")
        ksft_eq(ip(f"link show dev {netdev}", json=True)[0]["mtu"], mtu)
    for mtu in (67, 9601):
        cmd(f"ip link set {netdev} mtu {mtu}", fail=False, expect_fail=True)
        ksft_eq(ip(f"link show dev {netdev}", json=True)[0]["mtu"], 9600)


def mtu_can_change_while_the_device_is_up():
    netdev = need_dpus(1)[0].wait_netdev()
    opened(netdev)
    defer(ip, f"link set {netdev} mtu 1500")
    for mtu in (9000, 1280, 1500):
        ip(f"link set {netdev} mtu {mtu}")
        ksft_eq(ip(f"link show dev {netdev}", json=True)[0]["mtu"], mtu)


def ethtool_shows_the_link():
    netdev = need_dpus(1)[0].wait_netdev()
    opened(netdev)
    shown = ethtool(netdev).stdout
    ksft_true(re.search(r"Link detected: yes", shown), shown)
    ksft_true(re.search(r"Speed: \d+Mb/s", shown), shown)


def ethtool_shows_the_counters_of_the_contract():
    netdev = need_dpus(1)[0].wait_netdev()
    counters = stats(netdev)
    for name in ("tx_packets", "tx_bytes", "tx_bad_descriptor", "tx_dma_fault", "rx_packets", "rx_bytes",
                 "rx_no_buffer", "rx_bad_checksum"):
        ksft_true(any(name in shown for shown in counters), f"{name} in {sorted(counters)}")


def ethtool_shows_channels_and_rings():
    netdev = need_dpus(1)[0].wait_netdev()
    channels = ethtool(f"-l {netdev}").stdout
    ksft_in("Combined:", channels)
    counts = [int(count) for count in re.findall(r"Combined:\s+(\d+)", channels)]
    ksft_ge(counts[0], counts[1], "maximum and current")
    ksft_ge(counts[1], 1)
    rings = ethtool(f"-g {netdev}").stdout
    sizes = [int(size) for size in re.findall(r"^(?:RX|TX):\s+(\d+)", rings, re.MULTILINE)]
    ksft_eq(len(sizes), 4, rings)
    for size in sizes[2:]:
        ksft_true(size & size - 1 == 0 and size >= 16, f"ring of {size}")


def offloads_are_on():
    netdev = need_dpus(1)[0].wait_netdev()
    shown = ethtool(f"-k {netdev}").stdout
    for feature in ("rx-checksumming", "tx-checksumming", "scatter-gather"):
        ksft_true(re.search(rf"^{feature}: on", shown, re.MULTILINE), feature)


def nothing_is_said_at_all():
    # Opening and closing is no news.
    netdev = need_dpus(1)[0].wait_netdev()
    opened(netdev)
    ip(f"link set {netdev} down")
    ksft_eq(log.said(r"ferrite.*([Ee]rror|[Ff]ail)"), [])


if __name__ == "__main__":
    run(up_and_down_fifty_times, a_new_mac_address_holds_through_down_and_up,
        a_mac_address_can_change_while_the_device_is_up, a_multicast_mac_address_is_refused,
        mtu_has_the_range_of_the_contract, mtu_can_change_while_the_device_is_up, ethtool_shows_the_link,
        ethtool_shows_the_counters_of_the_contract, ethtool_shows_channels_and_rings, offloads_are_on,
        nothing_is_said_at_all)
