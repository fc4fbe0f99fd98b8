# SPDX-License-Identifier: GPL-2.0
"""Loading and unloading our modules."""

from pathlib import Path

from net.lib.py import cmd

# What every guest loads; consumers first, as they are unloaded.
MODULES = ["ferrite_vfio", "ferrite_net", "ferrite_core", "ferrite_aux"]


def loaded():
    """Returns which of our modules are loaded."""
    return [module for module in MODULES if Path("/sys/module", module).exists()]


def unload():
    """Unloads all of our modules, consumers first."""
    if Path("/sys/module/ferrite_vdpa").exists():
        cmd("modprobe -r ferrite_vdpa", timeout=60)
    for module in loaded():
        cmd(f"modprobe -r {module}", timeout=60)


def load():
    """Loads all of our modules; the library comes with them."""
    cmd("modprobe ferrite_core", timeout=60)
    cmd("modprobe ferrite_net", timeout=60)
    cmd("modprobe ferrite_vfio", timeout=60)
