"""All of it: a fresh network for each workload, its load, its judgement, and one report.

Whatever ends a run (its end, a failure, Ctrl-C), nodes and generators end with it. The directory goes, too, unless it
was named or something went wrong.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from daemon.bench.conditions import conditions
from daemon.bench.judging import Sent, all_ok, judge
from daemon.bench.meters import PARTS, Meters, disk_bytes
from daemon.bench.network import BenchFailed, Stand, make_stand
from daemon.bench.profiles import profile, profiler
from daemon.bench.search import RateSearch, is_held
from daemon.bench.trial import Offer, Trial, run_trial
from daemon.bench.workloads import BAD_EVERY, WORKLOADS
from daemon.config.creation import NODE_FILE
from daemon.config.node import load_node
from daemon.demo.nodes import stop_all
from protocol.errors import BAD_SIGNATURE, OK, PapilioError

FORMAT: Final = 1
"""Of the report."""
DAY_SECONDS: Final = 86_400
WARM_SECONDS: Final = 2.0
"""A little load before the clock runs: connections, caches, and what is imported late."""
KILLED_SECONDS: Final = 8.0
"""How long a killed node stays away."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command line says. rate: envelopes a second; None: the workload's own, or a search."""

    workloads: tuple[str, ...]
    nodes: int
    rate: float | None
    seconds: float | None
    probe_seconds: float
    each: int | None
    connections: int | None
    one_a_request: bool
    recompute: bool
    profile: bool
    directory: Path | None


@dataclass(frozen=True, slots=True)
class Kind:
    """A workload as it is run. rate: None: searched, from `first_rate` on. seconds: of the measured stretch."""

    words: str
    mix: str
    rate: float | None
    first_rate: float
    seconds: float
    each: int
    ask: bool


KINDS: Final = {
    "light": Kind("100 transactions a second, one a request", "single", 100, 100, 20, 1, True),
    "single": Kind("the highest rate held with p99 below a second", "single", None, 800, 30, 50, False),
    "bundled": Kind("the highest rate held with p99 below a second", "bundled", None, 40, 30, 1, False),
    "hot": Kind("the highest rate held with p99 below a second", "hot", None, 800, 30, 50, False),
    "leader-kill": Kind("light, and the leader killed with -9", "single", 100, 100, 30, 1, True),
    "idle": Kind("nobody uses it", "single", 0, 0, 20, 1, False),
}


def run_bench(wishes: Wishes, tell: Tell) -> dict[str, Any]:
    """Run it; the report. Raises PapilioError: BenchFailed, NodeEnded, ConfigurationFault; KeyboardInterrupt."""
    try:
        return trio.run(_run, wishes, tell)
    except BaseExceptionGroup as group:
        leaves = list(_leaves(group))
        known = [leaf for leaf in leaves if isinstance(leaf, PapilioError | KeyboardInterrupt)]
        if not known:
            raise
        raise known[0] from None


async def _run(wishes: Wishes, tell: Tell) -> dict[str, Any]:
    if wishes.profile and profiler() is None:
        raise BenchFailed("--profile needs py-spy, which is not installed here: pip install py-spy")
    report: dict[str, Any] = {"papilio_bench": FORMAT, "conditions": None, "workloads": []}
    for name in wishes.workloads:
        with _directory(wishes.directory, name) as directory:
            async with _standing(directory, wishes.nodes) as stand:
                if report["conditions"] is None:
                    workers = load_node(stand.nodes[0].directory / NODE_FILE).settings.workers.verify
                    parameters = stand.network.genesis.parameters
                    report["conditions"] = conditions(directory, parameters, wishes.nodes, workers)
                tell(f"{name}: {KINDS[name].words}; {wishes.nodes} nodes ready after {stand.start_s['ready']} s")
                found = await _workload(stand, name, wishes, tell)
            report["workloads"].append(found)
    report["conditions"]["load_average_after"] = [round(load, 2) for load in os.getloadavg()]
    return report


@asynccontextmanager
async def _standing(directory: Path, nodes: int) -> AsyncIterator[Stand]:
    """A network that runs while the block does."""
    stand = make_stand(directory / "network", nodes)
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


