#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A device that is hostile: `make fuzz TARGET=drivers`, on the kernel with the sanitizers.

Registers, completions, answers, events and tails are altered at random. TIME seconds long, from SEED on, which is printed with
each round. Nothing has to work; nothing may hang, or harm the kernel. After a round a fresh driver drives a fresh device.
"""

import os
import random
import time

from ferrite import Pair, cmd, defer, ksft_pr, log, need_dpus, run
from ferrite.deeds import ALL, Deeds, settle, write

TIME = int(os.environ.get("TIME", "120"))
SEED = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
DEEDS = 10
TIMEOUT = 200
KINDS = ("corrupt_word", "corrupt_write", "corrupt_register", "garbage_answer", "wrong_event", "wrong_cq_tail", "rx_wrong_cookie",
         "rx_wrong_length", "tx_wrong_index", "duplicate_completion", "lose_interrupt", "wrong_tag", "wrong_opcode")


def arm(pci, draw):
    """Has the device lie in some ways, each with a chance of its own, for as long as it is not reset as a whole."""
    kinds = draw.sample(KINDS, draw.randrange(1, 6))
    # Those that strike commands last, as the orders are commands.
    for kind in sorted(kinds, key=lambda kind: "corrupt" in kind):
        param = draw.randrange(1 << 32) if "corrupt" not in kind and draw.random() < 0.5 else draw.randrange(64) * ("corrupt" not in kind)
        fault = f"{kind} count=0 param={param} chance={draw.choice((2, 5, 20, 100))} seed={draw.randrange(1 << 32)}"
        ksft_pr(fault)
        write(pci.debugfs / "fault", fault + "\n")


def a_hostile_device_does_no_harm():
    left, right = need_dpus(2)
    for pci in (left, right):
        defer(pci.restore, "bus")
    cmd("modprobe -a ferrite_vdpa virtio_vdpa ferrite_vfio", timeout=60)
    end, seed = time.monotonic() + TIME, SEED
    while time.monotonic() < end:
        ksft_pr(f"SEED={seed}")
        log.allow("ferrite")
        log.allow_dma_faults()
        log.allow_stalls()
        draw = random.Random(seed)
        pair = Pair(left.wait_netdev(), right.wait_netdev())
        write(left.debugfs / "admin_timeout_ms", f"{TIMEOUT}\n")
        arm(left, draw)
        cmd(f"ping -q -c 100 -i 0.002 -W 1 -w 1 -s 1400 {pair.right.ipv4}", ns=pair.left.ns, fail=False)
        cmd(f"ping -q -c 100 -i 0.002 -W 1 -w 1 {pair.left.ipv4}", ns=pair.right.ns, fail=False)
        for side in (pair.left, pair.right):
            side.leave()
        deeds = Deeds(left, draw)
        for _ in range(DEEDS):
            deed = draw.choice(ALL)
            ksft_pr(f"SEED={seed}: {deed}")
            deeds.do(deed)
        settle(left)
        log.check()
        seed += 1
    ksft_pr(f"{seed - SEED} rounds")


if __name__ == "__main__":
    run(a_hostile_device_does_no_harm)
