#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The distribution's QEMU, unmodified, runs virtual machines on migratable VFs in the guest and migrates them."""

import hashlib
import os
import re
import socket
import tempfile
import threading
from pathlib import Path

from ferrite import KsftFailEx, bkg, bridge, defer, ip, ksft_eq, ksft_in, ksft_pr, ksft_true, need_dpus, run, wait_for
from ferrite.migration import provision, switch
from ferrite.nested import Machine, make_root

MACHINE, PEER = "198.51.100.1", "198.51.100.2"
MACS = ["02:00:00:00:44:01", "02:00:00:00:44:02"]
TRANSFER = 24 << 20


def peer(pci):
    """Puts the PF of a DPU into a namespace, where it answers for the outside world."""
    netdev = pci.wait_netdev()
    ip("netns add outside")
    defer(ip, "netns del outside")
    ip(f"link set {netdev} netns outside")
    ip(f"-n outside addr add {PEER}/24 dev {netdev}")
    ip(f"-n outside link set {netdev} up")


def vfio(vf, backend):
    """Returns the arguments that give a VF to a machine, by iommufd and its character device or by the group."""
    common = f"vfio-pci,host={vf},enable-migration=on"
    return (["-object", "iommufd,id=iommufd0", "-device", f"{common},iommufd=iommufd0"] if backend == "iommufd"
            else ["-device", common])


def prepare(backend):
    """Returns a machine on a VF that passes packets, and one that waits for it on another VF."""
    away = need_dpus(2)[1]
    home = switch()
    (first, one), (second, other) = (provision(home, f"hw_addr {mac}") for mac in MACS)
    bridge(first.wait_netdev(), second.wait_netdev(), home.wait_netdev())
    peer(away)
    directory = tempfile.TemporaryDirectory(prefix="machines-")  # pylint: disable=consider-using-with
    defer(directory.cleanup)
    root = make_root(Path(directory.name), ["ferrite_net", "ferrite_core"])
    source = Machine(root, vfio(one, backend), "source")
    target = Machine(root, vfio(other, backend), "target", incoming=True)
    source.boot()
    netdev = source.run("cd /sys/bus/pci/drivers/ferrite_core/*/net && echo *").split()[-1]
    source.run(f"ip addr add {MACHINE}/24 dev {netdev} && ip link set {netdev} up")
    source.run(f"ping -q -c 3 -w 60 {PEER}")
    return source, target


class Transfer:
    """A file that goes to the machine by TCP, slowly enough to last over a migration."""

    def __init__(self, machine, size=TRANSFER):
        self.data = os.urandom(1 << 16) * (size >> 16)
        self.machine = machine
        machine.run("(socat -u TCP-LISTEN:7000,reuseaddr STDOUT | sha256sum >/tmp/sum; echo done >/tmp/received) &")
        # The shell of the machine is free before the listener is there.
        machine.run("until while read -r _ address _; do [ ${address#*:} = 1B58 ] && break; done </proc/net/tcp; do sleep 0.1; done")
        self.sent = 0
        self.stop = threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self.send)
        self.thread.start()

    def send(self):
        """Sends it from the namespace."""
        try:
            with open("/run/netns/outside", encoding="ascii") as namespace:
                os.setns(namespace.fileno(), os.CLONE_NEWNET)
            with socket.create_connection((MACHINE, 7000), timeout=120) as link:
                while self.sent < len(self.data) or not self.stop.is_set():
                    begin = self.sent % len(self.data)
                    self.sent += link.send(self.data[begin:begin + 16384])
        except OSError as error:
            self.error = error

    def wait(self, more):
        """Waits until so many more bytes were sent."""
        wanted = self.sent + more
        wait_for(lambda: self.sent >= wanted or self.error, "the transfer to go on", 180)
        if self.error:
            raise KsftFailEx(f"the transfer ended: {self.error}")

    def finish(self, machine):
        """Ends it; checks that the machine, wherever it is by now, has received what was sent."""
        self.stop.set()
        self.thread.join()
        if self.error:
            raise KsftFailEx(f"the transfer ended: {self.error}")
        machine.run("until [ -s /tmp/received ]; do sleep 0.2; done")
        digest = hashlib.sha256()
        whole, rest = divmod(self.sent, len(self.data))
        for _ in range(whole):
            digest.update(self.data)
        digest.update(self.data[:rest])
        ksft_in(digest.hexdigest(), machine.run("cat /tmp/sum"))


def _a_machine_moves_under_traffic(backend):
    source, target = prepare(backend)
    transfer = Transfer(source)
    with bkg(f"ping -n -D -i 0.1 {MACHINE}", ns="outside", exit_wait=False) as ping:
        transfer.wait(1 << 20)
        source.migrate(target)
        told = source.wait_migrated()
        transfer.wait(1 << 20)
        ping.proc.terminate()
    source.end()
    transfer.finish(target)
    ksft_eq(told["status"], "completed")
    times = [float(found) for found in re.findall(r"\[(\d+\.\d+)\] \d+ bytes from", ping.stdout)]
    gap = max(after - before for before, after in zip(times, times[1:]))
    ksft_pr(f"QEMU's downtime {told['downtime']} ms, longest gap between replies {gap * 1000:.0f} ms, "
            f"VFIO transferred {told.get('vfio', {}).get('transferred', 0)} bytes")
    ksft_true("vfio" in told, "QEMU did not migrate a VFIO device")


def a_machine_moves_under_traffic_by_iommufd():
    _a_machine_moves_under_traffic("iommufd")


def a_machine_moves_under_traffic_by_group_and_container():
    _a_machine_moves_under_traffic("container")


if __name__ == "__main__":
    run(a_machine_moves_under_traffic_by_iommufd, a_machine_moves_under_traffic_by_group_and_container)
