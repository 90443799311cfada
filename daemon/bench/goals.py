"""What Papilio wants to reach, beside what was measured: four nodes and the load on two cores of one machine.

A goal is a bound on one figure of one workload. It is judged by the figure alone, whatever the machine: the conditions
stand above it in each report, and one on a slow machine says less than one on a quick one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from daemon.bench.comparing import at
from daemon.bench.meters import MIB

START: Final = "start of all"
Workloads = Mapping[str, Mapping[str, Any]]
"""Of a report, by name."""
Figure = Callable[[Workloads], float | None]
"""None if it was not measured."""


@dataclass(frozen=True, slots=True)
class Goal:
    """workload: of which it is told. words: what is bounded, with its unit. least: a bound from below.

    size: where the workload says how many transactions of history this was measured with.
    """

    workload: str
    words: str
    bound: float
    figure: Figure
    least: bool = False
    size: str | None = None


class Judged(NamedTuple):
    """A goal beside its figure, for people."""

    workload: str
    goal: str
    figure: str
    met: bool

    @property
    def words(self) -> str:
        """The figure, and whether it is enough."""
        return f"{self.figure}, {'met' if self.met else 'NOT met'}"


def idle_memory_mib(workload: Mapping[str, Any]) -> float:
    """Anonymous memory of the worst node, all its processes together."""
    return float(max(sum(one.values()) for one in workload["anonymous_bytes"].values()) / MIB)


def idle_disk_mib(workload: Mapping[str, Any]) -> float:
    """What the disk of the worst node grows by in a day at this pace."""
    return float(max(workload["disk_grown_bytes"].values()) * 86_400 / workload["seconds"] / MIB)


def _at(name: str, path: str) -> Figure:
    return lambda workloads: at(workloads.get(name), path)


def _held(name: str, path: str) -> Figure:
    """The figure of the highest rate that was held; 0 if none was."""

    def figure(workloads: Workloads) -> float | None:
        workload = workloads.get(name, {})
        if "tries" not in workload:
            return None
        return at(workload, path) if workload.get("held") else 0.0

    return figure


def _of_idle(told: Callable[[Mapping[str, Any]], float]) -> Figure:
    return lambda workloads: told(workloads["idle"]) if "idle" in workloads else None


def _restarted(workloads: Workloads) -> float | None:
    found = at(workloads.get("restart"), "restart.after_a_stop_s")
    return max(found) if found else None


def _hot_share(workloads: Workloads) -> float | None:
    single, hot = (_held(name, RATE)(workloads) for name in ("single", "hot"))
    return None if not single or hot is None else 100 * hot / single


def _started(workloads: Workloads) -> float | None:
    found: float | None = at(next(iter(workloads.values()), None), "start_seconds.first_final")
    return found


RATE: Final = "measured.offered_a_second"
DISK: Final = "measured.disk.times_envelopes"
GOALS: Final = (
    Goal("light", "to final, p50 ms", 30, _at("light", "measured.latency_final.p50_ms")),
    Goal("light", "to final, p99 ms", 100, _at("light", "measured.latency_final.p99_ms")),
    Goal("single", "held with p99 below 1 s, a second", 3_000, _held("single", RATE), least=True),
    Goal("single", "disk, times the envelopes", 2.5, _at("single", DISK)),
    Goal("bundled", "operations held, a second", 25_000, _held("bundled", "measured.operations_a_second"), least=True),
    Goal("bundled", "disk, times the envelopes", 1.5, _at("bundled", DISK)),
    Goal("hot", "held, % of single", 80, _hot_share, least=True),
    Goal("leader-kill", "longest gap, ms", 1_500, _at("leader-kill", "measured.blocks.longest_gap_ms")),
    Goal(
        "catch-up", "executed a second", 10_000, _at("catch-up", "catch_up.executed_a_second"),
        least=True, size="catch_up.absent_transactions",
    ),
    Goal("restart", "ready after a stop, s", 5, _restarted, size="restart.history_transactions"),
    Goal("overload", "kept, % of its best", 90, _at("overload", "overload.kept_percent"), least=True),
    Goal(
        "growth", "CPU a transaction, times", 1.2, _at("growth", "growth.times.cpu_ms_a_transaction"),
        size="growth.points.last.transactions",
    ),
    Goal("validators", "CPU a node with ten, times", 1.5, _at("validators", "validators.cpu_times")),
    Goal("idle", "% of a core", 1, _of_idle(lambda workload: max(workload["core_percent"].values()))),
    Goal("idle", "anonymous memory, MiB", 80, _of_idle(idle_memory_mib)),
    Goal("idle", "disk a day, MiB", 10, _of_idle(idle_disk_mib)),
    Goal(START, "to first final, s", 3, _started),
)  # fmt: skip


def judged(report: Mapping[str, Any]) -> Iterator[Judged]:
    """Each goal that the report has the figure of."""
    workloads = {one["name"]: one for one in report["workloads"]}
    for goal in GOALS:
        figure = goal.figure(workloads)
        if figure is None:
            continue
        size = f", {at(workloads[goal.workload], goal.size):,} transactions" if goal.size else ""
        words = f"{goal.words}{size}: {'at least' if goal.least else 'at most'} {goal.bound:,.6g}"
        met = figure >= goal.bound if goal.least else figure <= goal.bound
        yield Judged(goal.workload, words, f"{round(figure, 3):,.6g}", met)
