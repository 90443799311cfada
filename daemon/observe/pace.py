"""How long something that advances will still take, at the pace of the last while."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import Final

WINDOW_SECONDS: Final = 60.0
"""The pace is that of so long: an earlier stall or sprint says nothing about what comes."""
LEAST_SECONDS: Final = 2.0
"""Sooner nothing is said."""


class Pace:
    """Fed with (how much is done, at what time); times in seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._told = monotonic()

    def left(self, done: int, total: int, now: float) -> float | None:
        """Seconds until `total`, at the pace of the last while; None while there is none to speak of."""
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        if now - since < LEAST_SECONDS or done <= before:
            return None
        return max(0, total - done) * (now - since) / (done - before)

    def due(self, seconds: float) -> bool:
        """Whether so long has passed since this last said yes."""
        now = monotonic()
        if now - self._told < seconds:
            return False
        self._told = now
        return True


def spoken(seconds: float) -> str:
    """A duration for people."""
    if seconds < 90:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
