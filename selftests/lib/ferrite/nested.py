# SPDX-License-Identifier: GPL-2.0
"""Virtual machines inside the guest: the distribution's own QEMU, our kernel and a small root.

They boot from a file system of the guest and leave it for a copy in memory: QEMU does not migrate a machine that has
one of its host mounted.
"""

import re
import shlex
import socket
import subprocess
import tempfile
from pathlib import Path

from net.lib.py import KsftFailEx, cmd, defer
from qmp import Qmp

# Seconds. A machine inside an emulated one is slow.
PATIENCE = 300
PROGRAMS = ["bash", "cat", "cp", "dmesg", "ethtool", "head", "insmod", "ip", "mkdir", "mkfifo", "mount", "ping", "pivot_root", "rm",
            "sha256sum", "sleep", "socat", "stty", "sysctl", "umount"]
INIT = """#!/bin/bash
export PATH=/bin
if [ "$1" != in-memory ]; then
    mount -t tmpfs tmpfs /tmp
    mkdir /tmp/old
    for name in /*; do [ "$name" = /tmp ] || cp -a "$name" /tmp; done
    mkdir /tmp/tmp
    cd /tmp
    pivot_root . old
    exec /bin/bash /init in-memory
fi
mount -t devtmpfs devtmpfs /dev
exec </dev/null >/dev/null 2>&1
umount /old
mount -t proc proc /proc
mount -t sysfs sysfs /sys
for module in /modules/*; do insmod "$module"; done
ip link set lo up
stty -F /dev/ttyS1 raw -echo
exec </dev/ttyS1 >/dev/ttyS1 2>&1
echo "ready:0:"
while read -r line; do
    (eval "$line") </dev/null
    echo "ready:$?:"
done
"""


def said(name):
    """Returns what the launcher said on the kernel's command line: ferrite.NAME=value."""
    found = re.search(rf"\bferrite\.{name}=(\S+)", Path("/proc/cmdline").read_text(encoding="ascii"))
    if not found:
        raise KsftFailEx(f"the kernel's command line has no ferrite.{name}")
    return found[1]


def make_root(directory, modules):
    """Makes the root directory of the machines, with our modules and what they need; returns it."""
    root = directory / "root"
    for name in ("bin", "dev", "proc", "sys", "modules", "tmp", "etc", "run"):
        (root / name).mkdir(parents=True)
    files = [(Path(cmd(f"readlink -f $(command -v {name})", shell=True).stdout.strip()), f"bin/{name}") for name in PROGRAMS]
    for program, _ in list(files):
        files += [(Path(name), name.lstrip("/")) for name in
                  re.findall(r"(/\S+) \(0x", cmd(f"ldd {program}").stdout)]
    wanted = []
    for module in modules:
        for line in cmd(f"modprobe --show-depends {module}").stdout.splitlines():
            words = line.split()
            if words[0] == "insmod" and words[1] not in wanted:
                wanted.append(words[1])
    files += [(Path(path), f"modules/{number:02}-{Path(path).name}") for number, path in enumerate(wanted)]
    for source, name in dict.fromkeys(files):
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
        target.chmod(0o755)
    (root / "init").write_text(INIT, encoding="ascii")
    (root / "init").chmod(0o755)
    return root


class Machine:
    """One virtual machine: a QEMU process, its monitor, and a shell in it."""

    def __init__(self, root, devices, name="machine", memory="256M", incoming=False):
        self.name = name
        # Kept until the machine is gone.
        self.log = tempfile.NamedTemporaryFile(prefix=f"{name}-", suffix=".log", mode="w+")  # pylint: disable=consider-using-with
        self.shell, shell = socket.socketpair()
        monitor, qmp = socket.socketpair()
        command = [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
            "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", memory,
            "-kernel", f"{said('kernel')}/arch/x86/boot/bzImage",
            "-append", "console=ttyS0 loglevel=7 panic=-1 no_timer_check tsc=reliable root=rootfs rootfstype=9p ro init=/init"
                       " rootflags=trans=virtio,version=9p2000.L,msize=262144,cache=loose",
            "-fsdev", f"local,id=rootfs,path={root},security_model=none,readonly=on",
            "-device", "virtio-9p-pci,fsdev=rootfs,mount_tag=rootfs",
            "-chardev", f"file,id=log,path={self.log.name}", "-serial", "chardev:log",
            "-chardev", f"socket,id=shell,fd={shell.fileno()}", "-serial", "chardev:shell",
            "-chardev", f"socket,id=qmp,fd={qmp.fileno()}", "-mon", "chardev=qmp,mode=control",
            *devices, *(["-incoming", "defer"] if incoming else []),
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,  # pylint: disable=consider-using-with
                                        stderr=subprocess.STDOUT, text=True, pass_fds=(shell.fileno(), qmp.fileno()))
        defer(self.end)
        shell.close()
        qmp.close()
        self.text = ""
        self.shell.settimeout(PATIENCE)
        monitor.settimeout(PATIENCE)
        self.qmp = Qmp(monitor, name, self.last_words)

    def last_words(self):
        """Returns what is left of it: what QEMU and its kernel said."""
        try:
            # It may just be on its way out.
            said_by_qemu = self.process.communicate(timeout=2)[0]
        except subprocess.TimeoutExpired:
            said_by_qemu = ""
        return f"{shlex.join(self.process.args)}\n{said_by_qemu}\n{self.tail()}"

    def boot(self):
        """Waits until its shell is ready."""
        self.answer()
        return self

    def run(self, command, fail=True):
        """Runs a command in the machine; returns what it printed. Fails the test when the command fails."""
        self.shell.sendall(command.encode() + b"\n")
        return self.answer(command if fail else None)

    def answer(self, command=None):
        """Reads until the shell is ready again."""
        while not (found := re.search(r"ready:(\d+):\r?\n", self.text)):
            try:
                piece = self.shell.recv(65536)
            except TimeoutError:
                piece = b""
            if not piece:
                raise KsftFailEx(f"{self.name} does not answer; it said {self.text!r}\n{self.tail()}")
            self.text += piece.decode("utf-8", "replace")
        said_before, self.text = self.text[:found.start()], self.text[found.end():]
        if command and found[1] != "0":
            raise KsftFailEx(f"{self.name}: {command}: status {found[1]}: {said_before}")
        return said_before

    def tail(self):
        """Returns the end of its console."""
        return "\n".join(Path(self.log.name).read_text(encoding="utf-8", errors="replace").splitlines()[-30:])

    def migrate(self, target):
        """Starts to move to another QEMU that waits for it."""
        self.qmp.migrate(target.qmp, f"{target.log.name}.migration")

    def wait_ended(self):
        """Waits until QEMU ended by itself."""
        self.process.wait(PATIENCE)

    def end(self):
        """Ends QEMU."""
        self.process.kill()
        self.process.wait()
