#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Functions that come and go at random beside the traffic of others.

STEPS and SEED of the environment choose how long and which way; the seed is printed.
"""

import os
import random
import time

from ferrite import (KsftFailEx, Pair, Port, Sf, bridge, ksft_eq, ksft_pr, make_sf, need_dpus, ports, run, set_mode,
                     wait_for)

STEPS = int(os.environ.get("STEPS", "30"))
MOST = 6


class Life:
    """A function, and what may be done with it next."""

    def __init__(self, pci, flavour):
        self.pci = pci
        self.flavour = flavour
        self.port = None
        self.active = False
        self.enabled = False

    def steps(self):
        """Returns what makes sense now."""
        if not self.port:
            return [self.add]
        if not self.active:
            return [self.activate, self.delete, self.configure]
        return [self.deactivate, self.delete] + ([self.enable] if self.flavour == "pcisf" and not self.enabled else [])

    def add(self):
        self.port = Port.add(self.pci, f"flavour {self.flavour} pfnum 0")

    def configure(self):
        self.port.set(f"hw_addr 02:00:00:00:{random.randrange(256):02x}:{random.randrange(256):02x}")

    def activate(self):
        self.port.set("state active")
        self.active = True

    def enable(self):
        sf = Sf.of(self.port.show()["sfnum"])
        sf.enable()
        sf.wait_netdev()
        self.enabled = True

    def deactivate(self):
        self.port.set("state inactive")
        ksft_eq(self.port.function("opstate"), "detached")
        self.active = self.enabled = False

    def delete(self):
        self.port.delete()
        self.port, self.active, self.enabled = None, False, False


def the_neighbours_lose_nothing():
    seed = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
    random.seed(seed)
    ksft_pr(f"SEED={seed} STEPS={STEPS}")
    pci = need_dpus(1)[0]
    set_mode(pci, "switchdev")
    neighbours = [make_sf(pci, number) for number in (1000, 1001)]
    bridge(*(port.wait_netdev() for port, _ in neighbours))
    pair = Pair(neighbours[0][1].netdev, neighbours[1][1].netdev)
    before = [lost(side) for side in (pair.left, pair.right)]

    lives = [Life(pci, "pcisf") for _ in range(MOST // 2)] + [Life(pci, "pcivf") for _ in range(MOST // 2)]
    pinged = 0
    for number in range(STEPS):
        step = random.choice(random.choice(lives).steps())
        try:
            step()
        except Exception as error:
            raise KsftFailEx(f"step {number}, {step.__name__} of a {step.__self__.flavour}: {error}") from error
        pair.left.ping(pair.right.ipv4, count=3)
        pinged += 3
    ksft_pr(f"{pinged} pings beside {STEPS} steps")
    ksft_eq([lost(side) for side in (pair.left, pair.right)], before, "packets of the neighbours are lost")
    for life in lives:
        if life.port:
            life.delete()
    ksft_eq(len(ports(pci, "pcisf")), len(neighbours))
    wait_for(lambda: pci.vfs == [], "SR-IOV to be off again")


def lost(side):
    """Returns what the device says it dropped."""
    link = side.link()["stats64"]
    return {direction: (link[direction]["errors"], link[direction]["dropped"]) for direction in ("rx", "tx")}


if __name__ == "__main__":
    run(the_neighbours_lose_nothing)
