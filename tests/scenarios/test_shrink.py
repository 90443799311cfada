"""Shrinking: what was drawn becomes a timetable that gives the same run, and then whatever is not needed goes."""

from __future__ import annotations

from dataclasses import replace

from daemon.scenarios.durations import format_duration
from daemon.scenarios.meaning import to_scenario
from daemon.scenarios.shipped import read_file
from daemon.scenarios.shrink import Shrinker, entry_of
from daemon.scenarios.tables import AtTable, FaultsTable, ScenarioFile
from protocol.sim.facts import Violation
from protocol.sim.faults import FAULTS
from protocol.sim.run import Report, run
from protocol.sim.scenarios import Scenario


def test_what_was_drawn_as_a_timetable_is_the_same_run() -> None:
    value = read_file("everything")[1].value
    drawn = run(to_scenario(value, "x"), 3)
    entries = tuple(entry_of(happened) for happened in drawn.happened)
    plain = value.model_copy(update={"faults": FaultsTable(until="6 s"), "at": entries})  # type: ignore[arg-type]
    again = run(to_scenario(plain, "x"), 3)
    assert again.happened == drawn.happened
    assert (again.tip, again.messages, again.state_root) == (drawn.tip, drawn.messages, drawn.state_root)


def report(scenario: Scenario, seed: int, *, fails: bool) -> Report:
    violation = Violation("agreement", "planted", 0, 5) if fails else None
    return Report(scenario.name, seed, violation, 0, None, 0, 0, 0, 0, 0, 0)


def entry(fault: str, time_ms: int, **more: object) -> AtTable:
    return AtTable(time=format_duration(time_ms * 1000), fault=fault, lasts="1 s", **more)  # type: ignore[arg-type]


def test_only_what_is_needed_stays() -> None:
    """A planted rule: it fails when node 1 crashes while node 2 is cut off, with three members or more."""

    def runner(scenario: Scenario, seed: int) -> Report:
        crashed = any(at.fault == "crash" and 1 in at.aim.nodes for at in scenario.timetable)
        cut = any(at.fault == "isolate" and 2 in at.aim.nodes for at in scenario.timetable)
        return report(scenario, seed, fails=crashed and cut and scenario.members >= 3)

    noise = tuple(entry("delay_spike", time_ms) for time_ms in range(0, 3_000, 100))
    value = ScenarioFile(
        words="much noise",
        members=7,
        observers=2,
        byzantine=("silent_leader",),
        at=(*noise, entry("crash", 500, nodes=(1,)), *noise, entry("isolate", 900, nodes=(2,)), *noise),
    )
    told: list[str] = []
    shrinker = Shrinker("noise", value, 9, told=told.append, runner=runner)
    assert shrinker.rule == "agreement"
    smaller = shrinker.shrink()
    assert sorted(at.fault for at in smaller.value.at) == ["crash", "isolate"]
    assert (smaller.value.members, smaller.value.observers, smaller.value.byzantine) == (3, 0, ())
    assert smaller.value.load.clients == 1
    assert smaller.seed == 9
    assert told


def test_another_rule_is_not_the_same_failure_and_runs_are_bounded() -> None:
    def runner(scenario: Scenario, seed: int) -> Report:
        found = report(scenario, seed, fails=True)
        rule = "agreement" if len(scenario.timetable) == 4 else "liveness"
        assert found.violation is not None
        return replace(found, violation=replace(found.violation, rule=rule))

    value = ScenarioFile(words="four at once", at=tuple(entry("delay_spike", ms) for ms in range(4)))
    shrinker = Shrinker("four", value, 0, runs_max=20, told=lambda words: None, runner=runner)
    smaller = shrinker.shrink()
    assert len(smaller.value.at) == 4
    assert smaller.runs <= 20 + 2


def test_every_fault_can_be_written_down() -> None:
    assert {"extra", "step", "by", "per_mille", "factor", "block"} == {
        kind.amount.value for kind in FAULTS.values() if kind.amount is not None
    }
