"""The timetable of a scenario: faults that are named, with the moment at which each begins.

A moment is a time from the start, or a condition: the first node is final at a height, so many views were nullified, a
node leads, a node is in the middle of joining by a snapshot. A condition is looked at every few milliseconds; one that
has not come `within_us` is passed over, and the report names a fault that never happened. An entry may be repeated, and
may hit its nodes one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from protocol.sim.events import SECOND_US
from protocol.sim.faults.aim import Aim

WITHIN_US = 60 * SECOND_US


@dataclass(frozen=True, slots=True)
class At:
    """One entry. Exactly one of time_us, height, nullified, leader and joining is given. Times in microseconds."""

    fault: str
    aim: Aim = field(default_factory=Aim)
    time_us: int | None = None
    height: int | None = None
    nullified: int | None = None
    leader: int | None = None
    joining: int | None = None
    """This node is in the middle of a snapshot that it joins by."""
    within_us: int = WITHIN_US
    """How long a condition is waited for, from the start of the run."""
    times: int = 1
    every_us: int = 0
    """From one beginning to the next."""
    stagger_us: int = 0
    """Nodes are hit one after the other, so far apart; 0: all at once."""

    def strikes(self) -> list[tuple[int, Aim]]:
        """(microseconds after the moment, aim), for all repetitions and nodes."""
        apart = [replace(self.aim, nodes=(node,)) for node in self.aim.nodes] if self.stagger_us else [self.aim]
        return [
            (turn * self.every_us + place * self.stagger_us, aim)
            for turn in range(self.times)
            for place, aim in enumerate(apart)
        ]

    @property
    def span_us(self) -> int:
        """From the moment to the end of the last."""
        return max(after_us + aim.lasts_us for after_us, aim in self.strikes())
