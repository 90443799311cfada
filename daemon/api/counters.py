"""What the API counts: plain numbers, written out by `daemon.observe.metrics`. Nothing is decided by them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

SECONDS_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)
"""Of the histogram of answers; waiting for finality is part of an answer."""


class Histogram:
    """Counts by upper bound, and the sum."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS_BOUNDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(SECONDS_BOUNDS, seconds)] += 1
        self.sum += seconds


class ApiCounters:
    """Since the start, except the last two."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        """By operation (as in OpenAPI; empty for a path that is not there) and status."""
        self.seconds: dict[str, Histogram] = {}
        self.problems: Counter[str] = Counter()
        """By code."""
        self.connections_accepted = 0
        self.connections_refused = 0
        self.connections_ended: Counter[str] = Counter()
        """By why: client, idle, gave_way, slow_request, slow_reader, refused, stopping, answered."""
        self.bytes_in = 0
        self.bytes_out = 0
        self.events_sent = 0
        self.connections = 0
        self.streams = 0

    def answered(self, operation: str, status: int, seconds: float) -> None:
        """An answer is ready to be sent."""
        self.answers[operation, status] += 1
        histogram = self.seconds.get(operation)
        if histogram is None:
            histogram = self.seconds[operation] = Histogram()
        histogram.observe(seconds)
