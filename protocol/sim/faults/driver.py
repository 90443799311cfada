"""When faults happen: drawn from the seed by weights, and by a timetable.

Each fault that happened is counted and kept with its aim, because one that never happened is not tested. Faults that
are drawn end with the scenario's time of faults; those of a timetable end when they say. When nothing more is to come
and nothing lasts, the world is told: from that moment on the network owes progress.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from protocol.sim.events import MS_US
from protocol.sim.faults import FAULTS
from protocol.sim.faults.aim import Aim, End, World
from protocol.sim.timetable import At

LOOK_US = 5 * MS_US
"""Conditions of a timetable are looked at so often."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Which faults a scenario draws, and how often. Times in ms."""

    weights: tuple[tuple[str, int], ...] = ()
    interval_ms: tuple[int, int] = (50, 900)
    duration_ms: tuple[int, int] = (20, 1_500)
    until_ms: int = 6_000
    """No fault that is drawn begins or lasts after this; the run's first part lasts at least so long."""


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault that happened. `lasts_us` of the aim is 0 for what does not end."""

    time_us: int
    fault: str
    aim: Aim


class FaultDriver:
    """Draws and begins faults; counts them; calls `calm` once when all are over."""

    def __init__(
        self,
        world: World,
        plan: FaultPlan,
        timetable: tuple[At, ...],
        generator: Random,
        *,
        holds: Callable[[At], bool],
        calm: Callable[[], None],
    ) -> None:
        self.world = world
        self.plan = plan
        self.timetable = timetable
        self.generator = generator
        self.counts: dict[str, int] = {}
        self.happened: list[Happened] = []
        self.until_us = plan.until_ms * MS_US
        self._holds = holds
        self._calm = calm
        self._names = [name for name, weight in plan.weights for _ in range(weight)]
        self._waiting: list[At] = []
        self._open = 1
        """What is still to come or to end; the time of faults itself is one."""

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every fault that the scenario names."""
        names = [*(name for name, _ in self.plan.weights), *(entry.fault for entry in self.timetable)]
        return tuple(dict.fromkeys(names))

    def begin(self) -> None:
        """Plan the first fault, and the timetable."""
        schedule = self.world.schedule
        if self._names:
            self._next()
        for entry in self.timetable:
            self._open += 1
            if entry.time_us is not None:
                schedule.at(entry.time_us, self._come, entry)
            else:
                self._waiting.append(entry)
        if self._waiting:
            self._look()
        schedule.at(self.until_us, self._close)

    # -- Drawn --------------------------------------------------------------------------------------

    def _next(self) -> None:
        low, high = self.plan.interval_ms
        self.world.schedule.after(self.generator.randint(low, high) * MS_US, self._draw)

    def _draw(self) -> None:
        left_us = self.until_us - self.world.schedule.now_us
        if left_us <= MS_US:
            return
        name = self.generator.choice(self._names)
        low, high = self.plan.duration_ms
        lasts_us = min(self.generator.randint(low, high) * MS_US, left_us)
        aim = FAULTS[name].draw(self.world, self.generator, lasts_us)
        if aim is not None:
            self.strike(name, aim)
        self._next()

    # -- By the timetable ---------------------------------------------------------------------------

    def _look(self) -> None:
        now_us = self.world.schedule.now_us
        for entry in list(self._waiting):
            if self._holds(entry):
                self._waiting.remove(entry)
                self._come(entry)
            elif now_us >= entry.within_us:
                self._waiting.remove(entry)
                self._close()
        if self._waiting:
            self.world.schedule.after(LOOK_US, self._look)

    def _come(self, entry: At) -> None:
        strikes = entry.strikes()
        self._open += len(strikes)
        for after_us, aim in strikes:
            self.world.schedule.after(after_us, self._planned, entry.fault, aim)
        self._close()

    def _planned(self, name: str, aim: Aim) -> None:
        self.strike(name, aim)
        self._close()

    # -- Both ---------------------------------------------------------------------------------------

    def strike(self, name: str, aim: Aim) -> bool:
        """Begin one fault and plan its end; False if there was nothing to hit."""
        end = FAULTS[name].begin(self.world, aim)
        if end is None:
            return False
        self.counts[name] = self.counts.get(name, 0) + 1
        self.happened.append(Happened(self.world.schedule.now_us, name, aim))
        for index in touched(aim) or range(len(self.world.hosts)):
            self.world.hosts[index].line(f"fault: {name} for {aim.lasts_us // MS_US} ms")
        self._open += 1
        self.world.schedule.after(aim.lasts_us, self._ended, end)
        return True

    def _ended(self, end: End) -> None:
        end()
        self._close()

    def _close(self) -> None:
        self._open -= 1
        if self._open == 0:
            self._calm()


def touched(aim: Aim) -> tuple[int, ...]:
    """The nodes that an aim names."""
    return tuple(dict.fromkeys((*aim.nodes, *aim.to, *(node for group in aim.groups for node in group))))
