# SPDX-License-Identifier: GPL-2.0
"""Results: what was measured of whom, and how it compares.

A sample is a value of one measure of one side in one round. The sides of a round were measured one after the other, so
ratios are made within rounds, and what is told of them is their median and the least and greatest.
"""

import json
from dataclasses import asdict, dataclass
from statistics import median

# The side that all others are compared with.
OURS = "ferrite"


@dataclass(frozen=True)
class Measure:
    """A quantity, and which way is better."""
    unit: str
    more_is_better: bool
    # An exact count, which other load on the machine does not change; everything else is time.
    counted: bool = False


MEASURES = {
    "throughput": Measure("Mbit/s", True),
    "rate": Measure("packets/s", True),
    "loss": Measure("% lost", False),
    "median": Measure("us, median", False),
    "p99": Measure("us, 99th percentile", False),
    "average": Measure("us, average", False),
    "commands": Measure("commands/s", True),
    "time": Measure("ms", False),
    "bytes": Measure("bytes", False, True),
    "instructions": Measure("guest instructions", False, True),
    "kernel": Measure("guest instructions of the kernel", False, True),
    "exits": Measure("MMIO exits", False, True),
    "interrupts": Measure("interrupts", False, True),
    "vcpu": Measure("ns of the vCPU threads", False),
    "device": Measure("ns of QEMU's other threads", False),
}


@dataclass(frozen=True)
class Sample:
    """One value. `case` is a variation of the comparison, `per` what a count is for one of."""
    comparison: str
    case: str
    side: str
    measure: str
    round: int
    value: float
    per: str = ""

    @classmethod
    def read(cls, line):
        """Reads what `write` wrote."""
        return cls(**json.loads(line))

    def write(self):
        """Returns the sample as one line of JSON."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Spread:
    """The median of some values, and how far they go."""
    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, values):
        """Returns the spread of values, of which there is at least one."""
        return cls(median(values), min(values), max(values))


class Table:
    """The samples of one measure of one case: values by side and round."""

    def __init__(self, comparison, case, measure, per):
        self.comparison, self.case, self.measure, self.per = comparison, case, measure, per
        self.sides = {}

    @property
    def unit(self):
        """The unit, with what it is for one of."""
        return MEASURES[self.measure].unit + (f" per {self.per}" if self.per else "")

    def add(self, sample):
        """Takes a sample in."""
        self.sides.setdefault(sample.side, {})[sample.round] = sample.value

    def base(self):
        """Returns the side that the others are compared with: ours, or the first."""
        return OURS if OURS in self.sides else next(iter(self.sides))

    def spread(self, side):
        """Returns the spread of a side's values."""
        return Spread.of(list(self.sides[side].values()))

    def ratio(self, side):
        """Returns the spread of the base's values as multiples of a side's, or None where there are none to compare."""
        ours, theirs = self.sides[self.base()], self.sides.get(side, {})
        ratios = [ours[number] / theirs[number] for number in ours if theirs.get(number)]
        return Spread.of(ratios) if ratios else None

    def above(self, side, floor):
        """Returns the spread of what the base has above a third side, as multiples of what a side has above it."""
        ours, theirs, least = (self.sides.get(name, {}) for name in (self.base(), side, floor))
        ratios = [(ours[number] - least[number]) / (theirs[number] - least[number])
                  for number in ours if number in theirs and number in least and theirs[number] > least[number]]
        return Spread.of(ratios) if ratios else None


def tables(samples):
    """Returns the tables of samples, in the order in which they first come."""
    found = {}
    for sample in samples:
        key = sample.comparison, sample.case, sample.measure, sample.per
        found.setdefault(key, Table(*key)).add(sample)
    return list(found.values())
