"""Repetition kept short: of each kind a few lines a minute, then a number.

What somebody outside can provoke (a scanner at a port, a client with bad signatures) must not fill the log. The first
`LOG_REPEATS_PER_MINUTE` lines of a kind pass in each minute; the first of a later minute says how many were left
out. Counters count all of them, here nothing is lost but lines.

Kinds are remembered up to `LOG_KINDS_MAX`, the longest unused forgotten first, so a caller that builds kinds of
foreign input costs lines and never memory.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from daemon import limits

WINDOW_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Kind:
    begun: float
    passed: int = 0
    left_out: int = 0


class Limited:
    """Decides which lines pass. `seconds` is a monotonic clock; give Trio's where time is simulated."""

    __slots__ = ("_kinds", "_per_window", "_seconds")

    def __init__(
        self, per_minute: int = limits.LOG_REPEATS_PER_MINUTE, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_window = per_minute
        self._seconds = seconds
        self._kinds: OrderedDict[str, _Kind] = OrderedDict()

    def allow(self, kind: str) -> int | None:
        """None to leave this one out, else how many of its kind were left out since the last that was let through."""
        now = self._seconds()
        state = self._kinds.pop(kind, None) or _Kind(now)
        self._kinds[kind] = state
        if len(self._kinds) > limits.LOG_KINDS_MAX:
            self._kinds.popitem(last=False)
        if now - state.begun >= WINDOW_SECONDS:
            state.begun, state.passed = now, 0
        if state.passed >= self._per_window:
            state.left_out += 1
            return None
        state.passed += 1
        left_out, state.left_out = state.left_out, 0
        return left_out
