# SPDX-License-Identifier: GPL-2.0
"""The report as a page that needs nothing beside it."""

import re
from html import escape

import pygal
from pygal.style import CleanStyle

from .results import MEASURES
from .text import judge, more_is_better, number, ratio

# What pygal leaves for a script of its own, which the page goes without.
SCRIPT = re.compile("<script.*?</script>", re.DOTALL)
STYLE = """
body { font: 15px/1.4 sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 0.5em 0; } td, th { padding: 0.1em 0.8em; text-align: right; }
td:first-child, th:first-child { text-align: left; } .missed { color: #a00; } .met { color: #070; }
figure { display: inline-block; width: 32em; margin: 0.5em 0; } figcaption { font-weight: bold; }
"""


def plot(table):
    """Returns a plot of a table: a box for each side, from its least to its greatest value."""
    chart = pygal.Box(box_mode="extremes", style=CleanStyle, js=(), width=640, height=320, show_y_guides=True,
                      include_x_axis=True, legend_at_bottom=True, y_title=table.unit, no_prefix=False)
    for side, rounds in table.sides.items():
        chart.add(side, list(rounds.values()))
    return SCRIPT.sub("", chart.render(is_unicode=True, disable_xml_declaration=True))


def rows(table):
    """Yields the rows of a table."""
    base = table.base()
    yield f"<tr><th>{escape(table.unit)}</th><th>median</th><th>least</th><th>most</th><th>{escape(base)} / it</th></tr>"
    for side in table.sides:
        values = table.spread(side)
        compared = "" if side == base else ratio(table.ratio(side))
        cells = (side, number(values.middle), number(values.least), number(values.most), compared)
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def report(tables, titles, about):
    """Yields the pieces of the page."""
    yield f"<!DOCTYPE html>\n<html lang=en><meta charset=utf-8><title>Ferrite's benchmark</title><style>{STYLE}</style>\n"
    yield "<h1>Ferrite's benchmark</h1>\n<p>" + escape(about) + "</p>\n"
    yield "<p>Each ratio is the median of those of the rounds, with the least and the greatest. Counts do not depend on what else the "
    yield "machine does; times do.</p>\n"
    verdicts = list(judge(tables, more_is_better))
    if verdicts:
        yield "<h2>Targets</h2>\n<table>"
        for target, spread, met in verdicts:
            name = "met" if met else "missed"
            sign = "≥" if more_is_better(target.measure) else "≤"
            above = f", above {target.above}" if target.above else ""
            what = f"{target.comparison}, {target.case}: {target.measure}{above} {sign} {target.limit:g} × {target.peer}"
            yield f"<tr class={name}><td>{escape(what)}</td><td>{ratio(spread)}</td><td>{name}</td></tr>\n"
        yield "</table>\n"
    shown = None
    for table in tables:
        if table.comparison != shown:
            shown = table.comparison
            yield f"<h2>{escape(shown)}</h2>\n<p>{escape(titles.get(shown, ''))}</p>\n"
        kind = "counted" if MEASURES[table.measure].counted else "timed"
        yield f"<figure><figcaption>{escape(table.case)}: {escape(table.unit)} ({kind})</figcaption>{plot(table)}</figure>\n"
        yield "<table>" + "\n".join(rows(table)) + "</table>\n"
    yield "</html>\n"
