# SPDX-License-Identifier: GPL-2.0
"""The monitor of the QEMU that this guest runs in, where the guest was given one (MONITOR=yes)."""

import io
import sys
from pathlib import Path

from net.lib.py import KsftSkipEx

from .wait import wait_for

sys.path.append(str(Path(__file__).resolve().parent.parent))
from qmp import Qmp, QmpError  # pylint: disable=wrong-import-position


def find():
    """Returns the port that the monitor is behind."""
    for name in Path("/sys/class/virtio-ports").glob("*/name"):
        if name.read_text(encoding="ascii").strip() == "ferrite.monitor":
            return Path("/dev", name.parent.name)
    raise KsftSkipEx("the guest may not steer its QEMU (MONITOR=yes)")


class Monitor(Qmp):
    """QEMU's monitor, seen from within."""

    def __init__(self):  # pylint: disable=super-init-not-called
        self.name, self.events, self.last_words = "QEMU", [], lambda: ""
        port = io.FileIO(find(), "r+")
        self.file = io.TextIOWrapper(io.BufferedRWPair(port, port), encoding="utf-8")
        try:
            self.command("qmp_capabilities")
        except QmpError:
            # Somebody was here before.
            pass

    def message(self):
        # What QEMU greets with is no answer, but whoever comes first reads it.
        message = super().message()
        return self.message() if "QMP" in message else message

    def set(self, name, **values):
        """Sets properties of a device while it runs."""
        for key, value in values.items():
            self.command("qom-set", path=f"/machine/peripheral/{name}", property=key, value=value)

    def get(self, name, key):
        """Returns a property of a device."""
        return self.command("qom-get", path=f"/machine/peripheral/{name}", property=key)

    def unplug(self, pci, name):
        """Has the guest turn the slot of a DPU off, and waits until QEMU has taken it out."""
        slot = next(path for path in Path("/sys/bus/pci/slots").iterdir()
                    if (path / "address").read_text(encoding="ascii").strip() == pci.address.rsplit(".", 1)[0])
        (slot / "power").write_text("0", encoding="ascii")
        self.wait_event("DEVICE_DELETED", lambda data: data.get("device") == name)
        wait_for(lambda: not pci.path.exists(), f"{pci} to be gone")

    def plug(self, pci, name, **properties):
        """Plugs a DPU in and waits until it is driven."""
        self.command("device_add", driver="ferrite", id=name, **properties)
        wait_for(lambda: pci.driver == "ferrite_core", f"{pci} to be driven")
