#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Registers that lie while the driver probes: it refuses the device and says why."""

from ferrite import KsftNamedVariant, defer, ksft_eq, ksft_true, ksft_variants, log, need_dpus, run

# Name, offset, bits that are flipped, what the driver says.
LIES = [
    ("magic", 0x000, 0x1, "magic number is 0x"),
    ("nothing", 0x000, ~0x52524546 & 0xFFFFFFFF, "registers read as all ones"),
    ("version", 0x004, 0x10000, r"hardware contract is version 0\.2"),
    ("scratch", 0x028, 0x80, "scratch register holds 0x"),
    ("function", 0x008, 0x8000, "function id 0x"),
    ("limits", 0x00C, 0x1000000, "limits register is 0x"),
]


@ksft_variants([KsftNamedVariant(name, offset, bits, says) for name, offset, bits, says in LIES])
def a_device_whose_registers_lie_is_refused(offset, bits, says):
    pci = need_dpus(1)[0]
    defer(pci.restore)
    pci.fault(f"corrupt_register opcode={offset} param={bits} count=0")
    log.allow(r"ferrite_core .*")
    pci.unbind()
    ksft_true(not pci.try_bind(), "the driver was bound")
    ksft_eq(pci.driver, None)
    log.wait(says)
    # What is armed survives all but a reset of the whole device.
    pci.reset("bus")
    pci.bind()


def a_register_that_lies_once_is_asked_again():
    pci = need_dpus(1)[0]
    defer(pci.restore, "bus")
    log.allow(r"ferrite_core .*")
    # Status: not ready, and fatal.
    for bits in (0x1, 0x4):
        pci.fault(f"corrupt_register opcode=0x018 param={bits} count=3")
        pci.unbind()
        # Each try uses one of them up at least.
        ksft_true(any(pci.try_bind() for _ in range(4)), f"one of four tries, {bits:#x}")
        pci.wait_netdev()


if __name__ == "__main__":
    run(a_device_whose_registers_lie_is_refused, a_register_that_lies_once_is_asked_again)
