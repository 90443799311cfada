"""A scenario made shorter: waiting is divided, what the network measures time by is not, and its meaning stays."""

from __future__ import annotations

import re

import pytest

from daemon.lab.possible import Machine, refusals
from daemon.lab.shorter import LEAST_DELTAS, START_MS, divided, shortened, span_ms
from daemon.scenarios.shipped import load, names, read_file, scenarios
from protocol.errors import OperatorFault
from protocol.sim.scenarios import Scenario


def least_ms(scenario: Scenario) -> int:
    return max(LEAST_DELTAS * scenario.delta_ms, START_MS)


def test_a_night_in_a_minute_and_a_half() -> None:
    night = load("night-without-quorum")
    short, factor = shortened(night, 90_000)
    assert span_ms(night) > 36_000_000
    assert span_ms(short) <= 90_000
    assert factor > 400
    assert short.timetable[0].aim.lasts_us // 1000 >= least_ms(night), "timers still reach their cap"
    assert short.timetable[0].aim.nodes == (0, 3)
    kept = ("delta_ms", "retry_interval_ms", "idle_interval_ms", "backoff_max", "link", "bound_deltas")
    assert all(getattr(short, name) == getattr(night, name) for name in kept)
    assert short.load.busy_ms == night.load.busy_ms
    assert short.load.quiet_ms[1] < night.load.quiet_ms[1]


def test_what_is_short_enough_stays_as_it_is() -> None:
    scenario = load("rolling-restart")
    assert shortened(scenario, span_ms(scenario)) == (scenario, 1)


def test_a_node_that_comes_and_goes_has_time_to_come() -> None:
    restless = load("restless-member")
    short = divided(restless, 1000)
    entry, before = short.timetable[0], restless.timetable[0]
    assert entry.times == before.times
    assert entry.every_us - entry.aim.lasts_us >= min(before.every_us - before.aim.lasts_us, START_MS * 1000)


def test_a_wish_that_would_take_the_meaning_is_refused_with_one_that_does_not() -> None:
    scenario = load("two-of-four-paused")
    with pytest.raises(OperatorFault, match="would not outlast time-outs") as fault:
        shortened(scenario, 3_000)
    found = re.search(r"--seconds (\d+)", fault.value.words)
    assert found is not None
    seconds = int(found[1])
    short, _ = shortened(scenario, seconds * 1000)
    assert span_ms(short) <= seconds * 1000


@pytest.mark.parametrize("factor", [7, 100_000])
def test_nothing_of_any_scenario_is_shorter_than_what_matters_or_than_it_was(factor: int) -> None:
    for name in names():
        if refusals(read_file(name)[1].value, Machine(disks=True)):
            continue
        scenario = scenarios()[name]
        short = divided(scenario, factor)
        for before, after in zip(scenario.timetable, short.timetable, strict=True):
            assert after.aim.lasts_us >= min(before.aim.lasts_us, least_ms(scenario) * 1000)
            assert after.aim.lasts_us <= before.aim.lasts_us
            assert after.every_us <= before.every_us
        assert span_ms(short) <= span_ms(scenario), name