async def _workload(stand: Stand, name: str, wishes: Wishes, tell: Tell) -> dict[str, Any]:
    kind = KINDS[name]
    seconds = wishes.seconds or kind.seconds
    words = kind.words if wishes.rate is None else f"{wishes.rate:g} envelopes a second"
    found: dict[str, Any] = {"name": name, "words": words, "start_seconds": dict(stand.start_s)}
    if name == "idle":
        return found | await _idle(stand, seconds)
    found["mix"] = WORKLOADS[kind.mix].words + f"; 1 of {BAD_EVERY} envelopes with a bad signature, besides"
    sent = Sent()
    offer = _offer(kind, wishes, wishes.rate or kind.rate or kind.first_rate, seconds)
    await _warm(stand, offer, sent)
    rate = wishes.rate or kind.rate
    if rate is None:
        trial = await _search(stand, kind, wishes, seconds, sent, found, tell)
    elif name == "leader-kill":
        killing: dict[str, Any] = {}
        trial = await run_trial(stand, offer, partial(_kill_leader, stand, seconds, killing, tell))
        found["killing"] = killing
    else:
        trial = await run_trial(stand, offer)
        found["held"] = is_held(trial.summary())
    trial.sent(sent)
    found["measured"] = trial.summary()
    if wishes.profile:
        tell("  profiling, in a stretch of its own: it slows what it watches")
        found["profile"] = await _profiled(stand, trial.offer, sent)
    found["judged"] = await judge(stand, sent, recompute=wishes.recompute, was_killed="killing" in found)
    _require(found, sent, stand)
    tell(f"  judged: {len(stand.nodes)} disks hold the same, {all_ok(found['judged']):,} receipts with code ok on each")
    return found


def _offer(kind: Kind, wishes: Wishes, rate: float, seconds: float) -> Offer:
    each = 1 if wishes.one_a_request else wishes.each or kind.each
    connections = wishes.connections or (64 if wishes.one_a_request else 16)
    return Offer(
        mix=kind.mix,
        envelopes_a_second=rate,
        seconds=seconds,
        each=each,
        connections=connections,
        ask=kind.ask and not wishes.one_a_request,
    )


async def _warm(stand: Stand, offer: Offer, sent: Sent) -> None:
    gentle = Offer(
        mix=offer.mix,
        envelopes_a_second=offer.envelopes_a_second / 2,
        seconds=WARM_SECONDS,
        each=offer.each,
        connections=offer.connections,
        ask=offer.ask,
    )
    (await run_trial(stand, gentle)).sent(sent)


async def _search(
    stand: Stand, kind: Kind, wishes: Wishes, seconds: float, sent: Sent, found: dict[str, Any], tell: Tell
) -> Trial:
    """Trials until the highest rate held is known; the one that says so, or the last. They stand in `found`."""
    search = RateSearch(kind.first_rate)
    tries: list[dict[str, Any]] = []
    while True:
        offer = _offer(kind, wishes, search.rate, seconds if search.full else min(seconds, wishes.probe_seconds))
        trial = await run_trial(stand, offer)
        summary = trial.summary()
        held = is_held(summary)
        latency = summary["latency_final"]
        tries.append(
            {
                "offered_a_second": offer.envelopes_a_second,
                "seconds": offer.seconds,
                "held": held,
                "final_a_second": summary["final_a_second"],
                "p50_ms": latency["p50_ms"],
                "p99_ms": latency["p99_ms"],
            }
        )
        words = "held" if held else "not held"
        tell(
            f"  {offer.envelopes_a_second:,.0f}/s for {offer.seconds:.0f} s: {words}, "
            f"p50 {latency['p50_ms']} ms, p99 {latency['p99_ms']} ms"
        )
        search.told(held=held)
        if search.done:
            found["tries"] = tries
            found["held"] = search.answer is not None
            return trial
        trial.sent(sent)


