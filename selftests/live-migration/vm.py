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
from ferrite.migration import IOVA, provision, switch
from ferrite.nested import Machine, make_root
from ferrite.userdriver import UserDriver
from ferrite.vfio import RUNNING, STOP_COPY, Device, Iommufd, Memory
from qmp import QmpError

# A machine is .1 in the network of each of its VFs, the outside world .2.
NETWORKS = ["198.51.100", "203.0.113"]
MACHINE = f"{NETWORKS[0]}.1"
TRANSFER = 24 << 20


class World:
    """VFs on a bridge with an outside world, machines that drive some of them each, and what machines boot from."""

    def __init__(self, backend="iommufd", devices=1, machines=2):
        away = need_dpus(2)[1]
        home = switch()
        self.backend, self.devices = backend, devices
        macs = [f"02:00:00:00:44:{number:02x}" for number in range(1, devices * machines + 1)]
        ports, self.vfs = zip(*(provision(home, f"hw_addr {mac}") for mac in macs))
        bridge(*(port.wait_netdev() for port in ports), home.wait_netdev())
        self._outside(away)
        directory = tempfile.TemporaryDirectory(prefix="machines-")  # pylint: disable=consider-using-with
        defer(directory.cleanup)
        self.root = make_root(Path(directory.name), ["ferrite_net", "ferrite_core"])

    def _outside(self, pci):
        """Puts the PF of a DPU into a namespace, where it answers for the outside world."""
        netdev = pci.wait_netdev()
        ip("netns add outside")
        defer(ip, "netns del outside")
        ip(f"link set {netdev} netns outside")
        for network in NETWORKS[:self.devices]:
            ip(f"-n outside addr add {network}.2/24 dev {netdev}")
        ip(f"-n outside link set {netdev} up")

    def machine(self, number, incoming=False):
        """Starts a machine on its own VFs, which waits for another if `incoming`."""
        vfs = self.vfs[self.devices * number:self.devices * (number + 1)]
        # By iommufd and the character device, or by the group.
        arguments, end = (["-object", "iommufd,id=iommufd0"], ",iommufd=iommufd0") if self.backend == "iommufd" else ([], "")
        for vf in vfs:
            arguments += ["-device", f"vfio-pci,host={vf},enable-migration=on,migration-events=on{end}"]
        return Machine(self.root, arguments, f"machine-{number}", incoming=incoming)

    def boot(self, number=0):
        """Returns a machine that runs and passes packets through each of its VFs."""
        machine = self.machine(number)
        machine.boot()
        netdevs = machine.run("cd /sys/bus/pci/drivers/ferrite_core && echo */net/*").split()
        for network, netdev in zip(NETWORKS, netdevs[:self.devices]):
            netdev = netdev.split("/")[-1]
            machine.run(f"ip addr add {network}.1/24 dev {netdev} && ip link set {netdev} up")
            machine.run(f"ping -q -c 3 -w 60 {network}.2")
        return machine


class Transfer:
    """A file that goes to the machine by TCP, slowly enough to last over a migration."""

    def __init__(self, machine, size=TRANSFER):
        self.data = os.urandom(1 << 16) * (size >> 16)
        self.machine = machine
        # socat says when it listens; from then on somebody reads what else it says. The end waits in a FIFO, too.
        machine.run("mkfifo /tmp/said /tmp/received; exec 3<>/tmp/said; "
                    "(socat -d -d -u TCP-LISTEN:7000,reuseaddr STDOUT 2>/tmp/said | sha256sum >/tmp/sum; echo >/tmp/received) & "
                    "while read -r line <&3; do [[ $line = *listening* ]] && break; done; cat <&3 >/dev/null &")
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
        machine.run("read -r _ </tmp/received")
        digest = hashlib.sha256()
        whole, rest = divmod(self.sent, len(self.data))
        for _ in range(whole):
            digest.update(self.data)
        digest.update(self.data[:rest])
        ksft_in(digest.hexdigest(), machine.run("cat /tmp/sum"))


def in_pre_copy(machine):
    """Waits until the VF of a machine that migrates is saved while it works."""
    machine.qmp.wait_event("VFIO_MIGRATION", lambda data: data["device-state"] == "pre-copy")


def slow(machine, bandwidth=1 << 20):
    """Has a migration take long enough for something to happen to it: bytes a second."""
    machine.qmp.command("migrate-set-parameters", **{"max-bandwidth": bandwidth})


