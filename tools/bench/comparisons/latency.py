# SPDX-License-Identifier: GPL-2.0
# machine: peers
"""Request and response over UDP, one at a time (sockperf), without IOMMU."""

from bench.streams import round_trips


def compare(bench):
    """Compares with what users would pick, and with what the guest can do at most."""
    round_trips(bench, bench.sides("ferrite", "virtio-tap", "virtio-hub", "igb", "e1000e", "veth"))
