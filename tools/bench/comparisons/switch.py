# SPDX-License-Identifier: GPL-2.0
# machine: dpu
"""From a VF to another in switchdev mode: by rules that the switch carries out, against a bridge of representors."""

from bench.sides import Ends
from bench.streams import datagrams, streams
from ferrite import dpus
from ferrite.switch import Switch


class Way:
    """The same two VFs, and a way between them. Choosing one ends the other."""

    chosen = None

    def __init__(self, name, ends, reps, short):
        self.name, self.ends, self.reps, self.short = name, ends, reps, short

    def __str__(self):
        return self.name

    def iperf(self, options, seconds):
        """Measures on this way."""
        if Way.chosen is not self:
            Way.chosen = self
            for one, other in (self.reps, self.reps[::-1]):
                if self.short:
                    one.add(f"protocol ip pref 1 flower skip_sw action mirred egress redirect dev {other}")
                else:
                    one.remove(1)
        return self.ends.iperf(options, seconds)


def compare(bench):
    """Compares the ways."""
    switch = Switch(dpus()[0], 2)
    switch.bridge(*switch.reps)
    ends = Ends("switch", *switch.netdevs)
    Way.chosen = slow = Way("bridge of representors", ends, switch.reps, False)
    ways = [Way("offloaded", ends, switch.reps, True), slow]
    streams(bench, ways, flows=(1,))
    datagrams(bench, ways)
