# SPDX-License-Identifier: GPL-2.0
"""What of the benchmark needs no guest: reading clients, ratios, targets, symbols, reports."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

# pylint: disable=wrong-import-position
from bench import clients, page, targets, text
from bench.results import MEASURES, Sample, tables
from bench.symbols import Symbols, readable

SOCKPERF = """sockperf: Total 1234 observations; each percentile contains 12.34 observations
sockperf: ---> <MAX> observation =  950.120
sockperf: ---> percentile 99.900 =  800.500
sockperf: ---> percentile 99.000 =  412.250
sockperf: ---> percentile 50.000 =  101.125
"""
PING = """PING 192.0.2.2 (192.0.2.2) 56(84) bytes of data.

--- 192.0.2.2 ping statistics ---
1000 packets transmitted, 990 received, 1% packet loss, time 210ms
rtt min/avg/max/mdev = 0.101/0.205/1.500/0.050 ms, ipg/ewma 0.210/0.204 ms
"""


def samples(values, comparison="tcp", case="1 flow", measure="throughput"):
    """Returns samples of sides, given their values round by round."""
    return [Sample(comparison, case, side, measure, number, value)
            for side, rounds in values.items() for number, value in enumerate(rounds)]


class Clients(unittest.TestCase):
    """Clients' words become numbers."""

    def test_a_stream_counts_what_came(self):
        report = {"end": {"sum_sent": {"bits_per_second": 9e9, "bytes": 9}, "sum_received": {"bits_per_second": 2.5e9, "bytes": 7}}}
        self.assertEqual(clients.throughput(report), (2500.0, 7))

    def test_datagrams_count_what_came(self):
        received = {"packets": 1000, "lost_packets": 250, "seconds": 3}
        self.assertEqual(clients.datagrams({"end": {"sum": {}, "sum_received": received}}), (250.0, 750, 25.0))

    def test_percentiles_are_read(self):
        found, count = clients.percentiles(SOCKPERF)
        self.assertEqual((found[50], found[99], found[99.9], count), (101.125, 412.25, 800.5, 1234))

    def test_a_flood_counts_what_was_lost(self):
        self.assertEqual(clients.flood(PING), (205.0, 990, 1.0))


class Results(unittest.TestCase):
    """Samples become ratios."""

    def test_ratios_are_made_within_rounds(self):
        # The machine got slower by the round: sides of different rounds must not be compared.
        table, = tables(samples({"ferrite": [300, 200, 100], "veth": [600, 400, 200]}))
        spread = table.ratio("veth")
        self.assertEqual((spread.middle, spread.least, spread.most), (0.5, 0.5, 0.5))

    def test_spread_is_told(self):
        table, = tables(samples({"ferrite": [100, 100, 100], "igb": [50, 100, 25]}))
        spread = table.ratio("igb")
        self.assertEqual((spread.middle, spread.least, spread.most), (2, 1, 4))

    def test_round_that_a_side_lacks_is_left_out(self):
        table, = tables(samples({"ferrite": [100, 900], "igb": [50]}))
        self.assertEqual(table.ratio("igb").most, 2)

    def test_nothing_to_divide_by_is_no_ratio(self):
        table, = tables(samples({"ferrite": [1, 2], "igb": [0, 0]}, measure="loss"))
        self.assertIsNone(table.ratio("igb"))

    def test_what_exceeds_a_floor_is_compared(self):
        table, = tables(samples({"ferrite": [12], "virtio-tap": [30], "veth": [10]}, measure="instructions"))
        self.assertAlmostEqual(table.above("virtio-tap", "veth").middle, 0.1)

    def test_samples_survive_their_line(self):
        sample = Sample("tcp", "1 flow", "veth", "instructions", 2, 12.5, "packet")
        self.assertEqual(Sample.read(sample.write()), sample)


class Targets(unittest.TestCase):
    """Ratios are judged."""

    def judged(self, values, **what):
        """Returns whether the targets that these values are about are met."""
        found = targets.judge(tables(samples(values, **what)), text.more_is_better)
        return {target.peer: met for target, _, met in found}

    def test_more_is_better_where_it_is(self):
        values = {"ferrite": [1300], "virtio-tap": [1000], "veth": [1600]}
        self.assertEqual(self.judged(values), {"virtio-tap": True, "veth": False})

    def test_less_is_better_where_it_is(self):
        what = {"comparison": "flood", "case": "56 bytes", "measure": "average"}
        self.assertEqual(self.judged({"ferrite": [60], "virtio-tap": [100]}, **what), {"virtio-tap": True})
        self.assertEqual(self.judged({"ferrite": [61], "virtio-tap": [100]}, **what), {"virtio-tap": False})

    def test_every_target_is_of_a_comparison_and_a_measure_that_are(self):
        names = {path.stem for path in (Path(__file__).parents[1] / "comparisons").glob("*.py")}
        for target in targets.TARGETS:
            self.assertIn(target.comparison, names)
            self.assertIn(target.measure, MEASURES)


class SymbolTable(unittest.TestCase):
    """Addresses become functions."""

    def test_address_belongs_to_the_function_before_it(self):
        symbols = Symbols("ffffffff81000000 T _stext\nffffffff81000100 t helper\nffffffffa0000000 t poll\t[ferrite_net]\n"
                          "ffffffff82000000 D data\n")
        counts = {0xFFFFFFFF81000110: 3, 0xFFFFFFFF81000100: 4, 0xFFFFFFFFA0000010: 5, 0x1000: 1}
        self.assertEqual(dict(symbols.by_function(counts)), {"helper": 7, "poll [ferrite_net]": 5, "?": 1})

    def test_rust_names_are_readable(self):
        self.assertEqual(readable("_RNvMs0_NtCs8x7_11ferrite_net2txNtB5_4Pool4send"), "ferrite_net::tx::Pool::send")


class Reports(unittest.TestCase):
    """Tables become words and pictures."""

    def test_no_value_without_its_peer(self):
        lines = list(text.report(tables(samples({"ferrite": [1300], "virtio-tap": [1000]})), {"tcp": "TCP streams."}))
        self.assertIn("tcp: TCP streams.", lines)
        self.assertTrue(any("virtio-tap" in line and "ferrite is 1.30 (1.30 to 1.30) of it" in line for line in lines), lines)
        self.assertTrue(any(line.startswith("  met") and ">= 1.3 x virtio-tap" in line for line in lines), lines)

    def test_page_needs_nothing_beside_it(self):
        found = tables(samples({"ferrite": [1, 2, 3], "a<b": [2, 2, 2]}))
        whole = "".join(page.report(found, {}, "2 & 3"))
        self.assertIn("a&lt;b", whole)
        self.assertIn("2 &amp; 3", whole)
        self.assertIn("<svg", whole)
        for outside in ("<script", "src=", "<link", "@import"):
            self.assertFalse(outside in whole, outside)


if __name__ == "__main__":
    unittest.main()
