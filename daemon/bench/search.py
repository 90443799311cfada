"""The highest rate that is held: which rate to try next, given what became of those tried. Pure.

Up by half until a rate is not held, then between the highest held and the lowest not held (their geometric mean), until
they lie within `CLOSE_PERCENT`. Then the highest held is tried for the full time, on a network that is new; if it is
not held so long, the next below, by the same step. Every trial is in the report.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

RISE: Final = 1.5
CLOSE_PERCENT: Final = 8
P99_MS_MAX: Final = 1_000
FINAL_PERCENT_MIN: Final = 99.5
"""Of the good ones sent: less, and the rate was not held."""
TRIES_MAX: Final = 16
RATE_MIN: Final = 1.0


@dataclass(slots=True)
class RateSearch:
    """rate: what to try next; full: for the full time. held, too_much: the highest held in a short try, the lowest not.

    done: the search is over, and `answer` is the highest rate held for the full time; None if none was.
    """

    rate: float
    full: bool = False
    done: bool = False
    answer: float | None = None
    held: float | None = None
    too_much: float | None = None
    tries: int = field(default=0)

    def told(self, *, held: bool) -> None:
        """What became of `rate`."""
        assert not self.done, "the search is over"
        self.tries += 1
        if self.full and held:
            self.answer = self.rate
        elif held:
            self.held = self.rate
        else:
            self.too_much = self.rate
        lowest = not held and self.rate <= RATE_MIN
        self.done = self.answer is not None or lowest or self.tries >= TRIES_MAX
        if not self.done:
            self._next()

    def _next(self) -> None:
        if self.full:  # the full time was too long for it: a step below, for the full time again
            self.rate = _below(self.rate)
        elif self.too_much is None:
            self.rate = _handy(self.rate * RISE)
        elif self.held is None:
            self.rate = _handy(self.rate / RISE)
        elif self.too_much <= self.held * (100 + CLOSE_PERCENT) / 100:
            self.rate, self.full = self.held, True
        else:
            self.rate = _handy(math.sqrt(self.held * self.too_much))
            if self.rate in (self.held, self.too_much):
                self.rate, self.full = self.held, True


def is_held(summary: Mapping[str, Any]) -> bool:
    """Whether a trial's rate was held: all became final, 99 of 100 within a second of when they were due."""
    p99_ms = summary["latency_final"]["p99_ms"]
    enough = summary["final_ok"] * 100 >= summary["sent"]["good"] * FINAL_PERCENT_MIN
    return bool(enough and p99_ms is not None and p99_ms < P99_MS_MAX)


def _below(rate: float) -> float:
    """The next rate below: by the same step, and never the same again, since who tries often enough succeeds once."""
    return min(_handy(rate * 100 / (100 + CLOSE_PERCENT)), max(RATE_MIN, rate - 1))


def _handy(rate: float) -> float:
    """Two digits and a half: 1,234 is 1,250."""
    step = 10 ** max(0, math.floor(math.log10(rate)) - 1)
    half = max(1, step // 2)
    return float(max(RATE_MIN, round(rate / half) * half))
