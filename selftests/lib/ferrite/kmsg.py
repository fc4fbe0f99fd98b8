# SPDX-License-Identifier: GPL-2.0
"""The kernel's log, as a stream to wait on."""

import os
import re
import select
import subprocess
import time
from collections import namedtuple

from net.lib.py import KsftFailEx

from .wait import PATIENCE

# The list of what no healthy kernel says is the guest launcher's; it guards whole boots with it.
CHECK = "/ferrite/tools/guest/dmesg-check"

WARNING = 4
OURS = re.compile(r"\bferrite")

Line = namedtuple("Line", ["level", "text"])


class Log:
    """What the kernel said since the test began, and what of that was expected.

    Two rules hold for every test. What dmesg-check complains about (warnings, oopses, sanitizers) is never right. A
    line of our drivers at level warning or above is right only when the test said that it would come.
    """

    def __init__(self):
        self.file = os.open("/dev/kmsg", os.O_RDWR | os.O_NONBLOCK)
        self.lines = []
        self.expected = []
        self.mark = ""

    def begin(self, name):
        """Forgets what was, and begins to watch for a test."""
        self.mark = f"selftests: {name} begins, {time.monotonic_ns()}"
        self.say(self.mark)
        os.lseek(self.file, 0, os.SEEK_END)
        self.lines = []
        self.expected = []

    def read(self):
        """Takes what is new."""
        while True:
            try:
                record = os.read(self.file, 8192).decode("utf-8", "replace")
            except BlockingIOError:
                return
            except BrokenPipeError:
                # Overwritten before it was read. dmesg-check looks at the whole buffer anyway.
                continue
            prefix, _, text = record.partition(";")
            self.lines.append(Line(int(prefix.split(",")[0]) & 7, text.split("\n")[0]))

    def said(self, pattern):
        """Returns the lines of this test that match."""
        self.read()
        return [line.text for line in self.lines if re.search(pattern, line.text)]

    def wait(self, pattern, deadline=PATIENCE):
        """Waits for a line that matches, be it already there, and returns it."""
        end = time.monotonic() + deadline
        while not (found := self.said(pattern)):
            left = end - time.monotonic()
            if left <= 0:
                raise KsftFailEx(f"waited {deadline} s in vain for the kernel to say {pattern!r}")
            select.select([self.file], [], [], left)
        return found[0]

    def expect(self, pattern):
        """Says that warnings and errors of our drivers which match will come in this test: at least one."""
        self.expected.append(pattern)

    def allow(self, pattern):
        """As `expect`, but none is fine too."""
        self.expected.append(re.compile(pattern))

    def allow_dma_faults(self):
        """Says that the device may touch memory that it has no right to: the IOMMU is right to complain."""
        self.say("selftests: DMA faults are right from here")

    def allow_stalls(self):
        """Says that queues may stand still: the stack is right to complain."""
        self.say("selftests: stalls are right from here")

    def say(self, text):
        """Puts a line into the log. Without its end nobody could read it before the next one."""
        os.write(self.file, f"{text}\n".encode())

    def end(self):
        """Holds what was said against both rules."""
        for pattern in self.expected:
            if isinstance(pattern, str):
                self.wait(pattern)
        self.read()
        wrong = [line.text for line in self.lines
                 if line.level <= WARNING and OURS.search(line.text)
                 and not any(re.search(pattern, line.text) for pattern in self.expected)]
        if wrong:
            raise KsftFailEx("unexpected messages of the drivers:\n" + "\n".join(wrong))
        self.check()

    def check(self):
        """Fails the test when the kernel has complained since it began."""
        self.read()
        # Complaints are at level warning or above; asking costs more than most tests. The launcher asks once more at the
        # end, about the whole boot.
        if all(line.level > WARNING for line in self.lines):
            return
        check = subprocess.run([CHECK, "--since", self.mark], capture_output=True, text=True, check=False)
        if check.returncode:
            raise KsftFailEx(check.stdout + check.stderr)
