#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The conformance test on a driver that is not ours: the kernel's sample mtty, which is no PCI device. It must pass, but for what mtty
does otherwise than include/uapi/linux/vfio.h says."""

import functools
import os
import uuid
from pathlib import Path

import conformance
from ferrite import KsftSkipEx, cmd, defer, put, run
from ferrite.harness import deviates

TYPE = Path("/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1")
DEVIATIONS = {
    "pre_copy_says_enomsg_and_stop_copy_does_not": "in PRE_COPY its file ends, where ENOMSG is due",
    "the_log_is_begun_once": "its log of writes is a stub, which can be begun while it is begun",
}


def on_mtty(case):
    """Returns a case that is about a new mtty."""
    @functools.wraps(case)
    def wrapped():
        if cmd("modprobe mtty", fail=False, timeout=60).ret:
            raise KsftSkipEx("the kernel has no module mtty (CONFIG_SAMPLE_VFIO_MDEV_MTTY)")
        # What a case that failed left open keeps it.
        defer(cmd, "modprobe -r mtty", fail=False, timeout=60)
        name = str(uuid.uuid4())
        put(TYPE / "create", name)
        defer(put, f"/sys/bus/mdev/devices/{name}/remove", 1)
        os.environ["BDF"] = name
        case()
    why = DEVIATIONS.get(case.__name__)
    return deviates(wrapped, why) if why else wrapped


if __name__ == "__main__":
    run(*map(on_mtty, conformance.CASES))
