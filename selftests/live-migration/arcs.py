#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Many migrations in a row: a driver in this process goes from one VF to another and back, and never stops sending.

    make vm MEM=3G TIMEOUT=7200 RUN='ROUNDS=1000 SEED=42 selftests/run live-migration/arcs'

Each frame that it sends comes out of the representor of the VF that it is on, and is sent back there.
"""

import gc
import os
import random
from pathlib import Path

from ferrite import defer, ip, ksft_eq, ksft_ge, ksft_lt, ksft_pr, ksft_true, log, put, run, wait_for
from ferrite.migration import IOVA, Bench, drain, fails_with, write_all
from ferrite.userdriver import ECHO
from ferrite.usertraffic import BATCH, FarEnd, Traffic
from ferrite.vfio import ERROR, PRE_COPY, PRE_COPY_P2P, RESUMING, RUNNING, RUNNING_P2P, STOP, STOP_COPY, read_all

ROUNDS = int(os.environ.get("ROUNDS", "200"))
SEED = int(os.environ.get("SEED", "0")) or random.randrange(1, 1 << 32)
# Rounds after which nothing may grow any more.
WARM = 20
KIB = 1024


class Journey:
    """The driver, the VF that it is on, and the one that it goes to next."""

    def __init__(self, chance):
        self.chance = chance
        self.bench = Bench(2)
        netdevs = [port.wait_netdev() for port in self.bench.ports]
        for netdev in netdevs:
            ip(f"link set {netdev} up")
        self.here, self.there = self.bench.devices
        self.driver = self.bench.driver()
        self.far = FarEnd(netdevs)
        defer(self.far.stop)
        self.traffic = Traffic(self.driver, self.far)
        defer(self.traffic.stop)
        self.largest = 0

    def save(self):
        """Saves the VF while it works, if it is to be; returns that part of the stream and the file."""
        device, traffic = self.here, self.traffic
        device.log_start([(IOVA, 1 << 20)])
        data = b""
        fd = None
        if self.chance.random() < 0.8:
            fd = device.go(PRE_COPY)
            if self.chance.random() < 0.2:
                # Somebody changes his mind.
                os.read(fd, 100)
                device.go(RUNNING)
                os.close(fd)
                fd = device.go(PRE_COPY)
            data = drain(fd)
            traffic.wait(BATCH)
            ksft_true(device.log_report(IOVA, 1 << 20), "packets leave pages written")
            data += drain(fd)
        return data, fd

    def migrate(self):
        """Takes the driver to the other VF."""
        data, fd = self.save()
        with self.traffic.device:
            self.here.go(RUNNING_P2P if fd is None else PRE_COPY_P2P)
            # The last command that the old device is given is carried out by the new one.
            index = self.driver.index
            slot = self.driver.post(ECHO, b"migrated")
            fd = self.here.go(STOP_COPY) or fd
            rest = read_all(fd)
            os.close(fd)
            ksft_eq(self.driver.answered(slot, index), None)
            self.here.log_report(IOVA, 1 << 20)
            self.here.log_stop()
            # What the old device sent has come before the new one sends.
            self.traffic.tx.reap()
            self.far.wait(self.traffic.tx.head - 1)
            self.largest = max(self.largest, len(rest))
            self.load(data + rest)
            self.driver = self.driver.take_over(self.there)
            self.traffic.tx.take_over(self.driver)
            self.traffic.rx.take_over(self.driver)
        self.traffic.wait(2 * BATCH)
        with self.traffic.device:
            answer = wait_for(lambda: self.driver.answered(slot, index), "the command that moved")
            ksft_eq(answer, (0, b"migrated".ljust(20, b"\0")))
            self.driver.command(ECHO, bytes(8))
        if self.chance.random() < 0.5:
            self.here.reset()
        else:
            self.here.go(STOP)
        self.here, self.there = self.there, self.here

    def load(self, data):
        """Loads the other VF, sometimes only after it was given something else."""
        device = self.there
        if self.chance.random() < 0.1:
            fd = device.go(RESUMING)
            write_all(fd, data[:self.chance.randrange(1, len(data))])
            fails_with(22, device.go, RUNNING)
            ksft_eq(device.state, ERROR)
            os.close(fd)
            device.reset()
        device.enable()
        fd = device.go(RESUMING)
        write_all(fd, data, self.chance.choice((97, 4096, 1 << 20)))
        device.go(RUNNING)
        os.close(fd)


def memory():
    """Returns what the kernel and this process have: KiB by kind, and numbers of things."""
    gc.collect()
    put("/proc/sys/vm/drop_caches", 3)
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    areas = Path("/proc/vmallocinfo").read_text(encoding="ascii").count("\n")
    return {"Slab": kib["Slab"], "VmallocUsed": kib["VmallocUsed"], "areas": areas, "files": len(os.listdir("/proc/self/fd")),
            "users": int(Path("/sys/module/ferrite_vfio/refcnt").read_text(encoding="ascii"))}


def a_driver_migrates_many_times_and_loses_nothing():
    ksft_pr(f"SEED={SEED} ROUNDS={ROUNDS}")
    for words in ("the stream is refused", "fails at CommitLoad"):
        log.allow(words)
    journey = Journey(random.Random(SEED))
    before = None
    for number in range(ROUNDS):
        journey.migrate()
        if number + 1 == min(WARM, ROUNDS):
            before = memory()
    after = memory()
    journey.traffic.stop()
    if journey.traffic.error:
        raise journey.traffic.error
    sent, returned = journey.traffic.sent, journey.traffic.returned
    ksft_pr(f"{ROUNDS} migrations: {sent} frames sent, {sent - returned} of their answers came while the function stood still; "
            f"the last part of a stream had {journey.largest} bytes at most")
    ksft_pr(f"before {before}, after {after}")
    ksft_eq(journey.far.wrong, [], "frames that came twice, late, or not at all")
    ksft_eq(journey.far.seen, sent)
    ksft_lt(journey.largest, 16 * KIB)
    ksft_ge(returned, sent - 2 * BATCH * ROUNDS, "a migration loses what is on its way and no more")
    for name in ("files", "users"):
        ksft_eq(after[name], before[name], name)
    # Less than what one small object, or one area, for each migration would be; kernel threads come and go, too.
    for name, most in (("Slab", 512), ("VmallocUsed", 512), ("areas", 20)):
        ksft_lt(after[name] - before[name], most, name)
    ksft_eq(journey.bench.pci.counters("admin")["timed_out"], 0)


if __name__ == "__main__":
    run(a_driver_migrates_many_times_and_loses_nothing)
