# SPDX-License-Identifier: GPL-2.0
"""A DPU as devlink shows it: its switch, its ports, and the functions behind them."""

import json
import re
import subprocess
import time
from pathlib import Path

from net.lib.py import KsftFailEx, cmd, defer, ip

from .dpu import AUXILIARY
from .wait import wait_for


def devlink(words, fail=True):
    """Runs devlink; returns what it says, taken out of its JSON."""
    done = cmd(f"devlink -j {words}", fail=fail, timeout=60)
    return json.loads(done.stdout) if done.stdout.strip() else {}


def batch(lines):
    """Has one devlink run commands; returns the seconds that each took on average."""
    begun = time.monotonic()
    done = subprocess.run(["devlink", "-b", "-"], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
    if done.returncode:
        raise KsftFailEx(f"devlink -b: {done.stderr}")
    return (time.monotonic() - begun) / len(lines)


def largest_sfs(pci):
    """Returns how many SFs the device can have, which it tells as a devlink resource."""
    resources = devlink(f"resource show pci/{pci}")["resources"][f"pci/{pci}"]
    return {resource["name"]: resource for resource in resources}["max_local_SFs"]


def refused(words, why, tool="devlink"):
    """Runs a command that is wrong; fails the test unless it is refused with a reason that matches."""
    done = cmd(f"{tool} {words}", fail=False, timeout=60)
    if done.ret == 0:
        raise KsftFailEx(f"accepted: {tool} {words}")
    if not re.search(why, done.stderr):
        raise KsftFailEx(f"{tool} {words}\nshould say {why!r} and says:\n{done.stderr}")


def set_mode(pci, mode):
    """Sets the mode of the switch for the length of the test."""
    before = mode_of(pci)
    defer(lambda: mode_of(pci) == before or cmd(f"devlink dev eswitch set pci/{pci} mode {before}"))
    devlink(f"dev eswitch set pci/{pci} mode {mode}")


def mode_of(pci):
    """Returns the mode of the switch, `legacy` or `switchdev`."""
    return devlink(f"dev eswitch show pci/{pci}")["dev"][f"pci/{pci}"]["mode"]


def ports(pci, flavour=None):
    """Returns the ports of a DPU."""
    shown = devlink("port show").get("port", {})
    return [Port(handle) for handle, port in shown.items()
            if handle.startswith(f"pci/{pci}/") and flavour in (None, port.get("flavour"))]


class Port:
    """A devlink port, and the function behind it."""

    def __init__(self, handle):
        self.handle = handle

    def __repr__(self):
        return self.handle

    @classmethod
    def add(cls, pci, words):
        """Adds a port, `flavour pcisf pfnum 0 sfnum 88`; the end of the test deletes it."""
        port = cls.create(pci, words)
        defer(port.clean)
        return port

    @classmethod
    def create(cls, pci, words):
        """Adds a port that stays. (What devlink -j says to this is no JSON.)"""
        done = cmd(f"devlink port add pci/{pci} {words}", timeout=60)
        return cls(re.match(r"(pci/\S+/\d+):", done.stdout)[1])

    def show(self):
        """Returns what devlink shows of it."""
        return devlink(f"port show {self.handle}")["port"][self.handle]

    def function(self, name):
        """Returns an attribute of the function: `state`, `opstate`, `hw_addr`."""
        return self.show()["function"][name]

    def exists(self):
        """Whether there is such a port."""
        return cmd(f"devlink port show {self.handle}", fail=False).ret == 0

    def set(self, words):
        """Sets attributes of the function: `hw_addr 02:00:00:00:88:88 state active`."""
        devlink(f"port function set {self.handle} {words}")

    def activate(self, opstate="attached"):
        """Activates the function and waits until it is in use."""
        self.set("state active")
        wait_for(lambda: self.function("opstate") == opstate, f"{self} to be {opstate}")

    def delete(self):
        """Deletes the port and with it the function."""
        devlink(f"port del {self.handle}")

    def clean(self):
        """Deletes the port if it is still there."""
        if self.exists():
            self.delete()

    @property
    def netdev(self):
        """The representor's name, or None."""
        return self.show().get("netdev")

    def wait_netdev(self):
        """Waits for the representor and returns its name."""
        return wait_for(lambda: self.netdev, f"the representor of {self}")


class Sf:
    """The auxiliary device of an active SF."""

    def __init__(self, path):
        self.path = Path(path)
        self.name = self.path.name
        self.handle = f"auxiliary/{self.name}"

    @classmethod
    def of(cls, number):
        """Waits for the device of the SF of this number."""
        def find():
            for path in AUXILIARY.glob("ferrite_core.sf.*"):
                try:
                    if int((path / "sfnum").read_text()) == number:
                        return path.resolve()
                except FileNotFoundError:
                    continue
            return None
        return cls(wait_for(find, f"the auxiliary device of SF {number}"))

    def enable(self, what="eth"):
        """Has the driver make a device of the SF: sets the parameter and reloads, as a user types it."""
        devlink(f"dev param set {self.handle} name enable_{what} value true cmode driverinit")
        devlink(f"dev reload {self.handle}")

    @property
    def netdev(self):
        """Name of the net device, or None."""
        shown = devlink("port show").get("port", {})
        return next((port.get("netdev") for handle, port in shown.items() if handle.startswith(f"{self.handle}/")), None)

    def wait_netdev(self):
        """Waits for the net device and returns its name."""
        return wait_for(lambda: self.netdev, f"the net device of {self.name}")


def bridge(*netdevs, name="bench"):
    """Bridges representors, for the length of the test: what a switch in legacy mode does by itself."""
    ip(f"link add name {name} type bridge")
    defer(ip, f"link del {name}")
    for netdev in netdevs:
        ip(f"link set {netdev} master {name} up")
    ip(f"link set {name} up")


def make_sf(pci, number, words=""):
    """Makes an SF with a net device, for the length of the test; returns its port and device."""
    port = Port.add(pci, f"flavour pcisf pfnum 0 sfnum {number}")
    if words:
        port.set(words)
    port.activate()
    sf = Sf.of(number)
    sf.enable()
    sf.wait_netdev()
    return port, sf
