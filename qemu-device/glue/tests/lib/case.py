# SPDX-License-Identifier: GPL-2.0-or-later
"""What a test is made of: checks that say what they saw, and the list of all tests."""

import importlib
from pathlib import Path


class Skip(Exception):
    """The test cannot be done here, and why."""


def equal(seen, wanted, what="value"):
    """Checks that a value is the one wanted."""
    if seen != wanted:
        def show(value):
            return f"{value:#x}" if type(value) is int else repr(value)
        raise AssertionError(f"{what} is {show(seen)}, not {show(wanted)}")


def true(condition, what):
    """Checks that something holds."""
    if not condition:
        raise AssertionError(f"not so: {what}")


def collect(patterns):
    """Returns (name, function) of the tests in cases/ whose name has one of the patterns in it."""
    tests = []
    for path in sorted((Path(__file__).resolve().parent.parent / "cases").glob("*.py")):
        module = importlib.import_module(f"cases.{path.stem}")
        for name, value in vars(module).items():
            if callable(value) and getattr(value, "__module__", None) == module.__name__ and name[0] != "_":
                tests.append((f"{path.stem}.{name}", value))
    return [test for test in tests if not patterns or any(pattern in test[0] for pattern in patterns)]
