"""Whole runs of the real node: nothing forks, nothing is lost, everything accepted becomes final.

A few seeds of every scenario in a short run; with `--long` a few thousand. Failing runs are repeated by the command
at the end of their text.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from protocol.sim.byzantine import ACTORS
from protocol.sim.faults import FAULTS
from protocol.sim.network import TOPOLOGIES
from protocol.sim.run import Report, make_world, report_of, run
from protocol.sim.scenarios import SCENARIOS, Scenario

LONG_SEEDS = 150


def check(scenario: Scenario, seed: int) -> Report:
    report = run(scenario, seed)
    assert report.ok, report.text()
    assert report.blocks > 0
    assert report.clients["final"] > 0
    return report


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", list(SCENARIOS))
def test_a_few_seeds_of_every_scenario(name: str, seed: int) -> None:
    check(SCENARIOS[name], seed)


@pytest.mark.long
@pytest.mark.parametrize("name", list(SCENARIOS))
def test_many_seeds_of_every_scenario(name: str) -> None:
    faults: Counter[str] = Counter()
    for seed in range(100, 100 + LONG_SEEDS):
        faults.update(check(SCENARIOS[name], seed).faults)
    assert set(faults) == {fault for fault, _ in SCENARIOS[name].faults.weights}, "each fault of the scenario happened"


def test_every_fault_happens_in_the_scenario_that_has_them_all() -> None:
    """A fault that never happened is not tested."""
    counts: Counter[str] = Counter()
    hosts: Counter[str] = Counter()
    for seed in range(10, 22):
        report = check(SCENARIOS["everything"], seed)
        counts.update(report.faults)
        hosts.update(report.hosts)
    assert set(counts) == set(FAULTS)
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
    assert len(world.hosts[4].disk.blocks) == report.blocks
