#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""QEMU's property fault_script: faults that are there before any driver, and again after each power-on."""

from ferrite import cmd, defer, ksft_in, ksft_true, log, need_dpus, run

# The guest's settings have the first look at the magic number see another one.
SAID = "no usable device: magic number is 0x52524547"


def the_script_strikes_from_power_on():
    pci = need_dpus(1)[0]
    ksft_in(SAID, cmd("dmesg").stdout, "what the boot brought")
    # Once it has struck, the device is as any.
    if not pci.driver:
        ksft_true(pci.try_bind(), "the second try")
    pci.wait_netdev()


def a_reset_of_the_whole_device_arms_it_again():
    pci = need_dpus(1)[0]
    defer(lambda: pci.driver or pci.bind())
    if pci.driver:
        pci.unbind()
    pci.reset("bus")
    log.expect(SAID)
    ksft_true(not pci.try_bind(), "the first try")
    ksft_true(pci.try_bind(), "the second try")
    pci.wait_netdev()
    # A reset of the function arms nothing.
    pci.unbind()
    pci.reset("flr")
    ksft_true(pci.try_bind(), "a try after a reset of the function")
    pci.wait_netdev()


if __name__ == "__main__":
    run(the_script_strikes_from_power_on, a_reset_of_the_whole_device_arms_it_again)
