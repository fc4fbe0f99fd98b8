# SPDX-License-Identifier: GPL-2.0
"""What runs a guest's processors: KVM where that works, else TCG."""

import os
import subprocess

# Seconds in which KVM has to bring the guest's kernel up. It takes two; TCG takes four, so where KVM is so slow,
# as without the processor's help in a machine that is virtual itself, nothing is lost.
PATIENCE = 20


def choose(kernel, command):
    """Returns "kvm" or "tcg" for guests with this kernel.

    That /dev/kvm can be opened proves nothing, nor does a virtual machine that runs a few instructions. So the kernel
    is booted once per boot of the host, by `command`: a machine with KVM, whose init is /bin/true and whose console is
    the standard output.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        verdict = f"/cache/run/kvm-{file.read().strip()}-{os.getuid()}-{os.path.basename(kernel)}"
    try:
        with open(verdict, encoding="ascii") as file:
            return file.read()
    except FileNotFoundError:
        pass
    chosen = "kvm" if boots(command) else "tcg"
    with open(f"{verdict}.{os.getpid()}", "w", encoding="ascii") as file:
        file.write(chosen)
    os.rename(file.name, verdict)
    return chosen


def boots(command):
    """Whether the machine runs its init to a good end: then its kernel, left alone, reboots it."""
    try:
        tried = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return False
    return b"Attempted to kill init! exitcode=0x00000000" in tried.stdout
