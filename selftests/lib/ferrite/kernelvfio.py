# SPDX-License-Identifier: GPL-2.0
"""The kernel's own programs that test VFIO (tools/testing/selftests/vfio), with our driver in their library."""

import os
import re
import signal
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

from net.lib.py import KsftFailEx, defer, ksft_eq, ksft_pr

from .dpu import put

FOLDER = Path(os.environ.get("FERRITE_KSELFTESTS", ""), "tools/testing/selftests/vfio")
RESULT = re.compile(r"^(not )?ok \d+ (\S*)(?:.*# (SKIP|XFAIL)\b *(.*))?$")
# The IOMMU modes that they have variants for.
MODES = ["vfio_type1_iommu", "vfio_type1v2_iommu", "iommufd_compat_type1", "iommufd_compat_type1v2", "iommufd"]
HUGE = [Path("/sys/kernel/mm/transparent_hugepage", name) for name in ("shmem_enabled", "defrag")]


def in_huge_pages():
    """Gives shared memory out in pages of 2 MiB for the length of the test: a GiB of it takes seconds instead of a minute."""
    for setting in HUGE:
        defer(put, setting, setting.read_text(encoding="ascii").split("[")[1].split("]")[0])
        put(setting, "always")


def program(name, devices, options="", skips=None):
    """Runs one of the programs. It must pass, and skip what is listed: {pattern of a test: why}."""
    skips = skips or {}
    command = [str(FOLDER / name), *options.split(), *map(str, devices)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        defer(process.kill)
        told, _ = process.communicate()
    if process.returncode < 0:
        told += f"\nended by {signal.Signals(-process.returncode).name}"
    results = {found[2]: (found[1], found[3], found[4]) for found in map(RESULT.match, told.splitlines()) if found}
    for test, (failed, directive, why) in results.items():
        ksft_pr(f"{'failed' if failed else 'passed' if not directive else directive}: {test} {why or ''}".rstrip())
    skipped = {test for test, (_, directive, _) in results.items() if directive}
    listed = {test for test in results if any(fnmatchcase(test, pattern) for pattern in skips)}
    if process.returncode or not results or any(failed for failed, *_ in results.values()):
        raise KsftFailEx(f"{name} ended with {process.returncode}:\n{told}")
    ksft_eq(skipped, listed, "tests that were skipped")
    return told
