"""Whole runs of the real node: nothing forks, nothing is lost, everything accepted becomes final.

A seed of every scenario that takes seconds; with `--long` of all, and many of each. Failing runs are repeated by the
command at the end of their text.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from protocol.sim.byzantine import ACTORS
from protocol.sim.faults import FAULTS, memories
from protocol.sim.network import TOPOLOGIES
from protocol.sim.run import Report, make_world, report_of, run
from protocol.sim.scenarios import Scenario
from tests.sim.named import SCENARIOS
from tests.sim.runs import report_for

LONG_SEEDS = 150
LONG_SEEDS_OF_A_TIMETABLE = 5
SLOW = frozenset({
    "all-disks-full", "all-restarted", "bridge", "clock-a-day-wrong", "clocks-apart", "disk-full-for-days",
    "far-member", "halves-and-heal", "late-starter", "member-away", "night-without-quorum",
    "power-cut-under-load", "restless-member", "ring-link-lost", "rolling-crash",
    "rolling-restart", "site-lost", "sites-link-lost", "slow-line", "slow-machine", "snapshot-across-changes",
    "snapshot-liar", "ten",
    "two-of-four-paused",
})  # fmt: skip
"""Take more than two seconds or so: days, many nodes, much load."""
NAMES = [pytest.param(name, marks=pytest.mark.long if name in SLOW else ()) for name in SCENARIOS]


def check(scenario: Scenario, seed: int) -> Report:
    return checked(run(scenario, seed))


def checked(report: Report) -> Report:
    assert report.ok, report.text()
    assert report.blocks > 0
    assert report.clients["final"] > 0
    return report


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_of_every_scenario(name: str) -> None:
    checked(report_for(name, 1))


@pytest.mark.long
@pytest.mark.parametrize("name", list(SCENARIOS))
def test_many_seeds_of_every_scenario(name: str) -> None:
    faults: Counter[str] = Counter()
    scenario = SCENARIOS[name]
    for seed in range(100, 100 + (LONG_SEEDS_OF_A_TIMETABLE if scenario.timetable else LONG_SEEDS)):
        report = check(scenario, seed)
        faults.update(report.faults)
        faults.update(report.done)
    wanted = {fault for fault, _ in scenario.faults.weights} | {entry.fault for entry in scenario.timetable}
    wanted |= set(make_world(scenario, 1).wanted)
    assert set(faults) == wanted, "each fault of the scenario happened, and what else it is about"


def test_every_fault_happens_in_the_scenario_that_has_them_all() -> None:
    """A fault that never happened is not tested."""
    counts: Counter[str] = Counter()
    hosts: Counter[str] = Counter()
    for seed in range(10, 22):
        report = check(SCENARIOS["everything"], seed)
        counts.update(report.faults)
        hosts.update(report.hosts)
    assert set(counts) == {fault for fault, _ in SCENARIOS["everything"].faults.weights}
    elsewhere = {"partition", "quorum_ahead", *memories.KINDS}
    assert set(FAULTS) - set(counts) == elsewhere, "which have scenarios of their own"
    assert hosts["torn"], "tails of the journal or segments were kept in part"
    assert hosts["lost_writes"]
    assert hosts["rotations"]


def test_scenarios_use_every_actor_and_topology() -> None:
    assert {actor for scenario in SCENARIOS.values() for actor in scenario.byzantine} == set(ACTORS)
    assert {scenario.topology for scenario in SCENARIOS.values()} == set(TOPOLOGIES)
    assert all(name == scenario.name for name, scenario in SCENARIOS.items())
    for scenario in SCENARIOS.values():
        liars = len(scenario.byzantine)
        assert liars <= (scenario.members - 1) // 3, "liars are few enough to be tolerated"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_in_quiet_no_view_is_nullified_once_all_have_met(seed: int) -> None:
    """Nodes start within 50 ms of each other and connect within 200: the first views may end by a timer."""
    world = make_world(SCENARIOS["quiet"], seed)
    world.run()
    assert world.bench.violation is None
    assert all(view <= 3 for _, view in world.bench.facts.nullified)


@pytest.mark.parametrize("signers", ["stand-in", "real"])
def test_both_kinds_of_signatures_refuse_a_bad_one(signers: str) -> None:
    scenario = replace(SCENARIOS["quiet"], real_signatures=signers == "real")
    scenario = replace(scenario, load=replace(scenario.load, bad_per_mille=300))
    world = make_world(scenario, 5)
    world.run()
    report = report_of(world, 5)
    assert report.ok, report.text()
    assert report.refusals["bad_signature"] == report.clients["refused"] > 3


def test_an_observer_follows() -> None:
    """L-16."""
    world = make_world(replace(SCENARIOS["quiet"], observers=1), 3)
    world.run()
    report = report_of(world, 3)
    assert report.ok, report.text()
    assert world.hosts[4].disk.blocks.last == report.blocks