def tell(told, ping):
    """Shows what a migration took."""
    times = [float(found) for found in re.findall(r"\[(\d+\.\d+)\] \d+ bytes from", ping.stdout)]
    gap = max(after - before for before, after in zip(times, times[1:]))
    ksft_pr(f"QEMU's downtime {told['downtime']} ms, longest gap between replies {gap * 1000:.0f} ms, "
            f"VFIO transferred {told.get('vfio', {}).get('transferred', 0)} bytes")
    ksft_true("vfio" in told, "QEMU did not migrate a VFIO device")


def moves_under_traffic(world, source, pinged=MACHINE):
    """Moves a machine to the next VFs while a transfer and a ping go on; returns the machine that it is then."""
    target = world.machine(1, incoming=True)
    transfer = Transfer(source)
    with bkg(f"ping -n -D -i 0.1 {pinged}", ns="outside", exit_wait=False) as ping:
        transfer.wait(1 << 20)
        source.migrate(target)
        told = source.qmp.wait_migrated()
        transfer.wait(1 << 20)
        ping.proc.terminate()
    source.end()
    transfer.finish(target)
    tell(told, ping)
    return target


def a_machine_moves_under_traffic_by_iommufd():
    world = World("iommufd")
    moves_under_traffic(world, world.boot())


def a_machine_moves_under_traffic_by_group_and_container():
    world = World("container")
    moves_under_traffic(world, world.boot())


def two_vfs_of_a_machine_move_at_once():
    """QEMU asks for P2P states where a machine has more than one device, and refuses to migrate it without."""
    world = World(devices=2)
    target = moves_under_traffic(world, world.boot(), pinged=f"{NETWORKS[1]}.1")
    for network in NETWORKS:
        target.run(f"ping -q -c 3 -w 60 {network}.2")


def postcopy_is_refused_and_nothing_else_happens():
    world = World()
    source, target = world.boot(), world.machine(1, incoming=True)
    source.qmp.set_capability("postcopy-ram")
    refusal = ""
    try:
        source.migrate(target)
        source.qmp.wait_migrated()
    except QmpError as error:
        refusal = str(error)
    ksft_in("not supported with postcopy", refusal)
    ksft_eq(source.qmp.command("query-status")["status"], "running")
    source.run(f"ping -q -c 3 -w 60 {NETWORKS[0]}.2")
    # It was the capability, and that alone.
    target.end()
    source.qmp.set_capability("postcopy-ram", False)
    moves_under_traffic(world, source)


def a_cancelled_migration_is_tried_again():
    world = World()
    source, target = world.boot(), world.machine(1, incoming=True)
    transfer = Transfer(source)
    for _ in range(2):
        slow(source)
        source.migrate(target)
        in_pre_copy(source)
        transfer.wait(1 << 18)
        source.qmp.command("migrate_cancel")
        source.qmp.wait_migration("cancelled")
        # A QEMU that waits for a machine and does not get it ends.
        target.wait_ended()
        ksft_eq(source.qmp.command("query-status")["status"], "running")
        transfer.wait(1 << 18)
        target = world.machine(1, incoming=True)
    slow(source, 1 << 30)
    source.migrate(target)
    told = source.qmp.wait_migrated()
    ksft_true("vfio" in told, "QEMU did not migrate a VFIO device")
    source.end()
    transfer.wait(1 << 18)
    transfer.finish(target)


def a_source_that_is_killed_leaves_both_vfs_usable():
    world = World()
    source, target = world.boot(), world.machine(1, incoming=True)
    slow(source)
    source.migrate(target)
    in_pre_copy(source)
    source.end()
    target.wait_ended()
    space = Iommufd()
    defer(space.close)
    memory = Memory(1 << 20, IOVA)
    space.map(memory)
    for number, vf in enumerate(world.vfs):
        device = Device(space, vf)
        defer(device.close)
        ksft_eq(device.state, RUNNING)
        driver = UserDriver(device, memory, 0x40000 * number)
        driver.start()
        driver.create_queue(0, 0)
        os.close(device.go(STOP_COPY))
        device.go(RUNNING)


if __name__ == "__main__":
    run(a_machine_moves_under_traffic_by_iommufd, a_machine_moves_under_traffic_by_group_and_container,
        two_vfs_of_a_machine_move_at_once, postcopy_is_refused_and_nothing_else_happens, a_cancelled_migration_is_tried_again,
        a_source_that_is_killed_leaves_both_vfs_usable)
