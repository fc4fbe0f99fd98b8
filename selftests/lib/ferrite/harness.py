# SPDX-License-Identifier: GPL-2.0
"""Runs the cases of a test under the rule of the clean kernel log."""

import functools
import os

from net.lib.py import KsftFailEx, KsftXfailEx, defer, ksft, ksft_exit, ksft_pr, ksft_run
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


def deviates(case, why):
    """Returns a case that must fail, since what it tests is known not to do what the case wants."""
    @functools.wraps(case)
    def failing():
        passed = True
        try:
            case()
        except (KsftFailEx, OSError) as error:
            ksft_pr(error)
            passed = False
        if passed and ksft.KSFT_RESULT:
            raise KsftFailEx(f"this is not so any more: {why}")
        ksft.KSFT_RESULT = True
        raise KsftXfailEx(why)
    return failing


def run(*cases):
    """Runs the cases and exits with their status. The last statement of a test."""
    os.umask(0o022)
    ksft_run(cases=[_watched(case) for case in cases])
    ksft_exit()
