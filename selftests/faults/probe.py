#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A device that fails while its driver probes: the driver gives up with a message, and can try again.

Faults that were armed survive the unbinding of the driver and the reset of the function, so that the next probe
meets them.
"""

from ferrite import defer, ksft_eq, ksft_true, ksft_variants, log, need_dpus, run
from ferrite.dpu import DRIVER

# Opcodes of what a probe asks for.
IDENTIFY = 0x0001
QUERY_FUNCTION = 0x0002
CREATE_EVENT_QUEUE = 0x0003


def try_to_bind(pci):
    """Binds the driver; returns whether the probe succeeded."""
    try:
        (DRIVER / "bind").write_text(pci.address, encoding="ascii")
    except OSError:
        return False
    return True


FAULTS = [(kind, opcode)
          for opcode in (IDENTIFY, QUERY_FUNCTION, CREATE_EVENT_QUEUE)
          for kind in ("lose_completion", "fail_command param=11", "wrong_opcode param=0x0777",
                       "wrong_tag param=0xfff0")]


@ksft_variants([(kind.split()[0], kind, opcode) for kind, opcode in FAULTS])
def probing_fails_and_then_works(_name, kind, opcode):
    pci = need_dpus(1)[0]
    defer(pci.restore)
    pci.fault(f"{kind} opcode={opcode:#06x} count=1")
    pci.unbind()
    log.allow(r"ferrite")
    if not try_to_bind(pci):
        ksft_eq(pci.driver, None)
        ksft_eq(pci.auxiliary, [])
        ksft_true(log.said(r"ferrite_core.*"), "a message that says why")
        # The fault is used up.
        ksft_true(try_to_bind(pci), "the second try")
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
        if try_to_bind(pci):
            break
    pci.clear_faults()


@ksft_variants(["duplicate_completion count=0", "delay_completion count=0 param=200"])
def an_annoying_device_is_probed_all_the_same(order):
    pci = need_dpus(1)[0]
    defer(pci.restore)
    pci.fault(order)
    pci.unbind()
    log.allow(r"answer repeated or stale, ignored")
    ksft_true(try_to_bind(pci))
    pci.wait_netdev()


if __name__ == "__main__":
    run(probing_fails_and_then_works, garbage_while_probing_is_survived, an_annoying_device_is_probed_all_the_same)
