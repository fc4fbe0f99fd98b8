# SPDX-License-Identifier: GPL-2.0
"""What the project wants to reach, as ratios of ours to a peer's medians."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A ratio that shall be at least, or at most, so much; `above` names a side of which only what exceeds it counts."""
    comparison: str
    case: str
    measure: str
    peer: str
    limit: float
    above: str = ""


TARGETS = [
    Target("tcp", "1 flow", "throughput", "virtio-tap", 1.3),
    Target("tcp", "1 flow", "throughput", "veth", 0.85),
    Target("tcp-iommu", "1 flow", "throughput", "igb", 2.5),
    Target("udp", "18 bytes", "rate", "virtio-tap", 1.5),
    Target("udp", "18 bytes", "instructions", "virtio-tap", 0.7),
    Target("flood", "56 bytes", "average", "virtio-tap", 0.6),
    Target("vdpa", "1 flow", "throughput", "virtio-tap", 1.0),
    Target("vdpa", "18 bytes", "rate", "virtio-tap", 1.0),
    Target("admin", "echo", "commands", "depth 1", 4.0),
    Target("functions", "one more SF", "time", "first", 1.2),
    Target("functions", "one deleted", "time", "first", 1.2),
    Target("dirty", "64 MiB dirty", "time", "64 GiB", 1.5),
]


def judge(tables, more_is_better):
    """Yields each target that was measured, with the spread of its ratio and whether the median reaches it."""
    for target in TARGETS:
        for table in tables:
            if (table.comparison, table.case, table.measure) != (target.comparison, target.case, target.measure):
                continue
            ratio = table.above(target.peer, target.above) if target.above else table.ratio(target.peer)
            if ratio:
                met = ratio.middle >= target.limit if more_is_better(target.measure) else ratio.middle <= target.limit
                yield target, ratio, met
