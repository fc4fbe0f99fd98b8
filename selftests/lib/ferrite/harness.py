# SPDX-License-Identifier: GPL-2.0
"""Runs the cases of a test under the rule of the clean kernel log."""

import functools
import os

from net.lib.py import defer, ksft_exit, ksft_run
from net.lib.py.ksft import KsftCaseFunction

from .kmsg import Log

# The running test's view of the kernel log.
log = Log()


def _watched(case):
    if isinstance(case, KsftCaseFunction):
        return case._replace(original_func=_watched(case.original_func))

    @functools.wraps(case)
    def watched(*args):
        log.begin(case.__name__)
        # Deferred first, hence done last: when the test has cleaned up.
        defer(log.end)
        case(*args)
    return watched


def run(*cases):
    """Runs the cases and exits with their status. The last statement of a test."""
    os.umask(0o022)
    ksft_run(cases=[_watched(case) for case in cases])
    ksft_exit()
