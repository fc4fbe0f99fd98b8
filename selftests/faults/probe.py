#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A device that fails while its driver probes: the driver gives up with a message, and can try again.

Faults that were armed survive the unbinding of the driver and the reset of the function, so that the next probe
meets them.
"""

from ferrite import KsftNamedVariant, defer, ksft_eq, ksft_true, ksft_variants, log, need_dpus, run, wait_for

# What can happen to what a probe asks for. Without an answer there is no driver.
QUERY_FUNCTION = "opcode=0x0002"
CREATE_EVENT_QUEUE = "opcode=0x0003"
ORDERS = {
    "the_function_is_not_described": f"lose_completion {QUERY_FUNCTION}",
    "the_description_is_refused": f"fail_command {QUERY_FUNCTION} param=11",
    "the_description_has_a_foreign_opcode": f"wrong_opcode {QUERY_FUNCTION} param=0x0777",
    "the_description_has_a_foreign_tag": f"wrong_tag {QUERY_FUNCTION} param=0xfff0",
    "the_event_queue_is_lost": f"lose_completion {CREATE_EVENT_QUEUE}",
    "the_event_queue_is_refused": f"fail_command {CREATE_EVENT_QUEUE} param=5",
}


@ksft_variants([KsftNamedVariant(name, order) for name, order in ORDERS.items()])
def probing_fails_and_then_works(order):
    pci = need_dpus(1)[0]
    defer(pci.restore)
    pci.fault(order)
    pci.unbind()
    log.allow(r"ferrite_core .*")
    ksft_true(not pci.try_bind(), "the first try")
    ksft_eq(pci.driver, None)
    ksft_eq(pci.auxiliary, [])
    wait_for(lambda: log.said(r"ferrite_core .*(no answer|refused)"), "a message that says why")
    # The fault is used up.
    ksft_true(pci.try_bind(), "the second try")
    pci.wait_netdev()


@ksft_variants([1, 2, 3, 4, 5])
def garbage_while_probing_is_survived(seed):
    pci = need_dpus(1)[0]
    defer(pci.restore)
    pci.fault(f"garbage_answer param={seed} count=8")
    pci.unbind()
    log.allow(r"ferrite")
    # Whatever the bytes were, the driver either refuses the device or drives it. Then the fault is used up or cleared.
    for _ in range(8):
        if pci.try_bind():
            break
    pci.clear_faults()


@ksft_variants([KsftNamedVariant("repeats_itself", "duplicate_completion count=0"),
                KsftNamedVariant("is_slow", "delay_completion count=0 param=100")])
def an_annoying_device_is_probed_all_the_same(order):
    pci = need_dpus(1)[0]
    defer(pci.restore)
    pci.fault(order)
    pci.unbind()
    log.allow(r"answer repeated or stale, ignored")
    ksft_true(pci.try_bind())
    pci.wait_netdev()


if __name__ == "__main__":
    run(probing_fails_and_then_works, garbage_while_probing_is_survived, an_annoying_device_is_probed_all_the_same)
