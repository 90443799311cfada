"""When faults happen on real processes: drawn from the seed by weights, and by the timetable, in real time.

The simulator's driver (`protocol.sim.faults.driver`) on another clock: drawn faults come by the same code and end with
the scenario's time of faults, entries of a timetable come at their moment and may be repeated or staggered, conditions
are looked at until they hold or are passed over, and each fault that happened is counted and kept with its aim. `run`
returns when nothing more is to come and nothing lasts: from that moment on the network owes progress.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Final

import trio

from daemon.lab.stage import Stage
from daemon.lab.strikes import BEGIN
from protocol.sim.faults import FAULTS
from protocol.sim.faults.aim import Aim
from protocol.sim.faults.driver import Happened
from protocol.sim.timetable import At

LOOK_SECONDS: Final = 0.02


class Driver:
    """Begins and ends the faults of a scenario."""

    def __init__(self, stage: Stage, generator: Random) -> None:
        self.stage = stage
        self.counts: Counter[str] = Counter()
        self.happened: list[Happened] = []
        self.lasting: Counter[str] = Counter()
        """What goes on now, in words."""
        self._plan = stage.scenario.faults
        self._generator = generator

    @property
    def missing(self) -> tuple[str, ...]:
        """Faults that the scenario names and that never happened."""
        plan, timetable = self._plan, self.stage.scenario.timetable
        names = [*(name for name, _ in plan.weights), *(entry.fault for entry in timetable)]
        return tuple(name for name in dict.fromkeys(names) if not self.counts[name])

    async def run(self) -> int:
        """All faults, from the first to the end of the last; when that was, ms since the run began."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._draw, nursery)
            for entry in self.stage.scenario.timetable:
                nursery.start_soon(self._come, entry, nursery)
        return self.stage.now_ms()

    # -- Drawn --------------------------------------------------------------------------------------

    async def _draw(self, nursery: trio.Nursery) -> None:
        names = [name for name, weight in self._plan.weights for _ in range(weight)]
        world, until_ms = self.stage.as_world(), self._plan.until_ms
        while names:
            await trio.sleep(self._generator.randint(*self._plan.interval_ms) / 1000)
            left_ms = until_ms - self.stage.now_ms()
            if left_ms <= 1:
                break
            name = self._generator.choice(names)
            lasts_ms = min(self._generator.randint(*self._plan.duration_ms), left_ms)
            aim = FAULTS[name].draw(world, self._generator, lasts_ms * 1000)
            if aim is not None:
                nursery.start_soon(self._strike, name, aim)
        await trio.sleep(max(0, until_ms - self.stage.now_ms()) / 1000)

    # -- By the timetable ---------------------------------------------------------------------------

    async def _come(self, entry: At, nursery: trio.Nursery) -> None:
        if entry.time_us is not None:
            await trio.sleep_until(self.stage.began + entry.time_us / 1e6)
        elif not await self._condition(entry):
            return
        now = trio.current_time()
        for after_us, aim in entry.strikes():
            nursery.start_soon(self._strike_at, now + after_us / 1e6, entry.fault, aim)

    async def _condition(self, entry: At) -> bool:
        """Whether it came in time."""
        while self.stage.now_ms() * 1000 < entry.within_us:
            if self._holds(entry):
                return True
            await trio.sleep(LOOK_SECONDS)
        self.stage.moments.tell(f"passed over: {entry.fault}, whose moment did not come")
        return False

    def _holds(self, entry: At) -> bool:
        watcher = self.stage.watcher
        if entry.height is not None:
            return watcher.final_height >= entry.height
        if entry.nullified is not None:
            return watcher.nullified >= entry.nullified
        newest = max((seen for seen in watcher.seen if seen.answers), key=lambda seen: seen.view, default=None)
        return newest is not None and newest.leader == entry.leader

    async def _strike_at(self, at: float, name: str, aim: Aim) -> None:
        await trio.sleep_until(at)
        await self._strike(name, aim)

    # -- Both ---------------------------------------------------------------------------------------

    async def _strike(self, name: str, aim: Aim) -> None:
        """One fault, from its beginning to its end."""
        began_ms, began = self.stage.now_ms(), trio.current_time()
        end = await BEGIN[name](self.stage, aim)
        words = f"{name} {_whom(aim)}"
        if end is None:
            self.stage.moments.tell(f"{words}: nothing to hit")
            return
        self.counts[name] += 1
        self.happened.append(Happened(began_ms * 1000, name, aim))
        self.stage.moments.tell(f"{words} begins" if aim.lasts_us else words)
        self.lasting[words] += 1
        if name != "power_cut":  # its machines return one after the other, from its beginning on
            await trio.sleep_until(began + aim.lasts_us / 1e6)
        await end()
        self.lasting[words] -= 1
        if aim.lasts_us:
            self.stage.moments.tell(f"{words} ends")


def _whom(aim: Aim) -> str:
    if aim.groups:
        return " | ".join(" ".join(map(str, group)) for group in aim.groups)
    whom = " ".join(map(str, aim.nodes)) or "all"
    return f"{whom} to {' '.join(map(str, aim.to))}" if aim.to else whom
