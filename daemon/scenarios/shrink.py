"""From a failing run to a smaller one that violates the same rule.

First the faults that were drawn are written down as a timetable: the same faults at the same moments, which can then be
taken away one by one. Then, as long as something gets smaller: fewer faults, liars, nodes and clients, less time, plain
links. Each attempt is a whole run; one that fails by the same rule, at the first seed or one of the next few, is kept.
It ends when nothing more can be taken, or after so many runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from daemon.scenarios.durations import format_duration
from daemon.scenarios.meaning import is_sensible, to_scenario
from daemon.scenarios.tables import (
    AtTable,
    DiskTable,
    LinkTable,
    ScenarioFile,
    StorageTable,
    TimingTable,
    WorkTable,
)
from protocol.sim.faults import FAULTS, Amount
from protocol.sim.faults.driver import Happened
from protocol.sim.run import Report, run
from protocol.sim.scenarios import Scenario

RUNS_MAX = 200
SEEDS_TRIED = 3
"""A smaller scenario is another run; it may need another seed."""


@dataclass(frozen=True, slots=True)
class Smaller:
    """The smallest scenario that was found, the seed that fails in it, and how many runs that took."""

    value: ScenarioFile
    seed: int
    report: Report
    runs: int


class Shrinker:
    """One search for a smaller scenario."""

    def __init__(
        self,
        name: str,
        value: ScenarioFile,
        seed: int,
        *,
        runs_max: int = RUNS_MAX,
        told: Callable[[str], None],
        runner: Callable[[Scenario, int], Report] = run,
    ) -> None:
        self.name = name
        self.value = value
        self.seed = seed
        self.runs_max = runs_max
        self.told = told
        self.runner = runner
        self.runs = 0
        self.report = self._run(value, seed)

    def _run(self, value: ScenarioFile, seed: int) -> Report:
        self.runs += 1
        return self.runner(to_scenario(value, self.name), seed)

    @property
    def rule(self) -> str | None:
        """What is violated; None if nothing is."""
        return None if self.report.violation is None else self.report.violation.rule

    def shrink(self) -> Smaller:
        """The smallest that is found."""
        self._write_down()
        changed = True
        while changed and self.runs < self.runs_max:
            changed = sum(self._one_after_the_other(step) for step in STEPS) > 0
        return Smaller(self.value, self.seed, self.report, self.runs)

    def _write_down(self) -> None:
        """Faults that were drawn become a timetable."""
        if not self.value.faults.weights:
            return
        entries = tuple([entry_of(happened) for happened in self.report.happened if _is_drawn(self.value, happened)])
        plain = self.value.faults.model_copy(update={"weights": {}})
        self._try(self.value.model_copy(update={"faults": plain, "at": (*self.value.at, *entries)}), "as a timetable")

    def _one_after_the_other(self, step: Step) -> bool:
        """Try what a step offers, from the beginning again after each success."""
        changed, found = False, True
        while found and self.runs < self.runs_max:
            found = False
            for words, candidate in step(self.value):
                if self.runs < self.runs_max and self._try(candidate, words):
                    changed = found = True
                    break
        return changed

    def _try(self, candidate: ScenarioFile, words: str) -> bool:
        if candidate == self.value or not is_sensible(candidate):
            return False
        for seed in range(self.seed, self.seed + SEEDS_TRIED):
            report = self._run(candidate, seed)
            if report.violation is not None and report.violation.rule == self.rule:
                self.value, self.seed, self.report = candidate, seed, report
                self.told(f"{self.runs} runs: {words}")
                return True
        return False


Offer = tuple[str, ScenarioFile]
Step = Callable[[ScenarioFile], Iterator[Offer]]


def _is_drawn(value: ScenarioFile, happened: Happened) -> bool:
    return happened.fault in value.faults.weights


def entry_of(happened: Happened) -> AtTable:
    """The entry of a timetable that gives this fault again."""
    kind, aim = FAULTS[happened.fault], happened.aim
    given: dict[str, Any] = {"time": format_duration(happened.time_us), "fault": happened.fault}
    if happened.fault != "damaged_segment":
        given["lasts"] = format_duration(aim.lasts_us)
    for key in ("nodes", "to", "groups"):
        if getattr(aim, key):
            given[key] = getattr(aim, key)
    match kind.amount:
        case None:
            pass
        case Amount.EXTRA | Amount.STEP:
            given[kind.amount.value] = format_duration(aim.amount)
        case Amount.BY:
            given["by"] = format_duration(aim.amount * 1_000)
        case _:
            given[kind.amount.value] = aim.amount
    return AtTable(**given)


# -- Steps: each offers smaller scenarios, the boldest first ------------------------------------------


def fewer_entries(value: ScenarioFile) -> Iterator[Offer]:
    """Without half of the timetable, a quarter, ..., one entry."""
    entries = value.at
    size = (len(entries) + 1) // 2
    while entries and size >= 1:
        for first in range(0, len(entries), size):
            rest = entries[:first] + entries[first + size :]
            yield f"{len(rest)} entries", value.model_copy(update={"at": rest})
        size = 0 if size == 1 else (size + 1) // 2


def fewer_weights(value: ScenarioFile) -> Iterator[Offer]:
    """Without one kind of fault."""
    for name in value.faults.weights:
        rest = {other: weight for other, weight in value.faults.weights.items() if other != name}
        yield f"no {name}", value.model_copy(update={"faults": value.faults.model_copy(update={"weights": rest})})


def fewer_liars(value: ScenarioFile) -> Iterator[Offer]:
    """Without one of them."""
    for place, actor in enumerate(value.byzantine):
        rest = value.byzantine[:place] + value.byzantine[place + 1 :]
        yield f"no {actor}", value.model_copy(update={"byzantine": rest})


def fewer_nodes(value: ScenarioFile) -> Iterator[Offer]:
    """Without observers; with fewer members. What was aimed at a node that is gone is taken away."""
    if value.observers:
        yield "no observers", _of_nodes(value, value.members, 0)
    for members in range(1, value.members):
        yield f"{members} members", _of_nodes(value, members, value.observers)


def _of_nodes(value: ScenarioFile, members: int, observers: int) -> ScenarioFile:
    nodes = members + observers

    def gone(*given: int | None) -> bool:
        return any(node is not None and node >= nodes for node in given)

    kept = []
    for entry in value.at:
        groups = tuple([inner for group in entry.groups if (inner := tuple([n for n in group if n < nodes]))])
        hit, to = tuple([n for n in entry.nodes if n < nodes]), tuple([n for n in entry.to if n < nodes])
        lost = (entry.nodes and not hit) or (entry.to and not to) or (entry.groups and len(groups) < 2)
        if not lost and not gone(entry.leader, entry.joining):
            kept.append(entry.model_copy(update={"nodes": hit, "to": to, "groups": groups}))
    return value.model_copy(
        update={
            "members": members,
            "observers": observers,
            "powers": value.powers[:members],
            "storage": value.storage.model_copy(
                update={
                    "by_snapshot": tuple([node for node in value.storage.by_snapshot if not gone(node)]),
                    "pruned": tuple([node for node in value.storage.pruned if not gone(node)]),
                }
            ),
            "at": tuple(kept),
            "links": tuple([pair for pair in value.links if not gone(*pair)]),
            "link": value.link.model_copy(
                update={"slow": tuple([slow for slow in value.link.slow if not gone(*slow.nodes, *slow.to)])}
            ),
        }
    )


def less_load(value: ScenarioFile) -> Iterator[Offer]:
    """One client, one envelope a post, nothing odd."""
    for update in (
        {"clients": 1, "envelopes": (1, 1), "short_per_mille": 0, "bad_per_mille": 0, "twice_per_mille": 0},
        {"clients": 1},
        {"envelopes": (1, 1)},
        {"short_per_mille": 0, "bad_per_mille": 0, "twice_per_mille": 0},
    ):
        yield "less load", value.model_copy(update={"load": value.load.model_copy(update=update)})


def less_time(value: ScenarioFile) -> Iterator[Offer]:
    """Half of the time of faults; entries that repeat less and last half as long."""
    if value.faults.until > 200_000:
        half = value.faults.model_copy(update={"until": value.faults.until // 2_000 * 1_000})
        yield f"until {format_duration(half.until)}", value.model_copy(update={"faults": half})
    for place, entry in enumerate(value.at):
        for update in ({"times": entry.times // 2}, {"lasts": (entry.lasts or 0) // 2_000 * 1_000}):
            if all(update.values()):
                at = (*value.at[:place], entry.model_copy(update=update), *value.at[place + 1 :])
                yield "less time", value.model_copy(update={"at": at})


def plainer(value: ScenarioFile) -> Iterator[Offer]:
    """Everything that surrounds the nodes as it usually is."""
    for update in (
        {"topology": "mesh", "links": ()},
        {"link": LinkTable()},
        {"disk": DiskTable(), "work": WorkTable()},
        {"timing": TimingTable()},
        {"powers": ()},
        {"storage": StorageTable()},
        {"real_signatures": False},
    ):
        yield "plainer", value.model_copy(update=update)


STEPS: tuple[Step, ...] = (
    fewer_entries,
    fewer_weights,
    fewer_liars,
    fewer_nodes,
    less_load,
    less_time,
    plainer,
)
