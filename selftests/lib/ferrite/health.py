# SPDX-License-Identifier: GPL-2.0
"""Health reporters, as `devlink health` shows them: those of a device, `pci/0000:01:00.0`, and of a port, `pci/0000:01:00.0/0`."""

from net.lib.py import cmd

from .devlink import devlink
from .wait import wait_for


class Reporter:
    """A health reporter of a devlink device or port."""

    def __init__(self, handle, name):
        self.handle = handle
        self.name = name

    def __str__(self):
        return f"{self.handle} reporter {self.name}"

    def show(self):
        """Returns what `devlink health show` says of it."""
        return devlink(f"health show {self}")["health"][self.handle][0]

    @property
    def state(self):
        """`healthy` or `error`."""
        return self.show()["state"]

    def told(self, what):
        """Returns the text of a diagnosis or dump: `diagnose`, `dump show`."""
        return cmd(f"devlink health {what} {self}", timeout=60).stdout

    def data(self, what):
        """Returns a diagnosis or dump as data."""
        return devlink(f"health {what} {self}")

    def set(self, words):
        """Sets how it works, `auto_recover false`."""
        devlink(f"health set {self} {words}")

    def test(self):
        """Has the device fail, as far as the reporter can."""
        devlink(f"health test {self}")

    def recover(self):
        """Has the error mended."""
        devlink(f"health recover {self}")

    def wait_reported(self, errors=1):
        """Waits until as many errors were reported."""
        wait_for(lambda: self.show()["error"] >= errors, f"{self} to report")

    def wait_recovered(self, times=1):
        """Waits until it has recovered so often and is healthy."""
        def recovered():
            shown = self.show()
            return shown["recover"] >= times and shown["state"] == "healthy"
        wait_for(recovered, f"{self} to recover")
