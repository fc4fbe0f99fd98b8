# SPDX-License-Identifier: GPL-2.0
# machine: peers
"""Small UDP packets that an XDP program of the driver drops, without IOMMU."""

import json
import os

from bench.compare import say
from bench.streams import SECONDS
from ferrite import bpftool, cmd, ip

PROGRAM = os.environ["BENCH_BUILT"] + "/drop.bpf.o"


def dropped():
    """Returns how many packets the program that is loaded has dropped; there is one at a time."""
    values = json.loads(bpftool("map dump name dropped -j").stdout)[0]["values"]
    return sum(int.from_bytes(bytes(int(byte, 16) for byte in each["value"]), "little") for each in values)


def measure(bench, side):
    """Sends to the program, and counts what it dropped."""
    right = side.right
    ip(f"link set {right.netdev} xdpdrv obj {PROGRAM} sec xdp", ns=right.ns)
    try:
        with bench.meter.counted() as counted:
            side.run(f"sockperf throughput --ip {right.ipv4} --port 9 --msg-size 18 --time {SECONDS}")
        count = dropped()
    finally:
        ip(f"link set {right.netdev} xdpdrv off", ns=right.ns)
    return {"rate": count / SECONDS} | counted.per(count, "packet dropped")


def can(side):
    """Whether the driver runs programs, and says why if not."""
    done = cmd(f"ip -n {side.right.ns} link set {side.right.netdev} xdpdrv obj {PROGRAM} sec xdp", fail=False)
    if done.ret:
        say(f"xdp: without {side}: {done.stderr.strip()}")
        return False
    ip(f"link set {side.right.netdev} xdpdrv off", ns=side.right.ns)
    return True


def compare(bench):
    """Compares drivers that run programs."""
    sides = [side for side in bench.sides("ferrite", "virtio-tap", "virtio-hub", "igb", "veth") if can(side)]
    bench.compare("18 bytes", sides, lambda side: measure(bench, side))
