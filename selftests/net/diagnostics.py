#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What ethtool finds out about a device: its tests, its registers, its link; and a port that is turned around."""

import re

from ferrite import Pair, cmd, defer, ksft_eq, ksft_ge, ksft_in, ksft_true, need_dpus, run, wait_for

TESTS = ["Link         (on/offline)", "Registers    (on/offline)", "Admin queue  (on/offline)", "Loopback     (offline)",
         "Interrupts   (offline)"]


def pair():
    return Pair(*(dpu.wait_netdev() for dpu in need_dpus(2)))


def tested(side, mode):
    """Runs the tests; returns whether all passed, and the results by name."""
    shown = side.ethtool(f"-t {side.netdev} {mode}", fail=False).stdout
    results = dict(re.findall(r"^(.*?)\s+(\d+)$", shown, re.MULTILINE))
    ksft_eq(list(results), TESTS, shown)
    return "is PASS" in shown, results


def all_tests_pass_and_traffic_goes_on():
    both = pair()
    for mode in ("online", "offline"):
        ksft_eq(tested(both.left, mode), (True, dict.fromkeys(TESTS, "0")), mode)
        both.left.ping(both.right.ipv4, count=3)


def what_needs_an_open_device_fails_without():
    both = pair()
    defer(both.left.up)
    both.left.down()
    passed, results = tested(both.left, "offline")
    ksft_eq(passed, False)
    ksft_eq([name for name, result in results.items() if result != "0"], TESTS[3:])


def registers_are_shown_with_their_offsets():
    both = pair()
    shown = both.left.ethtool(f"-d {both.left.netdev}").stdout
    data = bytes.fromhex("".join(re.findall(r"^0x[0-9a-f]+:\s+((?:[0-9a-f]{2}\s?)+)", shown, re.MULTILINE)))
    words = [int.from_bytes(data[at:at + 4], "little") for at in range(0, len(data), 4)]
    registers = dict(zip(words[::2], words[1::2]))
    ksft_eq(registers[0x000].to_bytes(4, "little"), b"FERR", shown)
    ksft_eq(registers[0x02c], registers[0x028] ^ 0xffffffff, "ScratchNot and Scratch")
    ksft_ge(len(registers), 15)


def only_the_speed_that_there_is_can_be_set():
    both = pair()
    left = both.left
    speed = int(re.search(r"Speed: (\d+)Mb/s", left.ethtool(left.netdev).stdout)[1])
    left.ethtool(f"-s {left.netdev} speed {speed} duplex full autoneg off")
    for refused in (f"speed {speed // 2}", "duplex half", "autoneg on"):
        done = cmd(f"ethtool -s {left.netdev} {refused}", ns=left.ns, fail=False, expect_fail=True)
        ksft_true(done.ret != 0, refused)
        ksft_in("not supported", done.stderr.lower())
    both.left.ping(both.right.ipv4, count=3)


def a_port_that_is_turned_around_hears_itself():
    both = pair()
    left = both.left
    defer(left.ethtool, f"-K {left.netdev} loopback off")
    left.ethtool(f"-K {left.netdev} loopback on")
    before = left.stats()
    cmd(f"ping -n -q -c 3 -i 0.02 -W 1 {both.right.ipv4}", ns=left.ns, fail=False, expect_fail=True)
    wait_for(lambda: left.stats()["port_tx_packets"] > before["port_tx_packets"], "a packet that is sent")
    after = left.stats()
    ksft_ge(after["port_rx_packets"] - before["port_rx_packets"], 1, "it comes back")
    left.ethtool(f"-G {left.netdev} rx 256")
    ksft_in("loopback: on", left.ethtool(f"-k {left.netdev}").stdout)
    left.ethtool(f"-K {left.netdev} loopback off")
    wait_for(lambda: cmd(f"ping -n -q -c 1 -W 1 {both.right.ipv4}", ns=left.ns, fail=False).ret == 0, "the way out")


if __name__ == "__main__":
    run(all_tests_pass_and_traffic_goes_on, what_needs_an_open_device_fails_without,
        registers_are_shown_with_their_offsets, only_the_speed_that_there_is_can_be_set,
        a_port_that_is_turned_around_hears_itself)
