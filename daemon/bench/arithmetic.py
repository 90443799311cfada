"""Percentiles, due times, and series: the arithmetic of the measurements, without a clock of its own.

Seconds are floats, as clocks give them; what is reported is in milliseconds, rounded to a tenth.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final

HISTOGRAM_STEPS: Final = 20
"""Bins of the histogram for each power of ten."""
MS: Final = 1000
BURST_EVERY_S: Final = 5.0
BURST_S: Final = 1.0
FIRST_MARK: Final = 10_000
"""Receipts of the youngest history that is compared with older ones."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Latencies, summed up; milliseconds. No value of nothing is a number: all are None when count is 0."""

    count: int
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    mean_ms: float | None

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that at least so many percent do not pass (nearest rank). `ordered` ascends, is not empty."""
    assert ordered, "a percentile of something"
    assert 0 < percent <= 100, "a percentage"
    rank = math.ceil(len(ordered) * percent / 100)
    return ordered[max(rank, 1) - 1]


def distribution(seconds: Iterable[float]) -> Distribution:
    """Of latencies in seconds."""
    ordered = sorted(seconds)
    if not ordered:
        return Distribution(0, None, None, None, None, None)
    p50, p90, p99 = (round(percentile(ordered, percent) * MS, 1) for percent in (50, 90, 99))
    mean = math.fsum(ordered) / len(ordered)
    return Distribution(len(ordered), p50, p90, p99, round(ordered[-1] * MS, 1), round(mean * MS, 1))


def due_times(requests: int, envelopes_each: int, envelopes_a_second: float, burst: float = 1.0) -> list[float]:
    """When each request is due, in seconds from the start, whatever becomes of the earlier ones.

    Evenly; with a `burst` the last of every `BURST_EVERY_S` seconds has so many times as many.
    """
    assert envelopes_a_second > 0, "a rate"
    assert burst >= 1, "a burst is more, not less"
    return [_burst_time(request * envelopes_each / envelopes_a_second, burst) for request in range(requests)]


def _burst_time(even: float, burst: float) -> float:
    """When a load with bursts has sent what an even one has sent in `even` seconds."""
    quiet = BURST_EVERY_S - BURST_S
    cycles, rest = divmod(even, quiet + burst * BURST_S)
    return cycles * BURST_EVERY_S + (rest if rest < quiet else quiet + (rest - quiet) / burst)


def requests_within(seconds: float, envelopes_each: int, envelopes_a_second: float, burst: float = 1.0) -> int:
    """How many requests are due in that time; one at least."""
    whole, rest = divmod(seconds, BURST_EVERY_S)
    in_bursts = whole * BURST_S + max(0.0, rest - (BURST_EVERY_S - BURST_S))
    weighed = seconds + (burst - 1) * in_bursts
    return max(1, round(envelopes_a_second * weighed / envelopes_each))


def growth_marks(transactions: int) -> list[int]:
    """Lengths of history at which a transaction's cost is compared: from 10,000 on by tens, the last is the whole.

    A shorter history than 20,000 is compared with its half.
    """
    marks, mark = [], min(FIRST_MARK, transactions // 2)
    while mark and mark < transactions:
        marks.append(mark)
        mark *= 10
    return [*marks, transactions]


def dealt(requests: int, index: int, generators: int) -> range:
    """Which requests generator `index` of so many sends: they take turns, so each keeps the even pace."""
    assert 0 <= index < generators, "one of them"
    return range(index, requests, generators)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A stretch of a run. at_s: its beginning. count: events in it; latencies as in Distribution."""

    at_s: float
    count: int
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None


def series(points: Iterable[tuple[float, float]], seconds: float, width_s: float) -> list[Bucket]:
    """Latency over time: points are (when, latency), in seconds from the start; what lies outside is left out."""
    count = max(1, math.ceil(seconds / width_s))
    found: list[list[float]] = [[] for _ in range(count)]
    for at, latency in points:
        if 0 <= at < count * width_s:
            found[int(at / width_s)].append(latency)
    buckets = []
    for index, latencies in enumerate(found):
        told = distribution(latencies)
        buckets.append(Bucket(round(index * width_s, 3), told.count, told.p50_ms, told.p99_ms, told.max_ms))
    return buckets


def bucket_width(seconds: float) -> float:
    """A width that cuts a run into 60 buckets at most, and is a handy number of seconds."""
    return next((width for width in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0) if seconds / width <= 60), 60.0)


def histogram(seconds: Iterable[float]) -> list[tuple[float, int]]:
    """(upper edge in ms, how many) of bins that grow by one twentieth of a power of ten, from first to last used."""
    counts: dict[int, int] = {}
    for value in seconds:
        step = math.ceil(math.log10(max(value * MS, 0.1)) * HISTOGRAM_STEPS - 1e-9)
        counts[step] = counts.get(step, 0) + 1
    if not counts:
        return []
    return [
        (round(10 ** (step / HISTOGRAM_STEPS), 3), counts.get(step, 0)) for step in range(min(counts), max(counts) + 1)
    ]


def longest_gap(times: Iterable[float], begin: float, end: float) -> float:
    """The longest stretch between `begin` and `end` in which nothing happened, in seconds."""
    inside = sorted(time for time in times if begin <= time <= end)
    edges = [begin, *inside, end]
    return max(later - earlier for earlier, later in pairwise(edges))
