#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Health of queues: a queue that stops is told of, written down, and made anew while the others go on."""

from ferrite import (KsftNamedVariant, Pair, cmd, defer, ksft_eq, ksft_ge, ksft_in, ksft_variants, log, make_sf, need_dpus,
                     refused, run, set_mode, wait_for)
from ferrite.health import Reporter

STOPPED = r"(?i)[tr]x queue 0 stopped: INJECTED"
BOTH = ksft_variants([KsftNamedVariant("tx", "tx"), KsftNamedVariant("rx", "rx")])


def reporter(pci, name):
    """Returns a reporter of the port of a function itself."""
    return Reporter(f"pci/{pci}/0", name)


def pair():
    """Returns two DPUs' net devices that reach each other, and the first DPU."""
    left, right = need_dpus(2)
    defer(left.restore)
    return left, Pair(left.wait_netdev(), right.wait_netdev())


def queue(told, index):
    """Returns what a diagnosis says of a queue."""
    return next(queue for queue in told["queues"] if queue["index"] == index)


def each_port_has_reporters():
    pci = need_dpus(1)[0]
    pci.wait_netdev()
    for name in ("tx", "rx"):
        shown = reporter(pci, name).show()
        ksft_eq((shown["state"], shown["auto_recover"], shown["auto_dump"]), ("healthy", True, True))
        ksft_eq((shown["grace_period"], shown["burst_period"]), (500, 2000))
    ksft_eq(reporter(pci, "vnic").state, "healthy")


@BOTH
def a_queue_is_made_anew_alone(name):
    pci, made = pair()
    log.expect(STOPPED)
    # Whatever is sent by whichever queue.
    for side in (made.left, made.right):
        side.ethtool(f"-L {side.netdev} combined 2")
        side.wait_up()
    made.left.ping(made.right.ipv4)
    health = reporter(pci, name)
    with made.stream() as stream:
        before = health.data("diagnose")
        health.test()
        health.wait_recovered()
        log.wait(f"{name} queue 0: made anew")
        packets = stream.packets()
        wait_for(lambda: all(now > then + 100 for now, then in zip(stream.packets(), packets)), "the streams to go on")
        after = health.data("diagnose")
    ksft_eq(queue(after, 0)["device"]["syndrome"], "NONE")
    # The other one went on from where it was.
    ksft_ge(queue(after, 1)["driver"]["tail"], queue(before, 1)["driver"]["tail"])
    ksft_eq(log.said("queue 1: made anew"), [])
    ksft_eq(log.said("queues were reset"), [])
    made.left.ping(made.right.ipv4)


@BOTH
def it_is_written_down_before_it_is_mended(name):
    pci, made = pair()
    log.expect(STOPPED)
    health = reporter(pci, name)
    health.test()
    health.wait_recovered()
    dump = health.told("dump show")
    ksft_in("INJECTED", dump)
    ksft_in("not well", dump)
    ksft_in("descriptor:", dump)
    made.left.ping(made.right.ipv4)
    cmd(f"devlink health dump clear {health}")
    ksft_eq("last_dump_time" in health.show(), False)


@BOTH
def nothing_is_mended_without_the_user_s_word(name):
    pci, made = pair()
    log.expect(STOPPED)
    health = reporter(pci, name)
    health.set("auto_recover false auto_dump false")
    health.test()
    health.wait_reported()
    ksft_eq(health.state, "error")
    ksft_eq("last_dump_time" in health.show(), False)
    ksft_eq(queue(health.data("diagnose"), 0)["device"]["syndrome"], "INJECTED")
    health.recover()
    ksft_eq(health.state, "healthy")
    ksft_eq(queue(health.data("diagnose"), 0)["device"]["syndrome"], "NONE")
    made.left.ping(made.right.ipv4)


def a_burst_is_mended_and_what_follows_is_left_to_the_user():
    pci, made = pair()
    log.expect(STOPPED)
    health = reporter(pci, "tx")
    health.set("grace_period 600000 burst_period 0")
    health.test()
    health.wait_recovered()
    health.test()
    health.wait_reported(2)
    ksft_eq(health.state, "error")
    health.recover()
    health.set("burst_period 600000")
    for times in (3, 4):
        health.test()
        health.wait_recovered(times)
    made.left.ping(made.right.ipv4)


def opening_the_device_anew_is_as_good():
    pci, made = pair()
    log.expect(STOPPED)
    health = reporter(pci, "rx")
    health.set("auto_recover false")
    health.test()
    health.wait_reported()
    made.left.down()
    made.left.up()
    wait_for(lambda: health.state == "healthy", "the reporter to hear of it")
    made.left.ping(made.right.ipv4)


def a_device_that_is_down_has_no_queue_to_stop():
    pci = need_dpus(1)[0]
    netdev = pci.wait_netdev()
    cmd(f"ip link set {netdev} down")
    refused(f"health test {reporter(pci, 'tx')}", "the net device is down")
    ksft_eq(reporter(pci, "tx").data("diagnose")["up"], False)


def an_sf_has_reporters_in_its_own_instance():
    pci = need_dpus(1)[0]
    defer(pci.restore)
    set_mode(pci, "switchdev")
    log.expect(STOPPED)
    port, sf = make_sf(pci, 5)
    cmd(f"ip link set {sf.netdev} up")
    for name in ("tx", "rx"):
        health = Reporter(f"{sf.handle}/0", name)
        health.test()
        health.wait_recovered()
    # It goes with them, whatever they say.
    ksft_eq(Reporter(port.handle, "vnic").state, "healthy")
    cmd(f"devlink dev reload {sf.handle}")
    ksft_eq(Reporter(f"{sf.handle}/0", "tx").show()["error"], 0)


def a_vf_cannot_be_had_to_fail_by_its_driver():
    pci = need_dpus(1)[0]
    defer(lambda: pci.write("sriov_numvfs", 0))
    pci.write("sriov_numvfs", 1)
    vf = pci.vfs[0]
    vf.wait_netdev()
    ksft_eq(reporter(vf, "tx").state, "healthy")
    refused(f"health test {reporter(vf, 'tx')}", "on command of its PF only")


def the_counters_of_a_port_are_told():
    pci, made = pair()
    before = reporter(pci, "vnic").data("diagnose")
    made.left.ping(made.right.ipv4, count=10)
    after = reporter(pci, "vnic").data("diagnose")
    ksft_ge(after["tx_packets"], before["tx_packets"] + 10)
    ksft_ge(after["rx_packets"], before["rx_packets"] + 10)


if __name__ == "__main__":
    run(each_port_has_reporters, a_queue_is_made_anew_alone, it_is_written_down_before_it_is_mended,
        nothing_is_mended_without_the_user_s_word, a_burst_is_mended_and_what_follows_is_left_to_the_user,
        opening_the_device_anew_is_as_good, a_device_that_is_down_has_no_queue_to_stop,
        an_sf_has_reporters_in_its_own_instance, a_vf_cannot_be_had_to_fail_by_its_driver,
        the_counters_of_a_port_are_told)
