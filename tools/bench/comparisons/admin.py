# SPDX-License-Identifier: GPL-2.0
# machine: dpu
"""Commands of the admin queue of a VF that this process drives: sixteen at a time against one at a time."""

import struct
import time

from ferrite.migration import Bench as Vfs
from ferrite.userdriver import ADMIN_DEPTH_LOG2, CQ, CQ_HEAD, ECHO, FUNCTION, REGS, SQ, SQ_TAIL

COMMANDS = 1024
SLOTS = 1 << ADMIN_DEPTH_LOG2


class Depth:
    """So many commands under way at once."""

    def __init__(self, depth):
        self.depth = depth

    def __str__(self):
        return f"depth {self.depth}"

    def run(self, driver):
        """Sends commands in groups, each with one doorbell, and waits for the last of a group; returns how long that took."""
        device, memory, base = driver.device, driver.memory, driver.base
        function = device.read(REGS, FUNCTION) & 0xFFFF
        begun = time.monotonic()
        for _ in range(COMMANDS // self.depth):
            for index in range(driver.index, driver.index + self.depth):
                entry = struct.pack("<HHHH56x", ECHO, index & 0xFFFF, function, 0)
                memory.write(base + SQ + 64 * (index % SLOTS), entry)
            driver.index += self.depth
            last = driver.index - 1
            device.write(REGS, SQ_TAIL, driver.index)
            flags = base + CQ + 32 * (last % SLOTS) + 28
            phase = 1 - (last >> ADMIN_DEPTH_LOG2 & 1)
            while memory.map[flags] & 1 != phase:
                pass
            device.write(REGS, CQ_HEAD, driver.index)
        return time.monotonic() - begun


def compare(bench):
    """Compares depths."""
    driver = Vfs().driver()

    def measure(depth):
        with bench.meter.counted() as counted:
            took = depth.run(driver)
        return {"commands": COMMANDS / took} | counted.per(COMMANDS, "command")

    bench.compare("echo", [Depth(16), Depth(1)], measure)
