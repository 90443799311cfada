"""Many seeds over many scenarios, in as many processes as are wanted; reports come back in order.

The order of reports, and so of what is printed, depends on scenarios and seeds only. A worker keeps Python's collector
of cycles from looking at everything again and again, which saves a sixth of the time; that changes no run.
"""

from __future__ import annotations

import os
import signal
from collections import Counter, deque
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from daemon.collector import RARELY, calm_collector
from daemon.runtime.workers.child import die_with_parent
from protocol.sim.run import Report, run
from protocol.sim.scenarios import Scenario

AHEAD = 4
"""Runs that wait for each process."""


@dataclass(slots=True)
class Tally:
    """What the seeds of one scenario came to. Times in ms."""

    scenario: str
    seeds: int = 0
    counted: int = 0
    """Seeds in which something went wrong: a fault happened, or a member lied."""
    failed: list[tuple[int, str]] = field(default_factory=list)
    """(seed, violated rule)."""
    blocks: int = 0
    nullified_views: int = 0
    restarts: int = 0
    messages: int = 0
    simulated_ms: int = 0
    settled_ms: int = 0
    """The slowest."""
    faults: Counter[str] = field(default_factory=Counter)
    """And whatever else the scenario is about (`Report.done`)."""
    wanted: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """What the scenario is about and happened in no seed."""
        return [name for name in self.wanted if not self.faults[name]]

    def add(self, report: Report, *, lies: bool) -> None:
        """One run more."""
        self.seeds += 1
        self.counted += bool(lies or report.faults)
        self.blocks += report.blocks
        self.nullified_views += report.nullified_views
        self.restarts += report.restarts
        self.messages += report.messages
        self.simulated_ms += report.simulated_ms
        self.settled_ms = max(self.settled_ms, report.settled_ms or 0)
        self.faults.update(report.faults)
        self.faults.update(report.done)
        self.wanted = tuple(dict.fromkeys((*self.wanted, *report.faults, *report.done, *report.missing)))
        if report.violation is not None:
            self.failed.append((report.seed, report.violation.rule))

    def lines(self) -> list[str]:
        """For people."""
        told = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items())) or "none"
        head = (
            f"{self.scenario}: {self.seeds} seeds, {self.counted} with a fault, {len(self.failed)} failed; "
            f"{self.blocks} blocks, {self.nullified_views} views nullified, {self.restarts} restarts; "
            f"slowest settled in {self.settled_ms} ms"
        )
        out = [head, f"  faults: {told}"]
        return [*out, f"  never happened: {', '.join(self.missing)}"] if self.missing else out

    def facts(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "scenario": self.scenario,
            "seeds": self.seeds,
            "seeds_with_a_fault": self.counted,
            "failed": [{"seed": seed, "rule": rule} for seed, rule in self.failed],
            "blocks": self.blocks,
            "nullified_views": self.nullified_views,
            "restarts": self.restarts,
            "messages": self.messages,
            "simulated_ms": self.simulated_ms,
            "slowest_settled_ms": self.settled_ms,
            "faults": dict(sorted(self.faults.items())),
            "never_happened": self.missing,
        }


def reports(
    scenarios: Sequence[Scenario], seeds: range, jobs: int, known: Container[tuple[str, int]] = ()
) -> Iterator[tuple[Scenario, Report]]:
    """Every run, scenario by scenario and seed by seed. Who stops asking stops the search.

    known: (how a scenario is named, seed) of runs that are left out.
    """
    wanted = ((scenario, seed) for scenario in scenarios for seed in seeds if (scenario.source, seed) not in known)
    if jobs == 1:
        for scenario, seed in wanted:
            yield scenario, run(scenario, seed)
        return
    waiting: deque[tuple[Scenario, Future[Report]]] = deque()
    with ProcessPoolExecutor(jobs, get_context("spawn"), _begin, (os.getpid(),)) as pool:
        try:
            for scenario, seed in wanted:
                waiting.append((scenario, pool.submit(run, scenario, seed)))
                if len(waiting) >= jobs * AHEAD:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _begin(parent: int) -> None:
    """In each worker: Ctrl-C ends it without words, the end of the search ends it, and the collector looks seldom."""
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    calm_collector(RARELY)
