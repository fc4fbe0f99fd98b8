#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A guest with two DPUs is saved, goes back to what was saved, and moves to another QEMU, while packets pass.

The DPUs are plain emulated devices here: it is QEMU that saves and migrates the whole machine. Runs in the toolbox,
on the host's side; tools/tests/migration starts it.
"""

import argparse
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from qmp import Qmp  # pylint: disable=wrong-import-position

PATIENCE = 180
FIRMWARE = ["-L", "/usr/share/seabios", "-L", "/usr/share/qemu", "-L", "/usr/lib/ipxe/qemu"]


class Machine:
    """One QEMU process."""

    def __init__(self, args, directory, name, incoming=False):
        self.name = name
        self.path = f"{directory}/{name}"
        # QEMU is handed sockets that listen already: who connects need not wait for it to make them.
        listeners, (console, qmp) = zip(*(self.listen(f"{self.path}.{end}") for end in ("console", "qmp")))
        command = [
            args.qemu, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
            "-M", "q35,kernel-irqchip=split", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "512M",
            *FIRMWARE, "-device", "intel-iommu,intremap=on",
            "-kernel", f"{args.kernel}/arch/x86/boot/bzImage",
            "-append", "console=ttyS0 root=rootfs rootfstype=9p ro init=/ferrite/selftests/host/guest-init loglevel=4"
                       " rootflags=trans=virtio,version=9p2000.L,msize=262144,cache=loose,access=any panic=-1"
                       f" no_timer_check tsc=reliable intel_iommu=on ferrite.modules={args.modules}",
            "-fsdev", f"local,id=rootfs,path={args.root},security_model=none,readonly=on,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=rootfs,mount_tag=rootfs",
            "-chardev", f"socket,id=console,fd={listeners[0].fileno()},server=on,wait=on", "-serial", "chardev:console",
            "-chardev", f"socket,id=qmp,fd={listeners[1].fileno()},server=on,wait=off", "-mon", "chardev=qmp,mode=control",
        ]
        for index in (0, 1):
            command += ["-netdev", f"hubport,id=uplink{index},hubid=0",
                        "-device", f"pcie-root-port,id=port{index},chassis={index + 1},slot={index + 1}",
                        "-device", f"ferrite,id=dpu{index},bus=port{index},netdev=uplink{index},"
                                   f"mac=02:fe:00:00:{index:02x}:00"]
        if incoming:
            command += ["-incoming", "defer"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[end.fileno() for end in listeners])
        for listener in listeners:
            listener.close()
        self.console = Console(console)
        self.qmp = Qmp(qmp, name)

    @staticmethod
    def listen(path):
        """Returns both ends of a socket: the one that listens, and one that is connected to it."""
        listener, link = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)
        link.connect(path)
        return listener, link

    def end(self):
        """Ends QEMU."""
        self.process.kill()
        self.process.wait()


class Console:
    """The guest's serial console."""

    def __init__(self, link):
        self.link = link
        self.text = ""

    def wait(self, pattern):
        """Waits for a line of the guest and forgets what was up to it."""
        end = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.text)):
            if "guest: failed" in self.text and "\n" in self.text.split("guest: failed", 1)[1]:
                raise RuntimeError(self.text[self.text.index("guest: failed"):])
            self.link.settimeout(max(end - time.monotonic(), 0.001))
            try:
                piece = self.link.recv(65536).decode("utf-8", "replace")
            except TimeoutError:
                raise RuntimeError(f"waited in vain for {pattern!r}; the last lines:\n{self.text[-2000:]}") from None
            if not piece:
                raise RuntimeError(f"the guest ended before {pattern!r}; its last lines:\n{self.text[-2000:]}")
            self.text += piece
        self.text = self.text[found.end():]
        return found

    def forget(self):
        """Forgets what the guest said so far."""
        self.link.setblocking(False)
        try:
            while self.link.recv(65536):
                pass
        except BlockingIOError:
            pass
        self.text = ""


def packets(machine, count=10):
    """Waits until the guest passed so many more packets; returns the number of the last."""
    for _ in range(count):
        last = machine.console.wait(r"guest: packet (\d+) passed")
    return int(last[1])


def save_and_go_back(machine, directory):
    """Saves the machine, lets it go on, and makes it what it was."""
    image = f"{directory}/snapshots.qcow2"
    machine.qmp.job("blockdev-create", options={"driver": "file", "filename": image, "size": 0})
    machine.qmp.command("blockdev-add", **{"driver": "file", "filename": image, "node-name": "file"})
    machine.qmp.job("blockdev-create", options={"driver": "qcow2", "file": "file", "size": 1 << 20})
    machine.qmp.command("blockdev-add", **{"driver": "qcow2", "file": "file", "node-name": "disk"})
    machine.qmp.job("snapshot-save", tag="under-traffic", vmstate="disk", devices=["disk"])
    saved = packets(machine, 20)
    machine.console.forget()
    machine.qmp.job("snapshot-load", tag="under-traffic", vmstate="disk", devices=["disk"])
    # The guest knows nothing of the time that was taken from it.
    machine.qmp.command("cont")
    back = packets(machine, 1)
    if back > saved:
        raise RuntimeError(f"packet {back} after the snapshot was loaded, and {saved} before")
    packets(machine)


def migrate(source, target):
    """Moves the guest from one QEMU to another while it runs."""
    source.qmp.migrate(target.qmp, f"{target.path}.migration")
    source.qmp.wait_migrated()
    packets(target)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--qemu", required=True, help="the QEMU binary")
    parser.add_argument("--kernel", required=True, help="the kernel's build directory")
    parser.add_argument("--modules", required=True, help="directory with lib/modules")
    parser.add_argument("--root", default="/srv", help="the guest's root")
    args = parser.parse_args()
    machines = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as directory:
        try:
            source = Machine(args, directory, "source")
            machines.append(source)
            packets(source)
            print("ok 1 packets pass", flush=True)
            save_and_go_back(source, directory)
            print("ok 2 a snapshot is saved and loaded under traffic", flush=True)
            target = Machine(args, directory, "target", incoming=True)
            machines.append(target)
            migrate(source, target)
            print("ok 3 the guest moves to another QEMU under traffic", flush=True)
            target.console.link.setblocking(True)
            target.console.link.sendall(b"\n")
            target.console.wait("guest: done")
            print("ok 4 the drivers unbind and bind afterwards, and the kernel did not complain", flush=True)
        finally:
            for machine in machines:
                machine.end()


if __name__ == "__main__":
    main()
