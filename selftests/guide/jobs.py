#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The commands of the user guide, run as they stand there.

Each section of Documentation/user-guide.md whose blocks are marked as `sh` is a case: its blocks are one script, and
every command in it has to succeed. The end of the script leaves the guest as it was.
"""

import os
import re
import subprocess
from pathlib import Path

from ferrite import KsftFailEx, KsftNamedVariant, defer, ksft_pr, ksft_variants, mode_of, need_dpus, ports, run

GUIDE = Path("/ferrite/Documentation/user-guide.md")
PATIENCE = 200


def sections():
    """Returns the sections with commands to run: name and script."""
    found = []
    for section in re.split(r"^## ", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title = section.splitlines()[0]
        blocks = re.findall(r"^```sh\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
        if blocks:
            found.append(KsftNamedVariant(re.sub(r"\W+", "_", title.lower()), "\n".join(blocks)))
    return found


def put_back():
    """Whatever a script that failed left behind."""
    for pci in need_dpus(2):
        pci.restore()


@ksft_variants(sections())
def does_what_it_says(script):
    left, right = need_dpus(2)
    environment = {"PF": str(left), "OTHER": str(right), "PATH": os.environ["PATH"]}
    try:
        done = subprocess.run(["bash", "-euxo", "pipefail", "-c", script], env=environment, text=True, timeout=PATIENCE,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except subprocess.TimeoutExpired as late:
        defer(put_back)
        raise KsftFailEx(f"no end after {PATIENCE} s:\n{late.output}") from late
    if done.returncode:
        defer(put_back)
        raise KsftFailEx(f"ended with {done.returncode}:\n{done.stdout}")
    ksft_pr(done.stdout)
    left_over = [str(port) for port in ports(left) if port.show()["flavour"] in ("pcisf", "pcivf")]
    if left_over or left.vfs or mode_of(left) != "legacy":
        defer(put_back)
        raise KsftFailEx(f"leaves behind: {left_over} {left.vfs} {mode_of(left)}")


if __name__ == "__main__":
    run(does_what_it_says)
