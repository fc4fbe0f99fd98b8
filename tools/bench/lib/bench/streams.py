# SPDX-License-Identifier: GPL-2.0
"""What several comparisons measure of sides: streams, datagrams, round trips."""

from . import clients

SECONDS = 2
# What a segment carries: counts are told for this much.
SEGMENT, DATAGRAM = 1448, 18


def streams(bench, sides, flows=(1, 4), prefix=""):
    """Compares TCP streams."""
    for count in flows:
        case = f"{prefix}{count} flow" + ("s" if count > 1 else "")

        def measure(side, count=count):
            with bench.meter.counted() as counted:
                report = side.iperf(f"--parallel {count}", SECONDS)
            speed, size = clients.throughput(report)
            return {"throughput": speed} | counted.per(size / SEGMENT, f"{SEGMENT} bytes")

        bench.compare(case, sides, measure)
        bench.look_closer(case, sides, lambda side, count=count: clients.throughput(side.iperf(f"--parallel {count}", 1))[1] / SEGMENT,
                          f"{SEGMENT} bytes")


def datagrams(bench, sides, prefix=""):
    """Compares small UDP packets, as many as can be sent."""
    case = f"{prefix}{DATAGRAM} bytes"
    options = f"--udp --bandwidth 0 --length {DATAGRAM}"

    def measure(side):
        with bench.meter.counted() as counted:
            report = side.iperf(options, SECONDS)
        rate, came, lost = clients.datagrams(report)
        return {"rate": rate, "loss": lost} | counted.per(came, "packet received")

    bench.compare(case, sides, measure)
    bench.look_closer(case, sides, lambda side: clients.datagrams(side.iperf(options, 1))[1], "packet received")


def round_trips(bench, sides, seconds=SECONDS):
    """Compares requests that are answered one at a time."""
    def measure(side):
        side.serve("sockperf server --ip 0.0.0.0", 11111)
        with bench.meter.counted() as counted:
            said = side.run(f"sockperf ping-pong --ip {side.right.ipv4} --port 11111 --time {seconds} --msg-size 64 --full-rtt")
        found, count = clients.percentiles(said)
        return {"median": found[50], "p99": found[99]} | counted.per(count, "round trip")

    bench.compare("64 bytes", sides, measure)


def floods(bench, sides, count=3000):
    """Compares floods of pings: the next is sent when the one before came back."""
    def measure(side):
        with bench.meter.counted() as counted:
            said = side.run(f"ping -n -q -f -c {count} {side.right.ipv4}")
        average, came, lost = clients.flood(said)
        return {"average": average, "loss": lost} | counted.per(came, "round trip")

    def closer(side):
        return clients.flood(side.run(f"ping -n -q -f -c {count // 4} {side.right.ipv4}"))[1]

    bench.compare("56 bytes", sides, measure)
    bench.look_closer("56 bytes", sides, closer, "round trip")
