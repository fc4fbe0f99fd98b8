#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A user who does things at random, with a device that fails at random: `make soak`.

TIME seconds long, the way that SEED chooses, which is printed. After each round nothing fails any more, and then everything has to be
as if nothing had been: the driver bound, the device healthy, no function left, packets passed, the kernel content.
"""

import os
import random
import time

from ferrite import (KsftFailEx, Pair, cmd, defer, devlink, ksft_eq, ksft_pr, log, mode_of, need_dpus, ports, run, wait_for)
from ferrite.deeds import ALL, Deeds, settle, write

TIME = int(os.environ.get("TIME", "120"))
SEED = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
# Deeds of a round.
ROUND = 8
# What an answer may be late by, and how long the driver waits for one, in milliseconds.
LATE, TIMEOUT = 400, 300

# Orders with what is drawn for each, and how many deeds of a round one of them comes with, on the average.
FAULTS = [
    ("lose_completion", [0]), ("delay_completion", range(LATE)), ("duplicate_completion", [0]), ("wrong_tag", range(0x10000)),
    ("wrong_opcode", range(0x800)), ("fail_command", range(1, 12)), ("garbage_answer", range(1000)), ("hang", [0]),
    ("lose_interrupt", [0]), ("rx_wrong_cookie", range(2048)), ("rx_wrong_length", range(20000)), ("tx_wrong_index", range(1024)),
    ("wrong_cq_tail", range(512)), ("wrong_event", range(16)), ("stop_queue", [0]), ("lose_event", [0]),
    ("corrupt_stream", [0xFFFFFFFF]), ("short_stream", range(4096)), ("bus_error", range(3)), ("corrupt_register", [0]),
    ("corrupt_write", [0]), ("corrupt_word", [0]), ("vanish", [0]),
]


def order(draw):
    """Returns a fault that something may meet: seldom one that ends the device."""
    kind, params = draw.choice(FAULTS)
    chance = draw.choice((1, 1, 2, 5, 20))
    return (f"{kind} param={draw.choice(params)} skip={draw.randrange(6)} count={draw.choice((1, 1, 2, 8))} chance={chance}"
            f" seed={draw.randrange(1 << 16)}")


def is_calm(pci):
    """Makes the DPU well, and holds that it is as good as new."""
    if pci.driver and cmd(f"devlink dev info pci/{pci}", fail=False, timeout=60).ret == 0:
        # The driver came through it: it has to be right again without being bound anew.
        pci.clear_faults()
        Deeds(pci, random.Random(0)).tidy()
        wait_for(lambda: mode_of(pci) == "legacy", "the switch to be in legacy mode")
    else:
        settle(pci)
    ksft_eq((ports(pci, "pcisf"), ports(pci, "pcivf"), pci.vfs), ([], [], []))
    devlink(f"dev info pci/{pci}")


def nothing_is_worse_than_it_was():
    ksft_pr(f"SEED={SEED} TIME={TIME}")
    draw = random.Random(SEED)
    left, right = need_dpus(2)
    for pci in (left, right):
        defer(pci.restore, "bus")
    log.allow("ferrite")
    log.allow_dma_faults()
    log.allow_stalls()
    cmd("modprobe -a ferrite_vdpa virtio_vdpa ferrite_vfio", timeout=60)
    deeds = Deeds(left, draw)
    end, number = time.monotonic() + TIME, 0
    while time.monotonic() < end:
        number += 1
        write(left.debugfs / "admin_timeout_ms", f"{TIMEOUT}\n")
        for _ in range(ROUND):
            if draw.random() < 0.5:
                fault = order(draw)
                ksft_pr(f"round {number}: {fault}")
                write(left.debugfs / "fault", fault + "\n")
            deed = draw.choice(ALL)
            ksft_pr(f"round {number}: {deed}")
            deeds.do(deed)
        ksft_pr(f"round {number}: calm")
        is_calm(left)
        try:
            pair = Pair(left.wait_netdev(), right.wait_netdev())
            pair.left.ping(pair.right.ipv4)
        except KsftFailEx:
            # A fault that struck the data path may have left a queue without buffers: a fresh driver has to do.
            ksft_pr(f"round {number}: bound anew")
            leave(pair)
            settle(left)
            pair = Pair(left.wait_netdev(), right.wait_netdev())
            pair.left.ping(pair.right.ipv4)
        leave(pair)
        log.check()
    ksft_pr(f"{number} rounds")


def leave(pair):
    """Gives both net devices back."""
    for side in (pair.left, pair.right):
        side.leave()


if __name__ == "__main__":
    run(nothing_is_worse_than_it_was)
