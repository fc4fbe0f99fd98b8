# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU without a guest: memory, configuration space and time by qtest, the rest by QMP."""

import ctypes
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from pathlib import Path

ECAM = 0xb0000000
TIMEOUT = 60


PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class QemuError(Exception):
    """QEMU refused a command, or ended."""


class Machine:
    """A q35 machine with 64 MiB of memory and root ports rp0 and rp1, the first of which a device is behind."""

    binary = None
    _alive = []
    _log = []

    def __init__(self, *arguments, device="ferrite,bus=rp0,id=dpu,mac=52:54:00:fe:00:01", iommu=False,
                 incoming=None, keep=()):
        self.directory = Path(tempfile.mkdtemp(prefix="ferrite-qtest-"))
        self.errors = self.directory / "stderr"
        listeners = [self._listen("qtest"), self._listen("qmp")]
        command = [
            self.binary, "-machine", "q35", "-accel", "qtest", "-nodefaults", "-display", "none", "-m", "64",
            "-qtest", f"unix:{self.directory}/qtest", "-qtest-log", "/dev/null",
            "-qmp", f"unix:{self.directory}/qmp",
            # Slots are the business of PCI Express, not of ACPI.
            "-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
        ]
        for directory in ("/usr/share/seabios", "/usr/share/qemu"):
            command += ["-L", directory]
        if iommu:
            command += ["-device", "intel-iommu"]
        for port in range(2):
            command += ["-device", f"pcie-root-port,id=rp{port},bus=pcie.0,chassis={port + 1},addr={port + 2}.0"]
        command += arguments
        if device:
            command += ["-device", device]
        if incoming:
            command += ["-incoming", incoming]
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                                            pass_fds=keep, preexec_fn=self._die_with_us,
                                            # What was freed is no longer what it was.
                                            env={**os.environ, "MALLOC_PERTURB_": "165"})
        Machine._alive.append(self)
        self._events = []
        self._qtest = self._accept(listeners[0])
        self._qmp = self._accept(listeners[1])
        json.loads(self._line(self._qmp))
        self.qmp("qmp_capabilities")
        self.map_ecam()

    @staticmethod
    def _die_with_us():
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def _listen(self, name):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self.directory / name))
        listener.listen(1)
        # Short, to notice a QEMU that ends without a word.
        listener.settimeout(0.2)
        return listener

    def _accept(self, listener):
        with listener:
            for _ in range(5 * TIMEOUT):
                try:
                    connection, _ = listener.accept()
                    connection.settimeout(TIMEOUT)
                    return connection.makefile("rwb")
                except socket.timeout:
                    if self.process.poll() is not None:
                        break
        raise QemuError(f"no QEMU: {self.words()}")

    def _line(self, channel):
        try:
            line = channel.readline()
        except ConnectionResetError:
            line = None
        if not line:
            raise QemuError(f"QEMU is gone: {self.words()}")
        return line

    def map_ecam(self):
        """Puts the configuration space where firmware would."""
        self.outl(0xcf8, 0x80000060)
        self.outl(0xcfc, ECAM | 1)
        self.outl(0xcf8, 0x80000064)
        self.outl(0xcfc, 0)

    # Life and death.

    def words(self):
        """Returns what QEMU wrote to its standard error."""
        return self.errors.read_text(errors="replace").strip()

    def wait(self):
        """Waits for QEMU to end; returns its exit status."""
        return self.process.wait(TIMEOUT)

    def kill(self):
        """Ends QEMU and forgets its files."""
        if self in Machine._alive:
            Machine._alive.remove(self)
            self.process.kill()
            self.process.wait()
            Machine._log = (Machine._log + self.words().splitlines())[-20:]
            if os.environ.get("QTEST_LOG"):
                for line in self.words().splitlines():
                    print(f"# qemu: {line}", flush=True)
            shutil.rmtree(self.directory, ignore_errors=True)

    @classmethod
    def kill_all(cls):
        """Ends every QEMU."""
        for machine in list(cls._alive):
            machine.kill()
        cls._log = []

    @classmethod
    def last_words(cls):
        """Returns the last lines that the QEMUs of this test wrote."""
        for machine in list(cls._alive):
            machine.kill()
        return cls._log

    @classmethod
    def refuses(cls, device):
        """Starts a QEMU that must refuse a device; returns its complaint."""
        result = subprocess.run(
            [cls.binary, "-machine", "q35", "-accel", "qtest", "-nodefaults", "-display", "none",
             "-L", "/usr/share/seabios", "-L", "/usr/share/qemu", "-qtest", "null",
             "-device", "pcie-root-port,id=rp0,chassis=1", "-device", device, "-monitor", "none"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        if result.returncode != 1:
            raise AssertionError(f"exit status {result.returncode}, not 1: {result.stderr}")
        return result.stderr.strip()

    # The monitor.

    def qmp(self, command, **arguments):
        """Executes a QMP command; returns what it returns."""
        request = {"execute": command}
        if arguments and command == "device_add":
            # The names of properties are the device's own.
            request["arguments"] = arguments
        elif arguments:
            request["arguments"] = {name.replace("_", "-"): value for name, value in arguments.items()}
        self._qmp.write(json.dumps(request).encode() + b"\n")
        self._qmp.flush()
        while True:
            answer = json.loads(self._line(self._qmp))
            if "error" in answer:
                raise QemuError(answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]
            self._events.append(answer)

    def hmp(self, line):
        """Executes a command of the human monitor; returns what it prints."""
        return self.qmp("human-monitor-command", command_line=line).strip()

    def event(self, name):
        """Waits for an event, and drops those before it."""
        while True:
            answer = self._events.pop(0) if self._events else json.loads(self._line(self._qmp))
            if answer.get("event") == name:
                return answer

    # qtest.

    def _command(self, *words):
        self._qtest.write((" ".join(words) + "\n").encode())
        self._qtest.flush()
        while True:
            answer = self._line(self._qtest).decode().split()
            if answer[0] == "OK":
                return answer[1:]
            if answer[0] != "IRQ":
                raise QemuError(f"{words}: {answer}")

    def outl(self, port, value):
        """Writes to an I/O port."""
        self._command("outl", hex(port), hex(value))

    def read(self, address, size):
        """Reads one number of 1, 2, 4 or 8 bytes in one access."""
        return int(self._command("read" + {1: "b", 2: "w", 4: "l", 8: "q"}[size], hex(address))[0], 16)

    def write(self, address, size, value):
        """Writes one number of 1, 2, 4 or 8 bytes in one access."""
        self._command("write" + {1: "b", 2: "w", 4: "l", 8: "q"}[size], hex(address), hex(value))

    def load(self, address, length):
        """Reads memory."""
        return bytes.fromhex(self._command("read", hex(address), hex(length))[0][2:])

    def store(self, address, data):
        """Writes memory."""
        if data:
            self._command("write", hex(address), hex(len(data)), "0x" + bytes(data).hex())

    def load32(self, address):
        """Reads a word of memory."""
        return struct.unpack("<I", self.load(address, 4))[0]

    def step(self, nanoseconds):
        """Lets time pass, with all timers that expire meanwhile."""
        self._command("clock_step", str(nanoseconds))

    def until(self, condition, what, milliseconds=2000):
        """Lets time pass, a millisecond at a time, until something is so; returns what `condition` did."""
        for _ in range(milliseconds):
            result = condition()
            if result:
                return result
            self.step(1_000_000)
        raise AssertionError(f"never came: {what}")

    def settle(self):
        """Lets the device do all that it has to do."""
        for _ in range(20):
            self.step(1_000_000)

    # The whole state.

    def save(self, path):
        """Writes the state of the stopped machine to a file, as a migration does."""
        self.qmp("stop")
        self.qmp("migrate", uri=f"file:{path}")
        while True:
            status = self.qmp("query-migrate").get("status")
            if status == "completed":
                return
            if status in ("failed", "cancelled"):
                raise QemuError(f"migration {status}: {self.words()}")

    @classmethod
    def restored(cls, path, *arguments, **options):
        """Starts a machine with the state in a file and has it go on."""
        machine = cls(*arguments, incoming="defer", **options)
        machine.qmp("migrate-incoming", uri=f"file:{path}")
        while True:
            state = machine.qmp("query-status")["status"]
            if state in ("paused", "running", "prelaunch"):
                break
            if machine.process.poll() is not None:
                raise QemuError(machine.words())
        machine.qmp("cont")
        return machine