async def _profiled(stand: Stand, offer: Offer, sent: Sent) -> dict[str, Any]:
    """The same load once more, at most 10 s, with a profiler on the first node."""
    program = profiler()
    assert program is not None, "asked before"
    seconds = max(2, min(10, int(offer.seconds)))
    found: dict[str, Any] = {}

    async def watch(start: float) -> None:
        await trio.sleep(max(0.0, start - time.monotonic()))
        pid = next(iter(stand.pids.values()))
        found.update(await profile(program, pid, stand.directory, max(1, seconds - 1)))

    again = Offer(
        mix=offer.mix,
        envelopes_a_second=offer.envelopes_a_second,
        seconds=seconds + 2,
        each=offer.each,
        connections=offer.connections,
        ask=offer.ask,
    )
    (await run_trial(stand, again, watch)).sent(sent)
    return found


async def _kill_leader(stand: Stand, seconds: float, told: dict[str, Any], tell: Tell, start: float) -> None:
    """Kill the leader at a third of the time, let it come back, and see when it has caught up."""
    await trio.sleep(max(0.0, start + seconds / 3 - time.monotonic()))
    followed = stand.nodes[:2]
    others = stand.nodes[2:]
    keys = {load_node(node.directory / NODE_FILE).node_key.public.hex(): node for node in others}
    while True:
        status = await followed[0].first_answer("/v1/node")
        victim = keys.get(_leader_key(stand, status["leader"]))
        if victim is not None:
            break
    killed = time.monotonic()
    await victim.kill()
    tell(f"  killed {victim.member}, who led view {status['view']}")
    await trio.sleep(KILLED_SECONDS)
    missed = (await followed[0].first_answer("/v1/node"))["executed_height"]
    returned = time.monotonic()
    await victim.start()
    await victim.ready()
    ready = time.monotonic()
    while (await victim.first_answer("/v1/node"))["executed_height"] < missed:  # noqa: ASYNC110 - in another process
        await trio.sleep(0.02)
    told |= {
        "member": victim.member,
        "at_s": round(killed - start, 2),
        "away_s": round(returned - killed, 2),
        "ready_after_s": round(ready - returned, 2),
        "caught_up_after_s": round(time.monotonic() - returned, 2),
    }


def _leader_key(stand: Stand, leader: int) -> str:
    """Node key of the validator with that number."""
    return stand.network.genesis.validators[leader].node_key.hex()


async def _idle(stand: Stand, seconds: float) -> dict[str, Any]:
    """CPU, memory and disk of a network that nobody uses."""
    before = {node.member: disk_bytes(node.data_directory) for node in stand.nodes}
    heights = [status["final_height"] for status in await stand.statuses()]
    meters = Meters(lambda: stand.pids)
    await trio.sleep(WARM_SECONDS)
    meters.begin()
    began = time.monotonic()
    await trio.sleep(seconds)
    meters.sample()
    wall = time.monotonic() - began
    after = {node.member: disk_bytes(node.data_directory) for node in stand.nodes}
    used = {member: sum(parts.values()) for member, parts in meters.cpu_seconds().items()}
    grown = {member: sum(after[member].values()) - sum(before[member].values()) for member in after}
    blocks = max(status["final_height"] for status in await stand.statuses()) - max(heights)
    return {
        "seconds": round(wall, 1),
        "core_percent": {member: round(cpu * 100 / wall, 2) for member, cpu in used.items()},
        "anonymous_bytes": meters.end_bytes,
        "disk_grown_bytes": grown,
        "blocks": blocks,
    }


def _require(found: dict[str, Any], sent: Sent, stand: Stand) -> None:
    """Raises BenchFailed unless everything is as it was promised, and every bad signature was refused."""
    wrong = list(found["judged"]["wrong"])
    bad = found["measured"]["answered"]["bad"]
    spared = bool(found.get("held")) and bad.get(BAD_SIGNATURE, 0) < sum(bad.values())
    if "taken" in bad or spared:
        wrong.append(f"envelopes with a bad signature were answered {bad}")
    lost = [one for one, code in sent.good.items() if code not in ("", OK)]
    if lost:
        wrong.append(f"{len(lost)} transactions became final with another code than ok")
    if wrong:
        raise BenchFailed(f"the ledger is not what it must be; see {stand.directory}:\n    " + "\n    ".join(wrong))


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for inner in group.exceptions:
        if isinstance(inner, BaseExceptionGroup):
            yield from _leaves(inner)
        else:
            yield inner


__all__ = ["KINDS", "PARTS", "Wishes", "run_bench"]
