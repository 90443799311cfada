"""All of it: a fresh network for each workload, its load, its judgement, and one report.

Whatever ends a run (its end, a failure, Ctrl-C), nodes and generators end with it. The directory goes, too, unless it
was named or something went wrong.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import trio

from daemon.bench.comparing import FORMAT
from daemon.bench.conditions import conditions
from daemon.bench.histories import catch_up, grow, restart
from daemon.bench.judging import Sent, all_ok, judge
from daemon.bench.kinds import KINDS, Session, Tell, Wishes
from daemon.bench.loading import run_trial
from daemon.bench.loads import WARM_SECONDS, leader_killed, overloaded, plain, warm
from daemon.bench.meters import Meters
from daemon.bench.mixes import workload_of
from daemon.bench.network import BenchFailed, Stand, make_stand
from daemon.bench.profiles import profiler
from daemon.bench.workloads import BAD_EVERY
from daemon.config.creation import NODE_FILE
from daemon.config.node import load_node
from daemon.demo.interrupts import leaves
from daemon.demo.nodes import stop_all
from protocol.errors import BAD_SIGNATURE, OK, PapilioError

MANY_VALIDATORS: Final = 10


def run_bench(wishes: Wishes, tell: Tell) -> dict[str, Any]:
    """Run it; the report. Raises PapilioError: BenchFailed, NodeEnded, ConfigurationFault; KeyboardInterrupt."""
    try:
        return trio.run(_run, wishes, tell)
    except BaseExceptionGroup as group:
        known = [leaf for leaf in leaves(group) if isinstance(leaf, PapilioError | KeyboardInterrupt)]
        if not known:
            raise
        raise known[0] from None


async def _run(wishes: Wishes, tell: Tell) -> dict[str, Any]:
    if wishes.profile and profiler() is None:
        raise BenchFailed("--profile needs py-spy, which is not installed here: pip install py-spy")
    report: dict[str, Any] = {"papilio_bench": FORMAT, "conditions": None, "workloads": []}
    for name in wishes.workloads:
        kind = KINDS[name]
        if wishes.nodes < kind.nodes_min:
            raise BenchFailed(f"{name} needs {kind.nodes_min} nodes: with fewer the others cannot go on without one")
        with _directory(wishes.directory, name) as directory:
            async with AsyncExitStack() as standing:
                session = await _opened(standing, directory, name, wishes, tell)
                if report["conditions"] is None:
                    report["conditions"] = _conditions(directory, session.stand, wishes)
                await _workload(session)
            if name == "validators":
                await _more_validators(session, directory)
            report["workloads"].append(session.found)
    report["conditions"]["load_average_after"] = [round(load, 2) for load in os.getloadavg()]
    return report


async def _opened(standing: AsyncExitStack, directory: Path, name: str, wishes: Wishes, tell: Tell) -> Session:
    """A network for a workload, in `standing`, and the means to go on with another."""
    counting = wishes.parts and name != "idle"  # which would be most of what an idle node does
    stand = await standing.enter_async_context(_standing(directory, wishes.nodes, counting))
    tell(f"{name}: {KINDS[name].words}; {wishes.nodes} nodes ready after {stand.start_s['ready']} s")
    session = Session(stand, name, wishes, tell)
    numbers = count(1)

    async def renew() -> Stand:
        await _judged(session)
        await standing.aclose()
        if wishes.directory is None:
            shutil.rmtree(session.stand.directory)
        again = directory / f"again-{next(numbers)}"
        again.mkdir()
        return await standing.enter_async_context(_standing(again, wishes.nodes, counting))

    session.renew = renew
    return session


def _conditions(directory: Path, stand: Stand, wishes: Wishes) -> dict[str, Any]:
    workers = load_node(stand.nodes[0].directory / NODE_FILE).settings.workers.verify
    found = conditions(directory, stand.network.genesis.parameters, wishes.nodes, workers)
    return found | {"cpu_counted_by_part": wishes.parts}


@asynccontextmanager
async def _standing(directory: Path, nodes: int, cpu_by_part: bool) -> AsyncIterator[Stand]:
    """A network that runs while the block does."""
    stand = make_stand(directory / f"network-{nodes}", nodes, cpu_by_part=cpu_by_part)
    try:
        await stand.open()
        yield stand
    finally:
        await stop_all(stand.nodes)


@contextmanager
def _directory(wanted: Path | None, name: str) -> Iterator[Path]:
    """Where a workload's network lies; kept if it was named, or if the block fails."""
    if wanted is not None:
        place = wanted.absolute() / name
        place.mkdir(parents=True)
        yield place
        return
    place = Path(tempfile.mkdtemp(prefix=f"papilio-bench-{name}-"))
    yield place
    shutil.rmtree(place)


