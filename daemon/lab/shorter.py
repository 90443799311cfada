"""How long a scenario takes in real time, and how it is made shorter without losing its meaning.

A simulated night is over in a second; a real one lasts until morning. `shortened` divides the waiting of a scenario by
one factor: when faults begin, how long they last, how far apart they are, and how long clients are quiet. What the
network itself measures time by stays as it is: Δ, its timers, delays of lines, how busy clients are while they are. So
a fault of half an hour becomes one of a minute to the same network.

**What keeps its meaning.** A fault matters to the network by how many of its time-outs it outlasts. Nothing is made
shorter than `LEAST_DELTAS` Δ (views fail, timers grow, connections are given up), or than it was. A node needs a second
or two to start, so what lasted longer is not made shorter than `START_MS` either. If the wish cannot be met so,
`TooShort` says how short it can be. What a length alone brings about (envelopes that expire, days of growth) is lost,
and the report says by which factor.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from protocol.errors import OperatorFault
from protocol.sim.events import MS_US
from protocol.sim.faults.driver import FaultPlan
from protocol.sim.scenarios import Scenario
from protocol.sim.timetable import At

LEAST_DELTAS: Final = 40
START_MS: Final = 5_000
FACTOR_MAX: Final = 1_000_000


def span_ms(scenario: Scenario) -> int:
    """From the start to the end of the last fault, ms; a condition counts as if it came at once."""
    ends = [(entry.time_us or 0) + entry.span_us for entry in scenario.timetable]
    return max([scenario.faults.until_ms, *(end // MS_US for end in ends)])


def shortened(scenario: Scenario, wanted_ms: int) -> tuple[Scenario, int]:
    """The scenario with a span of at most `wanted_ms`, and the factor; 1 if it is short enough.

    Raises OperatorFault if that would take its meaning.
    """
    factor = 1
    found = scenario
    while span_ms(found) > wanted_ms:
        if factor > FACTOR_MAX:
            least = -(-span_ms(found) // 1000)
            words = f"{scenario.name} takes {least} s at least: shorter, its faults would not outlast time-outs"
            raise OperatorFault(f"{words}; give --seconds {least} or more")
        factor = factor + 1 if factor < 64 else factor + factor // 16
        found = divided(scenario, factor)
    return found, factor


def divided(scenario: Scenario, factor: int) -> Scenario:
    """All waiting divided by `factor`, within what keeps its meaning."""
    least_ms = max(LEAST_DELTAS * scenario.delta_ms, START_MS)

    def shorter_ms(ms: int) -> int:
        return max(ms // factor, min(ms, least_ms))

    def shorter_us(us: int) -> int:
        return max(us // factor, min(us, least_ms * MS_US))

    def entry(at: At) -> At:
        lasts_us = shorter_us(at.aim.lasts_us)
        every_us = max(shorter_us(at.every_us), lasts_us + min(at.every_us - at.aim.lasts_us, least_ms * MS_US))
        return replace(
            at,
            aim=replace(at.aim, lasts_us=lasts_us),
            time_us=None if at.time_us is None else shorter_us(at.time_us),
            every_us=every_us if at.every_us else 0,
            stagger_us=shorter_us(at.stagger_us),
        )

    plan: FaultPlan = scenario.faults
    load = scenario.load
    quiet = (shorter_ms(load.quiet_ms[0]), shorter_ms(load.quiet_ms[1]))
    until_ms = shorter_ms(plan.until_ms) if plan.weights else min(plan.until_ms, least_ms)
    return replace(
        scenario,
        timetable=tuple(entry(at) for at in scenario.timetable),
        faults=replace(plan, until_ms=until_ms),
        load=replace(load, quiet_ms=quiet, patience_ms=shorter_ms(load.patience_ms)),
    )
