# SPDX-License-Identifier: GPL-2.0
# machine: peers-iommu
"""TCP streams of one and of four flows, with an IOMMU that translates for both."""

from bench.streams import streams


def compare(bench):
    """Compares with the emulated cards whose drivers map and unmap as ours does."""
    streams(bench, bench.sides("ferrite", "ferrite-cable", "igb", "e1000e"))
