# SPDX-License-Identifier: GPL-2.0
"""The kernel's symbols, and whose an address is."""

import re
from bisect import bisect_right
from collections import Counter

LINE = re.compile(r"^([0-9a-f]+) [tTwW] (\S+)(?:\s+\[(\S+)\])?")
# In what Rust mangled: a number that tells things of one name apart, or refers back; and the length of a name.
ASIDE, LENGTH = re.compile(r"[sB][0-9a-zA-Z]*_"), re.compile(r"(\d+)_?")


class Symbols:
    """What /proc/kallsyms tells, sorted."""

    def __init__(self, text):
        found = {}
        for line in text.splitlines():
            if match := LINE.match(line):
                address, name, module = match.groups()
                found[int(address, 16)] = f"{readable(name)} [{module}]" if module else readable(name)
        self.addresses = sorted(found)
        self.names = [found[address] for address in self.addresses]

    def name(self, address):
        """Returns the function that an address is in."""
        place = bisect_right(self.addresses, address)
        return self.names[place - 1] if place else "?"

    def by_function(self, counts):
        """Returns counts by function, given counts by address."""
        sums = Counter()
        for address, count in counts.items():
            sums[self.name(address)] += count
        return sums


def readable(name):
    """Returns a name as people read it: of what Rust mangled, the path."""
    if not name.startswith("_R"):
        return name
    parts, place = [], 2
    while place < len(name):
        if match := ASIDE.match(name, place):
            place = match.end()
        elif match := LENGTH.match(name, place):
            place = match.end() + int(match[1])
            parts.append(name[match.end():place])
        else:
            place += 1
    return "::".join(parts)
