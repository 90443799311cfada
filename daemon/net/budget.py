"""Budgets as token buckets: who has spent more than flows in waits (L-31). Sans-IO: time is an argument."""

from __future__ import annotations


class Budget:
    """Refills with `per_second`, holds at most `burst`, may be overdrawn by one taking."""

    __slots__ = ("_at", "_burst", "_left", "_per_second")

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._left = burst
        self._at = now

    def take(self, amount: float, now: float) -> float:
        """Spend `amount`; seconds to wait before spending more (0 while something is left)."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second) - amount
        self._at = now
        return max(0.0, -self._left / self._per_second)

    def full(self, now: float) -> bool:
        """Whether it is as if never used, so that it may be forgotten."""
        return self._left + (now - self._at) * self._per_second >= self._burst