async def _workload(session: Session) -> None:
    """Run it on the network that stands, and judge."""
    found, stand = session.found, session.stand
    rate, words = session.wishes.rate, session.kind.words
    if rate is not None and session.name not in UNRATED:
        words += f"; at {rate:g} envelopes a second"
    found |= {"name": session.name, "words": words, "start_seconds": dict(stand.start_s)}
    if session.name == "idle":
        await RUNS["idle"](session)
        return
    found["mix"] = workload_of(session.mix).words + f"; 1 of {BAD_EVERY} envelopes with a bad signature, besides"
    await RUNS.get(session.name, plain)(session)
    await _judged(session)


async def _judged(session: Session) -> None:
    """Judge the network that stands, by everything that was sent to it. Raises BenchFailed."""
    found, stand = session.found, session.stand
    was_killed = "killing" in found
    found["judged"] = await judge(stand, session.sent, recompute=session.wishes.recompute, was_killed=was_killed)
    require(found, session.sent, stand.directory)
    held = all_ok(found["judged"])
    session.tell(f"  judged: {len(stand.nodes)} disks hold the same, {held:,} receipts with code ok on each")


async def _validators(session: Session) -> None:
    """A fixed load, and what a node spends on it."""
    rate = session.rate
    assert rate is not None, "a fixed load"
    await warm(session, rate)
    trial = session.took(await run_trial(session.stand, session.offer(rate, session.seconds)))
    session.found["measured"] = trial.summary()


async def _more_validators(session: Session, directory: Path) -> None:
    """The same once more with ten; both side by side in `validators`."""
    async with _standing(directory, MANY_VALIDATORS, session.wishes.parts) as stand:
        session.tell(f"  the same with {MANY_VALIDATORS} nodes, ready after {stand.start_s['ready']} s")
        more = Session(stand, session.name, session.wishes, session.tell)
        await _workload(more)
    session.found["more"] = more.found
    session.found["validators"] = scaling(session.found["measured"], more.found["measured"])


def scaling(few: Mapping[str, Any], many: Mapping[str, Any]) -> dict[str, Any]:
    """CPU of a node for a transaction, wire and latency, for few validators and for many."""

    def told(measured: Mapping[str, Any]) -> dict[str, Any]:
        nodes, cpu = len(measured["cpu"]["nodes_seconds"]), measured["cpu"]["ms_a_transaction"]
        return {
            "nodes": nodes,
            "cpu_ms_a_transaction_and_node": None if cpu is None else round(cpu / nodes, 3),
            "wire_bytes_a_transaction": measured["wire"]["bytes_a_transaction"],
            "final_a_second": measured["final_a_second"],
            "p50_ms": measured["latency_final"]["p50_ms"],
            "p99_ms": measured["latency_final"]["p99_ms"],
        }

    both = [told(few), told(many)]
    first, last = (one["cpu_ms_a_transaction_and_node"] for one in both)
    return {"networks": both, "cpu_times": round(last / first, 2) if first and last else None}


async def _idle(session: Session) -> None:
    """CPU, memory and disk of a network that nobody uses."""
    stand = session.stand
    before = stand.disks()
    heights = [status["final_height"] for status in await stand.statuses()]
    meters = Meters(lambda: stand.pids)
    await trio.sleep(WARM_SECONDS)
    meters.begin()
    began = time.monotonic()
    await trio.sleep(session.seconds)
    meters.sample()
    wall = time.monotonic() - began
    after = stand.disks()
    used = {member: sum(processes.values()) for member, processes in meters.cpu_seconds().items()}
    blocks = max(status["final_height"] for status in await stand.statuses()) - max(heights)
    session.found |= {
        "seconds": round(wall, 1),
        "core_percent": {member: round(cpu * 100 / wall, 2) for member, cpu in used.items()},
        "anonymous_bytes": meters.end_bytes,
        "disk_grown_bytes": {m: sum(after[m].values()) - sum(before[m].values()) for m in after},
        "blocks": blocks,
    }


RUNS: Final[Mapping[str, Callable[[Session], Awaitable[None]]]] = {
    "leader-kill": leader_killed,
    "catch-up": catch_up,
    "restart": restart,
    "overload": overloaded,
    "growth": grow,
    "validators": _validators,
    "idle": _idle,
}
"""How each is run; the rest is one stretch of load."""
UNRATED: Final = ("catch-up", "restart", "idle")
"""What has no rate."""


def require(found: Mapping[str, Any], sent: Sent, directory: Path) -> None:
    """Raises BenchFailed unless everything is as it was promised, and every bad signature was refused."""
    wrong = list(found["judged"]["wrong"])
    if "measured" in found:
        bad = found["measured"]["answered"]["bad"]
        spared = bool(found.get("held")) and bad.get(BAD_SIGNATURE, 0) < sum(bad.values())
        if "taken" in bad or spared:
            wrong.append(f"envelopes with a bad signature were answered {bad}")
    lost = [one for one, code in sent.good.items() if code not in ("", OK)]
    if lost:
        wrong.append(f"{len(lost)} transactions became final with another code than ok")
    if wrong:
        raise BenchFailed(f"the ledger is not what it must be; see {directory}:\n    " + "\n    ".join(wrong))
