"""Simulated time: one heap of events, in integer microseconds.

Events at one instant are carried out in the order in which they were planned (a running number), so a run
depends on nothing but its seed. An event is a function and its arguments; there is no way to take one
back: who may change their mind puts a generation number into the arguments and looks at it when called.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import Any

MS_US = 1_000
SECOND_US = 1_000_000


class Schedule:
    """What happens when. `now_us` is the time since the run began."""

    __slots__ = ("_heap", "_sequence", "carried_out", "now_us", "stopped")

    def __init__(self) -> None:
        self.now_us = 0
        self.carried_out = 0
        self.stopped = False
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0

    def at(self, time_us: int, action: Callable[..., None], *arguments: Any) -> None:
        """Plan `action(*arguments)` for `time_us`, which is not in the past."""
        assert time_us >= self.now_us, "nothing is planned for the past"
        self._sequence += 1
        heapq.heappush(self._heap, (time_us, self._sequence, action, arguments))

    def after(self, delay_us: int, action: Callable[..., None], *arguments: Any) -> None:
        """Plan `action(*arguments)` for `delay_us` from now."""
        self.at(self.now_us + delay_us, action, *arguments)

    def stop(self) -> None:
        """End `run` after the present event."""
        self.stopped = True

    def run(self, until_us: int) -> None:
        """Carry out events up to and including `until_us`, until none is left or someone calls `stop`."""
        heap = self._heap
        while heap and not self.stopped and heap[0][0] <= until_us:
            time_us, _, action, arguments = heapq.heappop(heap)
            self.now_us = time_us
            self.carried_out += 1
            action(*arguments)
        if not self.stopped:
            self.now_us = max(self.now_us, until_us)


def stream(seed: int, name: str) -> Random:
    """A generator of its own for one part of the world, so that a change in one part does not disturb the others."""
    return Random(f"{seed}/{name}")  # noqa: S311 - repeatable on purpose; text seeds are hashed by SHA-512, not by hash()


def chance(generator: Random, per_mille: int) -> bool:
    """True in `per_mille` of 1,000 cases; draws nothing when it is 0."""
    return per_mille > 0 and generator.randrange(1000) < per_mille
