# SPDX-License-Identifier: GPL-2.0
# machine: peers
"""UDP packets of 18 bytes, as many as can be sent, without IOMMU."""

from bench.streams import datagrams


def compare(bench):
    """Compares with what users would pick, and with what the guest can do at most."""
    datagrams(bench, bench.sides("ferrite", "virtio-tap", "virtio-hub", "igb", "e1000e", "veth"))
