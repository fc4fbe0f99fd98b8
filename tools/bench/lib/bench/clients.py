# SPDX-License-Identifier: GPL-2.0
"""What the clients that measure say, as numbers."""

import re


def throughput(report):
    """Returns the Mbit/s and the bytes that came through a TCP stream, of iperf3's report."""
    received = report["end"]["sum_received"]
    return received["bits_per_second"] / 1e6, received["bytes"]


def datagrams(report):
    """Returns how many datagrams came in a second, how many in all, and the percentage that was lost, of iperf3's report."""
    end = report["end"]
    received = end.get("sum_received") or end["sum"]
    came = received["packets"] - received["lost_packets"]
    return came / received["seconds"], came, 100 * received["lost_packets"] / max(1, received["packets"])


def percentiles(text):
    """Returns the percentiles in microseconds that sockperf tells, and how many round trips it measured."""
    found = {float(name): float(value) for name, value in re.findall(r"percentile\s+([\d.]+)\s*=\s*([\d.]+)", text)}
    return found, int(re.search(r"Total (\d+) observations", text)[1])


def flood(text):
    """Returns the average round trip in microseconds, how many there were, and the percentage that was lost, as ping tells."""
    sent, came = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", text).groups())
    average = float(re.search(r"= [\d.]+/([\d.]+)/", text)[1])
    return 1000 * average, came, 100 * (sent - came) / sent
