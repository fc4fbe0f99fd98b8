# SPDX-License-Identifier: GPL-2.0
"""What Ferrite's kselftests share, on top of the kernel's own library for them (tools/testing/selftests/net/lib/py).

A test is a file that ends with `run(case, ...)`. A case is a function whose name states the outcome. It undoes what
it does with `defer()`, and waits for what it can see instead of for time to pass.
"""

from net.lib.py import (KsftFailEx, KsftSkipEx, bkg, cmd, defer, ethtool, ip, ksft_eq, ksft_ge, ksft_gt, ksft_in,
                        ksft_lt, ksft_ne, ksft_not_in, ksft_pr, ksft_true, ksft_variants, rand_port,
                        wait_port_listen, KsftNamedVariant)

from .devlink import Port, Sf, bridge, devlink, make_sf, mode_of, ports, refused, set_mode
from .dpu import AUXILIARY, DEVICE_PF, DEVICE_VF, DRIVER, VENDOR, Pci, dpus, need_dpus, put
from .harness import log, run
from .modules import MODULES, load, loaded, unload
from .net import Pair, Side, stats
from .wait import wait_for

__all__ = ["KsftFailEx", "KsftSkipEx", "bkg", "cmd", "defer", "ethtool", "ip", "ksft_eq", "ksft_ge", "ksft_gt",
           "ksft_in", "ksft_lt", "ksft_ne", "ksft_not_in", "ksft_pr", "ksft_true", "ksft_variants", "rand_port",
           "wait_port_listen", "KsftNamedVariant",
           "AUXILIARY", "DEVICE_PF", "DEVICE_VF", "DRIVER", "VENDOR", "Pci", "dpus", "need_dpus", "put", "log", "run", "MODULES",
           "load", "loaded", "unload", "Pair", "Side", "stats", "wait_for", "Port", "Sf", "bridge", "devlink", "make_sf", "mode_of",
           "ports", "refused", "set_mode"]
