"""From a scenario's entries to what is done, and when: on Trio's test clock, with nodes that only remember."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
import trio
import trio.testing

from daemon.lab.driver import Driver
from daemon.lab.lines import Lines
from daemon.lab.making import Made, links_of
from daemon.lab.nodes import LabNode
from daemon.lab.possible import MADE
from daemon.lab.proxy import Proxy
from daemon.lab.stage import Stage
from protocol.sim.faults import FAULTS, Aim
from protocol.sim.faults.driver import FaultPlan
from protocol.sim.scenarios import Scenario
from protocol.sim.timetable import At

S = 1_000_000
QUIET = FaultPlan(until_ms=0)
SCENARIO = Scenario("made", "made for a test", faults=QUIET)


class Told(LabNode):
    """A node that does what it is told, without a process; a start takes a second."""

    def __init__(self, index: int, told: list[tuple[float, int, str]]) -> None:
        super().__init__(index, Path("nowhere"), "http://127.0.0.1:1", votes=True)
        self._told = told

    def _tell(self, what: str) -> None:
        self._told.append((round(trio.current_time() - self.began, 2), self.index, what))

    began = 0.0

    def start(self) -> bool:
        if self.process is not None or self.held:
            return False
        self._tell("start")
        self.process = cast("subprocess.Popen[bytes]", object())
        self.starts += 1
        return True

    async def kill(self) -> None:
        if self.process is not None:
            self._tell("kill")
        self.process, self.frozen = None, 0

    async def stop(self) -> bool:
        if self.process is not None:
            self._tell("stop")
        self.process, self.frozen = None, 0
        return True

    def _signal(self, number: int) -> None:
        self._tell(f"signal {int(number)}")


@dataclass
class Played:
    """What came of a scenario."""

    stage: Stage
    driver: Driver
    told: list[tuple[float, int, str]] = field(default_factory=list)
    calm_ms: int = 0


@asynccontextmanager
async def stage_of(scenario: Scenario, told: list[tuple[float, int, str]]) -> AsyncIterator[Stage]:
    """A stage whose nodes run, and whose watcher sees a started node answer a second later."""
    nodes = [Told(index, told) for index in range(scenario.members)]
    made = Made(cast("object", None), list(nodes), [], [], list(range(scenario.members)))  # type: ignore[arg-type]
    lines = Lines(Proxy(1), links_of(scenario), scenario.link, scenario.slow_links, scenario.members)
    async with trio.open_nursery() as nursery:
        stage = Stage(scenario, Path("nowhere"), made, lines, nursery)
        for node in nodes:
            node.start()
        told.clear()
        stage.begin()
        for node, seen in zip(nodes, stage.watcher.seen, strict=True):
            node.began, seen.answers = stage.began, True

        async def answering(_node: LabNode) -> None:
            await trio.sleep(1)

        stage.watcher.answering = answering  # type: ignore[assignment,method-assign]
        yield stage
        nursery.cancel_scope.cancel()


async def play(scenario: Scenario, seed: int = 1) -> Played:
    told: list[tuple[float, int, str]] = []
    async with stage_of(scenario, told) as stage:
        driver = Driver(stage, Random(seed))
        return Played(stage, driver, told, await driver.run())


def at(fault: str, seconds: float, lasts: float, *nodes: int, **more: Any) -> At:
    """An entry; `more` is of the aim or of the entry."""
    of_aim = {key: more.pop(key) for key in ("to", "groups", "amount") if key in more}
    aim = Aim(nodes=nodes, lasts_us=int(lasts * S), **of_aim)
    return At(fault, aim, time_us=int(seconds * S), **more)


async def test_a_crash_is_a_kill_and_a_start(autojump_clock: trio.testing.MockClock) -> None:
    found = await play(replace(SCENARIO, timetable=(at("crash", 2, 3, 1),)))
    assert found.told == [(2, 1, "kill"), (5, 1, "start")]
    assert found.calm_ms == 6_000, "the fault is over when the node answers"
    assert found.stage.restarts == 1
    assert [(h.time_us, h.fault) for h in found.driver.happened] == [(2 * S, "crash")]


async def test_staggered_and_repeated(autojump_clock: trio.testing.MockClock) -> None:
    rolling = at("stop", 1, 2, 0, 1, 2, stagger_us=5 * S)
    found = await play(replace(SCENARIO, timetable=(rolling,)))
    assert [entry for entry in found.told if entry[2] == "stop"] == [(1, 0, "stop"), (6, 1, "stop"), (11, 2, "stop")]
    again = at("pause", 1, 1, 3, times=3, every_us=4 * S)
    found = await play(replace(SCENARIO, timetable=(again,)))
    assert found.told == [(t, 3, f"signal {n}") for t, n in [(1, 19), (2, 18), (5, 19), (6, 18), (9, 19), (10, 18)]]


async def test_faults_that_overlap_end_together(autojump_clock: trio.testing.MockClock) -> None:
    timetable = (at("crash", 1, 4, 0), at("crash", 2, 6, 0), at("pause", 3, 1, 0))
    found = await play(replace(SCENARIO, timetable=timetable))
    assert found.told == [(1, 0, "kill"), (8, 0, "start")]
    assert found.driver.missing == ("pause",), "who is down cannot be frozen: it did not happen"
    assert any("pause 0: nothing to hit" in words for _, words, _ in found.stage.moments.told)


async def test_a_power_cut_hits_all_at_once_and_they_return_in_order(autojump_clock: trio.testing.MockClock) -> None:
    found = await play(replace(SCENARIO, timetable=(at("power_cut", 1, 8, 3, 2, 1, 0),)))
    assert sorted(found.told[:4]) == [(1, node, "kill") for node in range(4)]
    assert found.told[4:] == [(3, 3, "start"), (5, 2, "start"), (7, 1, "start"), (9, 0, "start")]
    assert found.calm_ms == 10_000


async def test_lines_are_cut_and_healed(autojump_clock: trio.testing.MockClock) -> None:
    partition = at("partition", 1, 4, groups=((0, 1), (2, 3)))
    leader = replace(at("one_way", 0, 2, 0, to=(1,)), time_us=None, leader=0)
    scenario = replace(SCENARIO, timetable=(partition, leader))
    told: list[tuple[float, int, str]] = []
    async with stage_of(scenario, told) as stage:
        driver = Driver(stage, Random(1))

        def blocked() -> set[tuple[int, int]]:
            return {pair for pair in stage.lines.ways if stage.lines.condition(pair).blocked}

        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run)
            await trio.sleep(2)
            across = {(a, b) for a in (0, 1) for b in (2, 3)}
            assert blocked() == across | {(b, a) for a, b in across}
            stage.watcher.seen[2].view, stage.watcher.seen[2].leader = 7, 0
            await trio.sleep(1)
            assert (0, 1) in blocked()
            assert (1, 0) not in blocked()
            await trio.sleep(10)
            assert blocked() == set()
    assert driver.counts == {"partition": 1, "one_way": 1}


async def test_shifting_halves_shift_and_end(autojump_clock: trio.testing.MockClock) -> None:
    scenario = replace(SCENARIO, timetable=(at("shifting", 1, 9, amount=3 * S),))
    seen: list[frozenset[tuple[int, int]]] = []
    async with stage_of(scenario, []) as stage, trio.open_nursery() as nursery:
        nursery.start_soon(Driver(stage, Random(1)).run)
        for moment in (2, 5, 8, 12):
            await trio.sleep_until(stage.began + moment)
            seen.append(frozenset(pair for pair in stage.lines.ways if stage.lines.condition(pair).blocked))
    assert seen[0] != seen[1]
    assert seen[0] == seen[2], "of four nodes in a circle there are two pairs of halves"
    assert all(len(pairs) == 8 for pairs in seen[:3])
    assert not seen[3]


async def test_a_moment_that_does_not_come_is_passed_over_and_said(autojump_clock: trio.testing.MockClock) -> None:
    entry = replace(at("crash", 0, 1, 0), time_us=None, height=10, within_us=5 * S)
    found = await play(replace(SCENARIO, timetable=(entry,)))
    assert found.told == []
    assert found.driver.missing == ("crash",)
    assert 5_000 <= found.calm_ms < 5_100


async def test_drawn_faults_end_with_their_time_and_come_again_with_their_seed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    weights = (("crash", 3), ("pause", 2), ("halves", 2), ("one_way", 1), ("delay_spike", 1), ("power_cut", 1))
    plan = FaultPlan(weights, interval_ms=(100, 400), duration_ms=(50, 900), until_ms=9_000)
    first, second, other = [await play(replace(SCENARIO, faults=plan), seed) for seed in (1, 1, 2)]
    assert first.driver.happened == second.driver.happened
    assert first.driver.happened != other.driver.happened
    assert len(first.driver.happened) > 15
    assert all(h.time_us + h.aim.lasts_us <= 9_100_000 for h in first.driver.happened)
    assert all(node.runs and not node.frozen and not node.held for node in first.stage.nodes)
    assert not any(first.stage.lines.condition(pair).blocked for pair in first.stage.lines.ways)


@pytest.mark.parametrize("fault", ["lost_disk", "old_image"])
async def test_only_one_forgets_and_only_while_all_remember(autojump_clock: trio.testing.MockClock, fault: str) -> None:
    """C-24: more than one without a memory is more than a small network tolerates."""
    scenario = replace(SCENARIO, timetable=(at("crash", 1, 9, 2), at(fault, 2, 1, 1)))
    found = await play(scenario)
    assert found.driver.missing == (fault,)


async def test_every_fault_that_is_made_can_be_drawn(autojump_clock: trio.testing.MockClock) -> None:
    """The simulator's drawing asks nothing of a world that the stage does not show."""
    generator = Random(3)
    async with stage_of(replace(SCENARIO, members=5), []) as stage:
        for seen in stage.watcher.seen:
            seen.executed_height = 9
        world = stage.as_world()
        for name in MADE:
            drawn = [FAULTS[name].draw(world, generator, S) for _ in range(20)]
            assert any(isinstance(aim, Aim) for aim in drawn), name
