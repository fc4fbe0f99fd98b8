#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""devlink health reporters: what went wrong is told, written down and mended, as the user wants it."""

from ferrite import Pair, Port, Sf, cmd, defer, devlink, ksft_eq, ksft_in, log, need_dpus, refused, run, set_mode, wait_for

FATAL = r"device lost: (heartbeat stopped|device reports a fatal state)"


def health(pci, reporter):
    """Returns what `devlink health show` says of a reporter."""
    return devlink(f"health show pci/{pci} reporter {reporter}")["health"][f"pci/{pci}"][0]


def state_of(pci, reporter):
    return health(pci, reporter)["state"]


def told(pci, reporter, what):
    """Returns the text of a diagnosis or dump."""
    return cmd(f"devlink health {what} pci/{pci} reporter {reporter}").stdout


def device():
    """Returns a DPU that is well, and is so again after the test."""
    pci = need_dpus(1)[0]
    defer(pci.restore)
    pci.wait_netdev()
    return pci


def wait_recovered(pci, times):
    wait_for(lambda: health(pci, "fw_fatal")["recover"] >= times and state_of(pci, "fw_fatal") == "healthy",
             "the device to be recovered")


def each_function_has_reporters():
    pci = device()
    for reporter in ("fw", "fw_fatal"):
        shown = health(pci, reporter)
        ksft_eq((shown["state"], shown["error"], shown["recover"]), ("healthy", 0, 0))
    ksft_in("Running", told(pci, "fw", "diagnose"))


def a_wrong_answer_is_reported_and_over_with_the_next_right_one():
    pci = device()
    log.expect(r"IDENTIFY .*repeated or stale")
    devlink(f"health test pci/{pci} reporter fw")
    wait_for(lambda: health(pci, "fw")["error"] == 1, "the error to be reported")
    ksft_in("repeated or stale", told(pci, "fw", "dump show"))
    devlink(f"dev info pci/{pci}")
    wait_for(lambda: state_of(pci, "fw") == "healthy", "the firmware to be well")
    devlink(f"health dump clear pci/{pci} reporter fw")
    ksft_eq("last_dump_time" in health(pci, "fw"), False)


def a_firmware_that_hangs_is_recovered_under_traffic():
    left, right = need_dpus(2)
    defer(left.restore)
    made = Pair(left.wait_netdev(), right.wait_netdev())
    log.expect(FATAL)
    log.allow(r"ferrite")
    with made.stream() as stream:
        devlink(f"health test pci/{left} reporter fw_fatal")
        wait_recovered(left, 1)
        made.left.wait_up()
        before = stream.packets()
        wait_for(lambda: all(now > then + 100 for now, then in zip(stream.packets(), before)), "the streams to go on")
    # It was written down as it was before the recovery.
    dump = told(left, "fw_fatal", "dump show")
    ksft_in("lost: ", dump)
    ksft_in("AdminStatus: ", dump)
    ksft_in("snapshot: 0", dump)
    ksft_in("snapshot [0", cmd(f"devlink region show pci/{left}/admin_rings").stdout)
    made.left.ping(made.right.ipv4)


def nothing_is_recovered_without_the_user_s_word():
    pci = device()
    log.expect(FATAL)
    log.allow(r"ferrite")
    devlink(f"health set pci/{pci} reporter fw_fatal auto_recover false auto_dump false")
    devlink(f"health test pci/{pci} reporter fw_fatal")
    wait_for(lambda: state_of(pci, "fw_fatal") == "error", "the error to be reported")
    ksft_eq("last_dump_time" in health(pci, "fw_fatal"), False)
    refused(f"dev info pci/{pci}", "does not identify itself")
    devlink(f"health recover pci/{pci} reporter fw_fatal")
    ksft_eq(state_of(pci, "fw_fatal"), "healthy")
    ksft_in("serial_number", devlink(f"dev info pci/{pci}")["info"][f"pci/{pci}"])


def an_error_in_the_grace_period_is_left_to_the_user():
    pci = device()
    log.expect(FATAL)
    log.allow(r"ferrite")
    devlink(f"health test pci/{pci} reporter fw_fatal")
    wait_recovered(pci, 1)
    devlink(f"health test pci/{pci} reporter fw_fatal")
    wait_for(lambda: health(pci, "fw_fatal")["error"] == 2, "the second error to be reported")
    ksft_eq(state_of(pci, "fw_fatal"), "error")
    devlink(f"health recover pci/{pci} reporter fw_fatal")
    wait_recovered(pci, 2)
    devlink(f"health set pci/{pci} reporter fw_fatal grace_period 0")
    devlink(f"health test pci/{pci} reporter fw_fatal")
    wait_recovered(pci, 3)


def functions_are_there_again_after_a_recovery():
    pci = device()
    log.expect(FATAL)
    log.allow(r"ferrite")
    set_mode(pci, "switchdev")
    port = Port.add(pci, "flavour pcisf pfnum 0 sfnum 7")
    port.set("hw_addr 02:00:00:00:07:07")
    port.activate()
    Sf.of(7).enable()
    Sf.of(7).wait_netdev()
    devlink(f"health test pci/{pci} reporter fw_fatal")
    wait_recovered(pci, 1)
    wait_for(lambda: port.function("opstate") == "attached", "the SF to have its driver again")
    ksft_eq(port.function("hw_addr"), "02:00:00:00:07:07")
    made = Pair(Sf.of(7).wait_netdev(), port.wait_netdev())
    made.left.ping(made.right.ipv4)


def what_an_sf_was_told_is_gone_with_it():
    pci = device()
    log.expect(FATAL)
    log.allow(r"ferrite")
    set_mode(pci, "switchdev")
    port = Port.add(pci, "flavour pcisf pfnum 0 sfnum 7")
    port.activate()
    Sf.of(7).enable()
    Sf.of(7).wait_netdev()
    port.set("state inactive")
    devlink(f"health test pci/{pci} reporter fw_fatal")
    wait_recovered(pci, 1)
    port.activate()
    ksft_eq(Sf.of(7).netdev, None, "nobody asked the new one for a netdev")


def a_device_that_vanished_cannot_be_recovered():
    pci = need_dpus(1)[0]
    # Nothing less than a reset of the bus brings it back.
    defer(pci.restore, "bus")
    pci.wait_netdev()
    log.expect(r"device lost: registers read as all ones")
    log.allow(r"ferrite")
    pci.fault("vanish")
    cmd(f"devlink dev info pci/{pci}", fail=False, timeout=60)
    wait_for(lambda: state_of(pci, "fw_fatal") == "error", "the error to be reported")
    refused(f"health recover pci/{pci} reporter fw_fatal", "no reset of the function helps")
    ksft_eq(health(pci, "fw_fatal")["recover"], 0)


if __name__ == "__main__":
    run(each_function_has_reporters, a_wrong_answer_is_reported_and_over_with_the_next_right_one,
        a_firmware_that_hangs_is_recovered_under_traffic, nothing_is_recovered_without_the_user_s_word,
        an_error_in_the_grace_period_is_left_to_the_user, functions_are_there_again_after_a_recovery,
        what_an_sf_was_told_is_gone_with_it, a_device_that_vanished_cannot_be_recovered)
