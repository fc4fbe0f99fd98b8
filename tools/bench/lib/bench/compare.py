# SPDX-License-Identifier: GPL-2.0
"""How a comparison goes: every side in each of several rounds, one after the other."""

import sys
from contextlib import contextmanager

from . import sides
from .counts import Meter
from .results import MEASURES, Sample


def say(message):
    """Tells who waits."""
    print(f"bench: {message}", file=sys.stderr, flush=True)


class Bench:
    """What a comparison is made with. Samples go to `out`, a line each."""

    def __init__(self, rounds, profile, out):
        self.rounds, self.profile, self.out = rounds, profile, out
        self.meter = Meter()
        self.comparison = ""
        self.made = {}

    def sides(self, *names):
        """Returns the sides of these names, as far as this guest has them."""
        found = []
        for name in names:
            if name not in self.made:
                if not sides.present(name):
                    say(f"{self.comparison}: without {name}, which this guest has not")
                    continue
                self.made[name] = sides.make(name)
            found.append(self.made[name])
        return found

    def sample(self, case, side, number, values):
        """Notes values of a side: measure -> value, or (value, what it is for one of)."""
        for measure, value in values.items():
            value, per = value if isinstance(value, tuple) else (value, "")
            if measure not in MEASURES:
                raise KeyError(measure)
            print(Sample(self.comparison, case, str(side), measure, number, value, per).write(), file=self.out, flush=True)

    def compare(self, case, found, measure):
        """Measures all sides in each round: `measure(side)` returns what `sample` takes. Who begins changes."""
        for number in range(self.rounds):
            first = number % len(found)
            for side in found[first:] + found[:first]:
                values = measure(side)
                shown = ", ".join(f"{name} {value[0] if isinstance(value, tuple) else value:,.1f}" for name, value in values.items())
                say(f"{self.comparison}, {case}, round {number + 1}: {side}: {shown}")
                self.sample(case, side, number, values)

    def look_closer(self, case, found, measure, per):
        """Once more for each side, for what would disturb times: accesses to devices per unit, of which `measure(side)` returns
        how many there were; and a profile where that was asked for."""
        for side in found:
            with self.meter.exits() as exits:
                units = measure(side)
            most = sorted(exits.items(), key=lambda item: -item[1])[:4]
            say(f"{self.comparison}, {case}: {side}: accesses per {per}: "
                + (", ".join(f"{name} {count / units:.3f}" for name, count in most) or "none"))
            self.sample(case, side, 0, {"exits": (sum(exits.values()) / units, per)})
            if self.profile:
                with self.profiled(case, side):
                    measure(side)

    @contextmanager
    def profiled(self, case, side):
        """Profiles what is done in the context."""
        name = f"{self.comparison}-{case}-{side}".replace(" ", "-")
        with self.meter.profiled(name):
            yield
