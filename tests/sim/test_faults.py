"""Faults do what they are named for, end, and give back what they took; timetables come when they should."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from protocol.node.interface import (
    Effect,
    Input,
    JournalKind,
    JournalRecord,
    Persist,
    Pressure,
    Priority,
    Received,
    Send,
)
from protocol.sim.events import MS_US, SECOND_US
from protocol.sim.faults import FAULTS, Aim, memories
from protocol.sim.faults.clocks import YEAR_MS
from protocol.sim.faults.driver import FaultPlan
from protocol.sim.run import make_world, report_of
from protocol.sim.scenarios import Scenario, SlowLinks
from protocol.sim.timetable import At
from protocol.sim.world import World
from tests.sim.fakes import bench
from tests.sim.named import SCENARIOS

QUIET = replace(SCENARIOS["quiet"], faults=FaultPlan(until_ms=1_000))


def running(until_ms: int = 1_500, scenario: Scenario = QUIET) -> World:
    """A quiet world some way into its run."""
    world = make_world(replace(scenario, faults=FaultPlan(until_ms=60_000)), 1)
    for host in world.hosts:
        host.boot()
    world.clients.begin()
    world.schedule.run(until_ms * MS_US)
    return world


def whole(world: World) -> tuple[object, ...]:
    """What faults take, as it stands."""
    network = world.network
    return (
        [(way.cuts, link.extra_us) for link in network.links.values() for way in link.ways],
        (network.extra_us, network.tail_extra_us, network.lose_per_mille, network.corrupt_per_mille),
        [(host.skew_ms, host.work_factor, host.held_down, host.paused, host.up) for host in world.hosts],
        [(h.disk.slow_factor, h.disk.full, h.disk.unreadable, h.disk.failing) for h in world.hosts],
    )


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_fault_that_is_over_has_given_everything_back(name: str) -> None:
    world = running(scenario=replace(QUIET, own_disk_suffices=name not in memories.KINDS))
    before = whole(world)
    drawn = None
    for _ in range(20):
        drawn = drawn or FAULTS[name].draw(world, world.faults.generator, 200 * MS_US)
    assert drawn is not None
    assert world.faults.strike(name, drawn)
    if name not in ("damaged_segment", "quorum_ahead", "old_image"):
        assert whole(world) != before, "something is different while it lasts"
    world.schedule.run(world.schedule.now_us + drawn.lasts_us + 1)
    assert whole(world) == before
    assert world.bench.violation is None


def test_a_frozen_machine_does_nothing_and_goes_on_in_order() -> None:
    def answer(given: Input) -> list[Effect]:
        return []

    here = bench(lambda node: setattr(node, "answer", answer))
    here.host.boot()
    life = here.host.freeze()
    for index in range(3):
        here.host.receive(b"peer", bytes([index]))
    here.schedule.run(SECOND_US)
    assert not [given for given in here.node.inputs if isinstance(given, Received)]
    here.host.thaw(life)
    assert [given.data for given in here.node.inputs if isinstance(given, Received)] == [b"\x00", b"\x01", b"\x02"]


def test_what_is_frozen_is_lost_with_its_process_and_the_next_is_not_frozen() -> None:
    here = bench(lambda node: None)
    here.host.boot()
    life = here.host.freeze()
    here.host.receive(b"peer", b"lost")
    here.host.fall("crashes")
    here.host.boot()
    here.host.receive(b"peer", b"heard")
    here.host.thaw(life)
    assert [given.data for given in here.node.inputs if isinstance(given, Received)] == [b"heard"]


def test_a_frozen_machine_releases_nothing_that_was_synced_meanwhile() -> None:
    def answer(given: Input) -> list[Effect]:
        if isinstance(given, Received):
            return [Persist(JournalRecord(JournalKind.VOTE, b"x")), Send((b"peer",), Priority.CONSENSUS, b"x")]
        return []

    here = bench(lambda node: setattr(node, "answer", answer))
    here.host.boot()
    here.host.receive(b"peer", b"")
    life = here.host.freeze()
    here.schedule.run(SECOND_US)
    assert "said x" not in here.diary.entries
    here.host.thaw(life)
    assert "said x" in here.diary.entries


def test_a_full_disk_is_full_after_a_restart_too() -> None:
    here = bench(lambda node: None)
    here.host.boot()
    here.host.fill(1)
    here.host.fall("crashes")
    here.host.boot()
    assert Pressure(True) in here.node.inputs
    here.host.fill(-1)
    assert here.node.inputs[-1] == Pressure(False)


def test_a_stop_in_order_loses_nothing_and_a_crash_may() -> None:
    world = running()
    host = world.hosts[0]
    written = len(host.disk.journal), host.disk.blocks.last, host.disk.executed.last
    world.faults.strike("stop", Aim(nodes=(0,), lasts_us=SECOND_US))
    assert not host.up
    assert (len(host.disk.journal), host.disk.blocks.last, host.disk.executed.last) == written


def test_a_damaged_block_ends_what_is_served_and_others_have_it() -> None:
    world = running(2_000)
    held = world.hosts[0].disk
    assert held.executed_synced >= 4
    assert world.faults.strike("damaged_segment", Aim(nodes=(0,), amount=3))
    assert len(held.read(1, 10, 10**9)) == 2
    assert held.read(3, 10, 10**9) == ()
    assert len(held.read(4, 1, 10**9)) == 1
    assert not world.faults.strike("damaged_segment", Aim(nodes=(1,), amount=3)), "one copy stays whole"
    held.unreadable = 1
    assert held.read(4, 1, 10**9) == ()


def test_shifting_halves_are_others_after_each_step() -> None:
    world = running()

    def cut() -> frozenset[tuple[int, int]]:
        return frozenset(pair for pair, link in world.network.links.items() if link.cut)

    world.faults.strike("shifting", Aim(nodes=(0, 1, 2, 3), amount=100 * MS_US, lasts_us=SECOND_US))
    seen = []
    for _ in range(4):
        seen.append(cut())
        world.schedule.run(world.schedule.now_us + 100 * MS_US)
    assert seen[0] == {(0, 2), (0, 3), (1, 2), (1, 3)}
    assert all(one != other for one, other in pairwise(seen))
    assert all(len(pairs) == 4 for pairs in seen)


def test_a_bridge_hears_both_sides() -> None:
    world = running(scenario=replace(QUIET, members=5))
    world.faults.strike("bridge", Aim(groups=((0, 1), (3, 4)), lasts_us=SECOND_US))
    cut = {pair for pair, link in world.network.links.items() if link.cut}
    assert cut == {(0, 3), (0, 4), (1, 3), (1, 4)}


def test_corrupt_frames_end_connections() -> None:
    world = running()
    world.faults.strike("corrupt", Aim(amount=50, lasts_us=SECOND_US))
    world.schedule.run(world.schedule.now_us + SECOND_US)
    assert world.network.counts["corrupted"] == world.network.counts["broken"] > 3


def test_a_year_ahead_is_for_one_block_and_the_chain_goes_on_above_all_clocks() -> None:
    world = make_world(SCENARIOS["year-ahead"], 2)
    world.run()
    report = report_of(world, 2)
    assert report.ok, report.text()
    assert world.chain_time_ms() > world.hosts[0].now().wall_ms + YEAR_MS // 2
    assert all(host.skew_ms == 0 for host in world.hosts)
    assert report.blocks > 20


def test_slow_links_are_slow_for_good() -> None:
    scenario = replace(QUIET, slow_links=(SlowLinks((3,), (), 70_000), SlowLinks((0,), (3,), 5_000)))
    world = make_world(scenario, 1)
    extra = {pair: link.extra_us for pair, link in world.network.links.items()}
    assert extra == {(0, 1): 0, (0, 2): 0, (1, 2): 0, (0, 3): 75_000, (1, 3): 70_000, (2, 3): 70_000}


def crash(node: int, **when: int) -> At:
    return At("crash", Aim(nodes=(node,), lasts_us=200 * MS_US), **when)


def test_moments_of_a_timetable() -> None:
    entries = (
        crash(0, time_us=700 * MS_US, times=2, every_us=500 * MS_US),
        crash(1, height=5),
        crash(2, leader=2),
        crash(3, nullified=1_000, within_us=800 * MS_US),
    )
    world = make_world(replace(QUIET, timetable=entries, bound_deltas=64), 1)
    world.run()
    report = report_of(world, 1)
    assert report.ok, report.text()
    struck = {happened.aim.nodes[0]: happened.time_us for happened in report.happened}
    assert [h.time_us for h in report.happened if h.aim.nodes == (0,)] == [700 * MS_US, 1_200 * MS_US]
    assert set(struck) == {0, 1, 2}, "what did not come in time is passed over"
    assert world.calm_us is not None
    assert world.calm_us >= 1_400 * MS_US, "calm when the last one is over"
    assert report.restarts == report.faults["crash"] == 4


def test_a_fault_that_never_happened_is_named() -> None:
    world = make_world(replace(QUIET, timetable=(crash(3, height=10_000, within_us=500 * MS_US),)), 1)
    world.run()
    report = report_of(world, 1)
    assert report.missing == ("crash",)
    assert "never happened: crash" in report.text()


def test_a_node_that_is_down_from_the_start_starts_later() -> None:
    entry = At("crash", Aim(nodes=(3,), lasts_us=SECOND_US), time_us=0)
    world = make_world(replace(QUIET, timetable=(entry,), bound_deltas=64), 1)
    world.run()
    assert world.bench.violation is None
    assert world.hosts[3].lives[0][0] == SECOND_US
    assert world.hosts[3].disk.blocks.last == world.hosts[0].disk.blocks.last
