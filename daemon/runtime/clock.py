"""The two times of a step: a monotonic one for timers, wall clock for block time.

The node never reads a clock; whoever drives it says what time it is. What is promised here:

* `monotonic_ms` never goes back, whatever the wall clock does. Timers use nothing else, so an operator who
  sets the clock, or a time daemon that steps it, neither fires nor delays one.
* `wall_ms` is passed on as the machine has it, jumps included: block time has its own rules against a wrong
  clock (L-18), and a clock smoothed here would disagree with what the operator sees. It is only clamped into
  the range that records can hold.
* A jump is noticed and can be told: `jump_ms` is how far the wall clock has moved against the monotonic one
  since the last look, once it is more than `CLOCK_JUMP_MS`.

The monotonic clock of Linux stands still while the machine sleeps. Timers are then late, which is safe (duty 5).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from protocol import limits
from protocol.node.interface import Now

CLOCK_JUMP_MS: Final = 1_000
"""Drift within a second is ordinary; more is worth a line in the log."""

_NS_PER_MS: Final = 1_000_000


class Clock:
    """Reads both clocks. The readings (ns) can be given, for tests."""

    __slots__ = ("_last_monotonic_ms", "_monotonic_ns", "_offset_ms", "_wall_ns")

    def __init__(
        self, monotonic_ns: Callable[[], int] = time.monotonic_ns, wall_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._last_monotonic_ms = 0
        now = self.now()
        self._offset_ms = now.wall_ms - now.monotonic_ms

    def now(self) -> Now:
        """Both times, ms; `monotonic_ms` at least as high as every one before."""
        self._last_monotonic_ms = max(self._last_monotonic_ms, self._monotonic_ns() // _NS_PER_MS)
        wall_ms = min(max(self._wall_ns() // _NS_PER_MS, 0), limits.U53_MAX)
        return Now(self._last_monotonic_ms, wall_ms)

    def jump_ms(self) -> int:
        """How far the wall clock has jumped since the last call, ms, forward positive; 0 if it has not."""
        now = self.now()
        moved = (now.wall_ms - now.monotonic_ms) - self._offset_ms
        if abs(moved) < CLOCK_JUMP_MS:
            return 0
        self._offset_ms += moved
        return moved
