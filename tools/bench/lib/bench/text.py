# SPDX-License-Identifier: GPL-2.0
"""The report as text."""

from .results import MEASURES
from .targets import judge


def number(value):
    """Returns a number with about three digits that count."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def ratio(spread):
    """Returns a ratio with its spread."""
    if spread is None:
        return "-"
    return f"{spread.middle:.2f} ({spread.least:.2f} to {spread.most:.2f})"


def more_is_better(measure):
    """Whether more of it is better."""
    return MEASURES[measure].more_is_better


def lines_of(table):
    """Yields the lines of one table."""
    base = table.base()
    better = "more" if more_is_better(table.measure) else "less"
    yield f"  {table.case}: {table.unit} ({better} is better)"
    width = max(16, *(len(side) for side in table.sides))
    for side in table.sides:
        line = f"    {side:{width}} {number(table.spread(side).middle):>12}"
        yield line if side == base else f"{line}   {base} is {ratio(table.ratio(side))} of it"


def report(tables, titles):
    """Yields the lines of the report; `titles` has a line for each comparison."""
    shown = None
    for table in tables:
        if table.comparison != shown:
            shown = table.comparison
            yield ""
            yield f"{shown}: {titles.get(shown, '')}".rstrip(": ")
        yield from lines_of(table)
    verdicts = list(judge(tables, more_is_better))
    if verdicts:
        yield ""
        yield "targets"
        for target, spread, met in verdicts:
            sign = ">=" if more_is_better(target.measure) else "<="
            above = f", above {target.above}" if target.above else ""
            what = f"{target.comparison}, {target.case}, {target.measure}{above}: {sign} {target.limit:g} x {target.peer}"
            yield f"  {'met   ' if met else 'missed'}  {what}: {ratio(spread)}"
