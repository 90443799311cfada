"""What Papilio wants to reach, beside what was measured: four nodes and the load on two cores of one machine.

A goal is a bound on one figure of one workload. It is judged by the figure alone, whatever the machine: the conditions
stand above it in each report, and one on a slow machine says less than one on a quick one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from daemon.bench.comparing import at
from daemon.bench.meters import MIB

DAY_SECONDS: Final = 86_400
START: Final = "start of all"
Figure = Callable[[Mapping[str, Any]], float | None]
"""Of a workload in a report; None if it was not measured."""


@dataclass(frozen=True, slots=True)
class Goal:
    """workload: by name. words: what is bounded, with its unit. least: a bound from below.

    size: where the report says how many transactions of history this was measured with.
    """

    workload: str
    words: str
    bound: float
    figure: Figure
    least: bool = False
    size: str | None = None

    def met_by(self, figure: float) -> bool:
        """Whether it is reached."""
        return figure >= self.bound if self.least else figure <= self.bound


def _at(path: str) -> Figure:
    return lambda workload: at(workload, path)


def _held(path: str) -> Figure:
    """The figure of the highest rate that was held; 0 if none was."""

    def figure(workload: Mapping[str, Any]) -> float | None:
        if "tries" not in workload:
            return None
        return at(workload, path) if workload.get("held") else 0.0

    return figure


def _worst(path: str, times: float = 1.0) -> Figure:
    """Of several nodes or starts the worst."""

    def figure(workload: Mapping[str, Any]) -> float | None:
        found = at(workload, path)
        values = list(found.values()) if isinstance(found, Mapping) else found
        return max(values) * times if values else None

    return figure


def _idle_memory(workload: Mapping[str, Any]) -> float | None:
    found = workload.get("anonymous_bytes")
    return max(sum(one.values()) for one in found.values()) / MIB if found else None


def _idle_disk(workload: Mapping[str, Any]) -> float | None:
    found = workload.get("disk_grown_bytes")
    return max(found.values()) * DAY_SECONDS / workload["seconds"] / MIB if found else None


AWAY, HISTORY, GROWN = "catch_up.absent_transactions", "restart.history_transactions", "growth.points.1.transactions"
GOALS: Final = (
    Goal("light", "to final, p50 ms", 30, _at("measured.latency_final.p50_ms")),
    Goal("light", "to final, p99 ms", 100, _at("measured.latency_final.p99_ms")),
    Goal("single", "held with p99 below 1 s, a second", 3_000, _held("measured.offered_a_second"), least=True),
    Goal("single", "disk, times the envelopes", 2.5, _at("measured.disk.times_envelopes")),
    Goal("bundled", "operations held, a second", 25_000, _held("measured.operations_a_second"), least=True),
    Goal("bundled", "disk, times the envelopes", 1.5, _at("measured.disk.times_envelopes")),
    Goal("leader-kill", "longest gap, ms", 1_500, _at("measured.blocks.longest_gap_ms")),
    Goal("catch-up", "executed a second", 10_000, _at("catch_up.executed_a_second"), least=True, size=AWAY),
    Goal("restart", "ready after a stop, s", 5, _worst("restart.after_a_stop_s"), size=HISTORY),
    Goal("overload", "kept, % of its best", 90, _at("overload.kept_percent"), least=True),
    Goal("growth", "CPU a transaction, times", 1.2, _at("growth.times.cpu_ms_a_transaction"), size=GROWN),
    Goal("validators", "CPU a node with ten, times", 1.5, _at("validators.cpu_times")),
    Goal("idle", "% of a core", 1, _worst("core_percent")),
    Goal("idle", "anonymous memory, MiB", 80, _idle_memory),
    Goal("idle", "disk a day, MiB", 10, _idle_disk),
    Goal(START, "to first final, s", 3, _at("start_seconds.first_final")),
)
MET: Final = {"yes": "met", "no": "NOT met"}
HOT_SHARE: Final = 80
"""`hot` is to hold at least so many percent of what `single` does."""


def goal_rows(report: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """(workload, goal, figure, "yes" or "no") of each goal that the report has the figure of."""
    workloads = {one["name"]: one for one in report["workloads"]}
    if report["workloads"]:
        workloads[START] = report["workloads"][0]
    goals = list(GOALS)
    if {"single", "hot"} <= workloads.keys():
        held = _held("measured.offered_a_second")
        single = held(workloads["single"])
        share = HOT_SHARE / 100 * single if single else None
        if share:
            goals.append(Goal("hot", f"held, {HOT_SHARE}% of single, a second", share, held, least=True))
    for goal in goals:
        found = workloads.get(goal.workload, {})
        figure = goal.figure(found)
        if figure is not None:
            size = f", {at(found, goal.size):,} transactions" if goal.size else ""
            bound = f"{goal.words}{size}: {'at least' if goal.least else 'at most'} {goal.bound:,.6g}"
            yield goal.workload, bound, f"{round(figure, 3):,.6g}", "yes" if goal.met_by(figure) else "no"
