"""Full load on four nodes, one of which is killed with -9 and comes back while the load goes on.

What this shows: the others lose nothing and wait for nobody for long; what the dead node had taken and not passed on,
its client sends again elsewhere, where it acts once; the node returns with everything that it ever called final, and
fetches what it missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import trio

from daemon.demo import load
from daemon.demo.meter import Span, percentile_ms
from daemon.demo.stage import Stage
from daemon.demo.story import Case
from daemon.demo.telling import Standing

KILL_AT_PERCENT: Final = 10
RETURN_AT_PERCENT: Final = 15
"""The node is killed once so much of the load is final, and started again at so much."""


@dataclass(slots=True)
class Absence:
    """How one node was away. Heights are of the killed node and of the others; transactions are final ones, in all."""

    member: str
    height_at_kill: int = 0
    transactions_at_kill: int = 0
    height_at_return: int = 0
    others_at_return: int = 0
    transactions_at_return: int = 0
    seconds_away: float = 0.0
    seconds_to_catch_up: float = 0.0
    load_went_on: bool = False
    loaded: bool = True
    words: str = ""

    def as_json(self) -> dict[str, Any]:
        """For the summary."""
        return {
            "member": self.member,
            "height_at_kill": self.height_at_kill,
            "height_at_return": self.height_at_return,
            "others_at_return": self.others_at_return,
            "final_between": self.transactions_at_return - self.transactions_at_kill,
            "blocks_between": self.others_at_return - self.height_at_kill,
            "seconds_away": round(self.seconds_away, 3),
            "seconds_to_catch_up": round(self.seconds_to_catch_up, 3),
            "load_went_on": self.load_went_on,
        }


async def tell_load(stage: Stage, case: Case, programme: bytes) -> None:
    """Everything that is left, one transaction an envelope, while one node is killed and returns."""
    teller, victim = stage.teller, stage.victim
    tasks = load.singles(stage.desk, stage.people, programme, case.division)
    late = load.repeats(stage.desk, stage.people, programme, case.division)
    teller.chapter("Full load, and a node is killed")
    kinds: dict[str, int] = {}
    for task in (*tasks, *late):
        kinds[task.kind] = kinds.get(task.kind, 0) + 1
    listed = ", ".join(f"{count:,} {plural(kind, count)}" for kind, count in kinds.items())
    teller.say(f"To all four nodes at once, each signed on its own: {listed}.")
    teller.say(
        "Three nodes of four go on. What the dead one had taken and not passed on, its client sends again elsewhere: "
        "an envelope acts once, however often it is sent."
    )
    absence = Absence(victim)
    await stage.settled()
    span = stage.meter.begin()
    total = len(tasks) + len(late)
    refused_before = stage.meter.refused.total()

    def standing() -> Standing:
        done = span.final + stage.meter.refused.total() - refused_before
        heights = "  ".join(f"{name} {_height(stage.heights.get(name))}" for name in stage.nodes)
        return Standing(done, total, f"done  {stage.meter.rate_now():>5,}/s  {absence.words}", f"heights: {heights}")

    async with teller.progress(standing), trio.open_nursery() as nursery:
        nursery.start_soon(_kill_and_return, stage, absence, span, total)
        await stage.deliver_all(tasks)
        await stage.deliver_all(late)
        await stage.settled()
        absence.loaded = False
    _tell_span(stage, case, span)
    _tell_absence(stage, absence)
    case.facts["kill"] = absence.as_json()


async def _kill_and_return(stage: Stage, absence: Absence, span: Span, total: int) -> None:
    """Kill the node in the middle of the load, and bring it back before the load is over."""
    node = stage.nodes[absence.member]
    await stage.until(lambda: span.final >= total * KILL_AT_PERCENT // 100)
    status = await node.first_answer("/v1/node")
    await node.kill()
    killed_at = trio.current_time()
    absence.height_at_kill = status["executed_height"]
    absence.transactions_at_kill = stage.meter.transactions
    absence.words = f"killed at height {absence.height_at_kill}"
    await stage.until(lambda: span.final >= total * RETURN_AT_PERCENT // 100)
    await node.start()
    absence.words = "starts again"
    status = await node.first_answer("/v1/node")
    absence.height_at_return = status["executed_height"]
    others = next(other for name, other in stage.nodes.items() if name != absence.member)
    living = await others.first_answer("/v1/node")
    absence.others_at_return = max(living["executed_height"], absence.height_at_return)
    absence.transactions_at_return = stage.meter.transactions
    absence.seconds_away = trio.current_time() - killed_at
    absence.load_went_on = absence.loaded
    absence.words = "is back"
    await stage.connect(absence.member)
    await _caught_up(stage, absence)


async def _caught_up(stage: Stage, absence: Absence) -> None:
    """Wait until it has executed what the others had when it was back."""
    began = trio.current_time()
    await stage.executed(absence.member, absence.others_at_return)
    absence.seconds_to_catch_up = trio.current_time() - began
    absence.words = "has caught up"


def _tell_span(stage: Stage, case: Case, span: Span) -> None:
    median, slowest = percentile_ms(span.latencies, 50), percentile_ms(span.latencies, 99)
    teller = stage.teller
    teller.figure(span.final, f"transactions final in {span.seconds:.1f} s: {round(span.rate):,} a second")
    teller.figure(f"{median:,} ms", f"from sending to the final receipt (median); {slowest:,} ms for 99 of 100")
    case.facts["load"] = {
        "transactions": span.final,
        "operations": span.operations,
        "seconds": round(span.seconds, 3),
        "per_second": round(span.rate),
        "p50_ms": median,
        "p99_ms": slowest,
    }


def _tell_absence(stage: Stage, absence: Absence) -> None:
    teller = stage.teller
    between = absence.transactions_at_return - absence.transactions_at_kill
    went_on = "while the load went on" if absence.load_went_on else "the load was over by then"
    teller.say(f"The node of {absence.member}, killed with -9:")
    teller.figure(absence.height_at_kill, "its height when it was killed")
    teller.figure(between, f"transactions became final without it, in {absence.seconds_away:.1f} s")
    teller.figure(absence.height_at_return, f"its height when it was back, {went_on}")
    teller.figure(absence.others_at_return, "height of the others at that moment")
    teller.figure(f"{absence.seconds_to_catch_up:.2f} s", "later it had all of that")


def plural(kind: str, count: int) -> str:
    """A kind of task, for so many."""
    if count == 1:
        return kind
    return kind.removesuffix("y") + "ies" if kind.endswith("y") else kind + "s"


def _height(height: int | None) -> str:
    return "down" if height is None else f"{height:,}"
