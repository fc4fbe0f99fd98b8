# SPDX-License-Identifier: GPL-2.0
# machine: peers
"""Flood pings, without IOMMU."""

from bench.streams import floods


def compare(bench):
    """Compares with what users would pick, and with what the guest can do at most."""
    floods(bench, bench.sides("ferrite", "virtio-tap", "virtio-hub", "igb", "e1000e", "veth"))
