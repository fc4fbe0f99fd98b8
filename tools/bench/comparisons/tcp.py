# SPDX-License-Identifier: GPL-2.0
# machine: peers
"""TCP streams of one and of four flows, from a function to another of the same DPU, without IOMMU."""

from bench.streams import streams


def compare(bench):
    """Compares with what users would pick, and with what the guest can do at most."""
    streams(bench, bench.sides("ferrite", "virtio-tap", "virtio-hub", "ferrite-cable", "igb", "e1000e", "veth"))
