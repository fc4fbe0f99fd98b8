# SPDX-License-Identifier: GPL-2.0
# machine: sfs
"""One more SF when there are a thousand, against the first: made, activated, its network device opened; and deleted."""

import time

from bench.compare import say
from ferrite import Port, Sf, defer, dpus, ip, ports, set_mode
from ferrite.devlink import batch, largest_sfs

GROUP = 4


class Crowd:
    """A DPU with so many SFs already."""

    def __init__(self, name, pci, number):
        self.name, self.pci, self.number = name, pci, number

    def __str__(self):
        return self.name

    def make(self, meter):
        """Makes SFs and deletes them; returns what one took."""
        numbers = range(self.number, self.number + GROUP)
        with meter.counted() as counted:
            begun = time.monotonic()
            made = []
            for number in numbers:
                port = Port.create(self.pci, f"flavour pcisf pfnum 0 sfnum {number}")
                port.activate()
                sf = Sf.of(number)
                sf.enable()
                ip(f"link set {sf.wait_netdev()} up")
                made.append(port)
            took = time.monotonic() - begun
        begun = time.monotonic()
        for port in made:
            port.delete()
        gone = time.monotonic() - begun
        return 1000 * took / GROUP, 1000 * gone / GROUP, counted


def compare(bench):
    """Compares the cost by how many there are: first all rounds with none, then with as many as there can be."""
    pci = dpus()[0]
    set_mode(pci, "switchdev")
    most = largest_sfs(pci)["size"] - GROUP
    few = Crowd("first", pci, 0)
    many = Crowd(f"one of {most + GROUP}", pci, most)
    defer(lambda: batch([f"port del {port}" for port in ports(pci, "pcisf")] or ["dev show"]))
    # What the kernel sets up with the first and keeps.
    few.make(bench.meter)
    samples = {few: [few.make(bench.meter) for _ in range(bench.rounds)]}
    begun = time.monotonic()
    batch([f"port add pci/{pci} flavour pcisf pfnum 0 sfnum {number}" for number in range(most)])
    batch([f"port function set {port} state active" for port in ports(pci, "pcisf")])
    say(f"functions: {most} SFs in {time.monotonic() - begun:.1f} s")
    samples[many] = [many.make(bench.meter) for _ in range(bench.rounds)]
    for number in range(bench.rounds):
        for crowd in (many, few):
            made, gone, counted = samples[crowd][number]
            bench.sample("one more SF", crowd, number, {"time": made} | counted.per(GROUP, "SF"))
            bench.sample("one deleted", crowd, number, {"time": gone})
