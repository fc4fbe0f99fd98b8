# SPDX-License-Identifier: GPL-2.0
"""What is counted beside times: the guest's end of the meter."""

import json
import re
from contextlib import contextmanager
from pathlib import Path

PORT = "ferrite.meter"
SHARE = Path("/mnt/share")


def interrupts():
    """Returns how many interrupts of devices this machine has had."""
    lines = Path("/proc/interrupts").read_text(encoding="ascii").splitlines()
    cpus = len(lines[0].split())
    return sum(sum(map(int, line.split()[1:1 + cpus])) for line in lines if re.match(r"\s*\d+:", line))


class Counted:
    """What was counted while something was done."""

    def __init__(self):
        self.counts = {}

    def per(self, units, name):
        """Returns the counts for one of so many, as what `Bench.compare` takes."""
        return {measure: (count / units, name) for measure, count in self.counts.items()} if units else {}


class Meter:
    """Asks the host."""

    def __init__(self):
        ports = Path("/sys/class/virtio-ports")
        port = next(path for path in ports.iterdir() if (path / "name").read_text(encoding="ascii").strip() == PORT)
        # pylint: disable-next=consider-using-with
        self.file = open(f"/dev/{port.name}", "r+b", buffering=0)

    def ask(self, question):
        """Returns the answer to a question."""
        self.file.write(question.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            answer += self.file.read(65536)
        answer = json.loads(answer)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    @contextmanager
    def counted(self):
        """Counts what is done in the context."""
        counted = Counted()
        irqs = interrupts()
        before = self.ask("count")
        yield counted
        after = self.ask("count")
        delta = {name: after[name] - before[name] for name in after}
        counted.counts = {"interrupts": interrupts() - irqs, "vcpu": delta["vcpu"], "device": delta["device"]}
        # Without the plugin, as with KVM, nothing is counted.
        if delta["kernel"]:
            counted.counts |= {"instructions": delta["user"] + delta["kernel"], "kernel": delta["kernel"]}

    @contextmanager
    def exits(self):
        """Counts accesses to devices by region."""
        found = {}
        self.ask("exits on")
        yield found
        found.update(self.ask("exits off"))

    @contextmanager
    def profiled(self, name):
        """Has it written down which functions executed what."""
        (SHARE / "kallsyms").write_bytes(Path("/proc/kallsyms").read_bytes())
        self.ask("profile on")
        yield
        self.ask(f"profile off {name}")
