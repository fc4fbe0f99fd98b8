# SPDX-License-Identifier: GPL-2.0
"""Waiting for state that no event announces."""

from net.lib.py import KsftFailEx, ksft_busy_wait

# Seconds; generous, for the guest may be emulated and the host busy.
PATIENCE = 20


def wait_for(condition, what, deadline=PATIENCE):
    """Returns what `condition` returns once that is true; fails the test when it does not become true in time."""
    value = None

    def true():
        nonlocal value
        value = condition()
        return value

    ksft_busy_wait(true, sleep=0.02, deadline=deadline, comment=what)
    if not value:
        raise KsftFailEx(f"waited {deadline} s in vain for {what}")
    return value
