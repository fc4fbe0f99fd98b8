#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A device that answers late, wrongly, twice or not at all on its admin queue: each leaves a clear message, no splat,
an errno for who asked, and a queue that goes on.

Setting the MAC address is the command that the tests make fail: a user sees how it ends, and nothing else sends it.
"""

from concurrent.futures import ThreadPoolExecutor

from ferrite import (Pair, cmd, defer, ip, ksft_eq, ksft_ge, ksft_gt, ksft_in, ksft_ne, ksft_true, log, need_dpus,
                     put, run, stats)

SET_MAC = "opcode=0x0202"
QUERY_STATS = "opcode=0x0205"
# How long the driver waits for an answer in these tests, and an answer that comes later, both in milliseconds.
TIMEOUT = 1000
LATE = 2500


def device(reset=None):
    """Returns a DPU and its network device, both restored after the test."""
    pci = need_dpus(1)[0]
    defer(pci.restore, reset)
    pci.set_admin_timeout(TIMEOUT)
    return pci, pci.wait_netdev()


def set_mac(netdev, last):
    """Asks for a MAC address; returns what the kernel answered, empty when it did it."""
    done = cmd(f"ip link set {netdev} address 02:00:00:00:01:{last:02x}", fail=False, timeout=60)
    ksft_eq(done.ret == 0, not done.stderr)
    return done.stderr.strip()


def address(netdev):
    return ip(f"link show dev {netdev}", json=True)[0]["address"]


def queue_goes_on(netdev):
    """Holds that the next command is answered."""
    ksft_eq(set_mac(netdev, 0xEE), "")
    ksft_eq(address(netdev), "02:00:00:00:01:ee")


def a_lost_answer_times_out_and_the_queue_goes_on():
    pci, netdev = device()
    old = address(netdev)
    pci.fault(f"lose_completion {SET_MAC}")
    log.expect(r"SET_MAC .*no answer in time")
    ksft_in("timed out", set_mac(netdev, 1))
    ksft_eq(address(netdev), old)
    queue_goes_on(netdev)


def many_lost_answers_at_once_do_not_use_the_queue_up():
    pci, netdev = device()
    # The orders themselves are the commands: unlike those of a network device, nothing has them wait for each other.
    pci.fault("lose_completion opcode=0x0700 skip=1 count=40")
    log.expect(r"INJECT_FAULT .*no answer in time")
    log.allow(r"admin queue reset|INJECT_FAULT")

    def order():
        try:
            put(pci.debugfs / "fault", "lose_interrupt skip=1000000000\n")
        except OSError:
            return False
        return True

    with ThreadPoolExecutor(40) as threads:
        answered = [thread.result(timeout=60) for thread in [threads.submit(order) for _ in range(40)]]
    ksft_true(not all(answered), "some were lost")
    pci.clear_faults()
    ksft_ge(pci.counters("admin")["timed_out"], 16)
    queue_goes_on(netdev)


def a_late_answer_is_told_from_the_one_waited_for():
    pci, netdev = device()
    pci.fault(f"delay_completion {SET_MAC} param={LATE}")
    log.expect(r"SET_MAC .*no answer in time")
    log.expect(r"SET_MAC .*answered too late")
    ksft_in("timed out", set_mac(netdev, 2))
    queue_goes_on(netdev)
    log.wait(r"answered too late")
    queue_goes_on(netdev)


def a_slow_answer_is_waited_for():
    pci, netdev = device()
    pci.fault(f"delay_completion {SET_MAC} param=700")
    ksft_eq(set_mac(netdev, 3), "")
    ksft_eq(address(netdev), "02:00:00:00:01:03")


def a_repeated_answer_is_ignored():
    pci, netdev = device()
    pci.fault(f"duplicate_completion {SET_MAC} count=3")
    log.expect(r"answer repeated or stale, ignored")
    for last in (4, 5, 6):
        ksft_eq(set_mac(netdev, last), "")
    queue_goes_on(netdev)


def an_answer_with_a_foreign_tag_is_ignored():
    pci, netdev = device()
    pci.fault(f"wrong_tag {SET_MAC} param=0xfff0")
    log.expect(r"answer to no command, ignored|answer repeated or stale, ignored")
    log.expect(r"SET_MAC .*no answer in time")
    ksft_in("timed out", set_mac(netdev, 7))
    queue_goes_on(netdev)


def an_answer_with_a_foreign_opcode_is_ignored():
    pci, netdev = device()
    pci.fault(f"wrong_opcode {SET_MAC} param=0x0777")
    log.expect(r"answer to a command that was SET_MAC, ignored")
    log.expect(r"SET_MAC .*no answer in time")
    ksft_in("timed out", set_mac(netdev, 8))
    queue_goes_on(netdev)


def a_refusal_becomes_the_errno_that_says_why():
    pci, netdev = device()
    refusals = {1: "not supported", 2: "Invalid argument", 4: "not permitted", 5: "No space left", 8: "Bad address",
                11: "Input/output error", 0x1234: "Input/output error"}
    log.expect(r"SET_MAC .*refused")
    for status, text in refusals.items():
        pci.fault(f"fail_command {SET_MAC} param={status}")
        ksft_in(text, set_mac(netdev, 9), f"status {status}")
        queue_goes_on(netdev)


def garbage_as_an_answer_is_survived():
    pci, netdev = device()
    log.allow(r"ferrite")
    for seed in range(1, 6):
        pci.fault(f"garbage_answer param={seed} count=0")
        cmd(f"ethtool -S {netdev}", fail=False)
        cmd(f"ethtool {netdev}", fail=False)
        cmd(f"devlink dev info pci/{pci}", fail=False)
        cmd(f"ip link set {netdev} up", fail=False, timeout=60)
        cmd(f"ip link set {netdev} down", fail=False, timeout=60)
        pci.clear_faults()
    queue_goes_on(netdev)


def a_lost_interrupt_costs_time_and_nothing_else():
    pci, netdev = device()
    pci.fault("lose_interrupt count=2")
    ksft_eq(set_mac(netdev, 10), "")
    ksft_eq(set_mac(netdev, 11), "")
    queue_goes_on(netdev)


def a_firmware_that_hangs_is_noticed_and_the_driver_unbinds():
    pci, netdev = device()
    # Or it would be recovered before the driver is unbound: selftests/health sees to that.
    cmd(f"devlink health set pci/{pci} reporter fw_fatal auto_recover false")
    pci.fault("hang")
    log.expect(r"device lost: (heartbeat stopped|device reports a fatal state)")
    log.allow(r"ferrite")
    ksft_ne(set_mac(netdev, 12), "")
    log.wait(r"device lost")
    # Nobody waits for a timeout any more.
    ksft_ne(set_mac(netdev, 13), "")
    pci.unbind()
    ksft_eq(pci.driver, None)
    # A new driver resets the device, which mends it.
    netdev = pci.bind()
    queue_goes_on(netdev)


def a_device_that_vanishes_is_noticed_and_the_driver_unbinds():
    # Nothing less than a reset of the bus brings it back.
    pci, netdev = device(reset="bus")
    pci.fault("vanish")
    log.expect(r"device lost: registers read as all ones")
    log.allow(r"ferrite")
    ksft_ne(set_mac(netdev, 14), "")
    log.wait(r"device lost")
    pci.unbind()
    ksft_eq(pci.driver, None)


def it_vanishes_under_traffic():
    left, right = need_dpus(2)
    defer(left.restore, "bus")
    made = Pair(left.wait_netdev(), right.wait_netdev())
    log.expect(r"device lost: registers read as all ones")
    log.allow(r"ferrite")
    with made.stream():
        left.fault("vanish")
        made.left.ethtool(f"-S {made.left.netdev}", fail=False)
        log.wait(r"device lost")
        left.unbind()
    ksft_eq(left.driver, None)
    made.left.leave()


def debugfs_tells_what_happened():
    pci, netdev = device()
    before = pci.counters("admin")
    pci.fault(f"duplicate_completion {SET_MAC}")
    log.expect(r"answer repeated or stale, ignored")
    ksft_eq(set_mac(netdev, 15), "")
    log.wait("repeated or stale")
    after = pci.counters("admin")
    ksft_eq(after["stale"], before["stale"] + 1)
    ksft_gt(after["answered"], before["answered"])
    ksft_in("SET_MAC", (pci.debugfs / "failures").read_text(encoding="utf-8"))
    for name in ("slots", "events"):
        ksft_true((pci.debugfs / name).read_text(encoding="utf-8"), name)


def a_wrong_order_is_refused():
    pci, _netdev = device()
    for order in ("no_such_fault", "hang opcode", "hang skip=x", "hang opcode=0x10000", ""):
        try:
            put(pci.debugfs / "fault", order + "\n")
            ksft_true(False, f"{order!r} was taken")
        except OSError:
            pass


def statistics_survive_a_lost_answer():
    pci, netdev = device()
    pci.fault(f"lose_completion {QUERY_STATS}")
    log.expect(r"QUERY_STATS .*no answer in time")
    cmd(f"ethtool -S {netdev}", fail=False, timeout=60)
    ksft_true(stats(netdev))


if __name__ == "__main__":
    run(a_lost_answer_times_out_and_the_queue_goes_on, many_lost_answers_at_once_do_not_use_the_queue_up,
        a_late_answer_is_told_from_the_one_waited_for, a_slow_answer_is_waited_for, a_repeated_answer_is_ignored,
        an_answer_with_a_foreign_tag_is_ignored, an_answer_with_a_foreign_opcode_is_ignored,
        a_refusal_becomes_the_errno_that_says_why, garbage_as_an_answer_is_survived,
        a_lost_interrupt_costs_time_and_nothing_else, a_firmware_that_hangs_is_noticed_and_the_driver_unbinds,
        a_device_that_vanishes_is_noticed_and_the_driver_unbinds, it_vanishes_under_traffic,
        debugfs_tells_what_happened, a_wrong_order_is_refused, statistics_survive_a_lost_answer)
