#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Events that get lost, or that are of no kind that there is: the driver knows its functions all the same."""

from ferrite import Port, ksft_eq, ksft_ge, need_dpus, run, set_mode, wait_for


def switched():
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    return pci


def an_event_of_an_unknown_kind_is_counted_and_does_no_harm():
    pci = switched()
    port = Port.add(pci, "flavour pcisf pfnum 0 sfnum 7")
    before = pci.counters("events")
    pci.fault("wrong_event param=0xbeef count=0")
    port.set("state active")
    wait_for(lambda: pci.counters("events")["unknown_kind"] > before["unknown_kind"], "an event of an unknown kind")
    pci.clear_faults()
    # Those that follow are understood.
    port.set("state inactive")
    port.activate()
    ksft_eq(pci.counters("events")["lost"], before["lost"])


def an_event_that_is_lost_is_made_up_for():
    pci = switched()
    one, other = (Port.add(pci, f"flavour pcisf pfnum 0 sfnum {number}") for number in (7, 8))
    before = pci.counters("events")["lost"]
    pci.fault("lose_event")
    one.set("state active")
    # The next event has a number too high.
    other.activate()
    wait_for(lambda: one.function("opstate") == "attached", "what the lost event was about to be asked for")
    ksft_ge(pci.counters("events")["lost"], before + 1)


if __name__ == "__main__":
    run(an_event_of_an_unknown_kind_is_counted_and_does_no_harm, an_event_that_is_lost_is_made_up_for)
