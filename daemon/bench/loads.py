"""Workloads that are one stretch of load: at a rate, at the highest that is held, beyond it, or while a leader dies."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any, Final

import trio

from daemon.bench.kinds import Session
from daemon.bench.loading import run_trial
from daemon.bench.profiles import profile, profiler
from daemon.bench.search import RATE_MIN, RateSearch, is_held
from daemon.bench.trial import ALONE, Offer, Trial
from daemon.config.creation import NODE_FILE
from daemon.config.node import load_node

WARM_SECONDS: Final = 2.0
"""A little load before the clock runs: connections, caches, and what is imported late."""
KILLED_SECONDS: Final = 8.0
"""How long a killed node stays away."""
OVERLOAD: Final = 2.0
OVERLOAD_CONNECTIONS: Final = 256
"""With few, what is too much would wait for a connection at the generators, and never reach the nodes."""
PROFILED_SECONDS: Final = 10


async def warm(session: Session, rate: float) -> None:
    """Half of a rate, for a moment."""
    gentle = replace(session.offer(rate / 2, WARM_SECONDS), burst=1.0, beside=ALONE)
    session.took(await run_trial(session.stand, gentle))


async def plain(session: Session) -> None:
    """One rate, or the highest that is held; `measured` and `held`."""
    first = session.rate or session.kind.first_rate
    await warm(session, first)
    if session.rate is None:
        trial = await _searched(session)
    else:
        trial = await run_trial(session.stand, session.offer(session.rate, session.seconds))
        session.found["held"] = is_held(trial.summary())
    await _measured(session, trial)


async def leader_killed(session: Session) -> None:
    """One rate, and the leader killed meanwhile."""
    rate = session.rate or session.kind.first_rate
    await warm(session, rate)
    killing: dict[str, Any] = {}
    meanwhile = partial(_kill_leader, session, killing)
    trial = await run_trial(session.stand, session.offer(rate, session.seconds), meanwhile)
    session.found["killing"] = killing
    await _measured(session, trial)


async def overloaded(session: Session) -> None:
    """Twice what it can do (or twice `--rate`, if that is known to be it): what it goes on doing, what it refuses.

    What it can do is the most that became final a second in any short trial of the search, held or not: the rate that
    is held says what clients bear, and on a machine that is disturbed for a moment far too little.
    """
    rate = session.rate
    await warm(session, rate or session.kind.first_rate)
    if rate is None:
        session.took(await probed(session, RateSearch(session.kind.first_rate)))
        best = max(one["final_a_second"] for one in session.found["tries"])
        rate = max(best, RATE_MIN)
    else:
        able = session.took(await run_trial(session.stand, session.offer(rate, session.seconds)))
        best = able.summary()["final_a_second"]
    offer = session.offer(rate * OVERLOAD, session.seconds)
    offer = replace(offer, connections=max(offer.connections, OVERLOAD_CONNECTIONS))
    trial = await run_trial(session.stand, offer)
    session.found["held"] = False  # bad signatures may be refused for pressure, too
    session.found["overload"] = overload(best, trial, trial.summary())
    await _measured(session, trial)


def overload(best: float, trial: Trial, summary: dict[str, Any]) -> dict[str, Any]:
    """What a node does that is offered more than it can do. best: the most final transactions a second."""
    seconds = trial.offer.seconds
    in_time = sum(due + latency <= seconds for due, latency in trial.latencies())
    codes: Counter[str] = Counter(summary["answered"]["good"])
    offered, statuses = codes.total(), trial.statuses()
    refused = offered - codes["taken"]
    posts = sum(statuses.values())
    series = summary["memory_series"]["mib"]
    return {
        "best_a_second": best,
        "offered_a_second": trial.offer.envelopes_a_second,
        "final_in_time_a_second": round(in_time / seconds, 1),
        "kept_percent": round(in_time / seconds * 100 / best, 1) if best else None,
        "refused_percent": round(refused * 100 / offered, 1) if offered else None,
        "posts_with_429_percent": round(statuses[429] * 100 / posts, 1) if posts else None,
        "memory_mib": {
            member: {"first": known[0], "middle": known[len(known) // 2], "last": known[-1], "most": max(known)}
            for member, values in series.items()
            if (known := [value for value in values if value is not None])
        },
    }


async def probed(session: Session, search: RateSearch) -> Trial:
    """Short trials until it is known which rate to try for the full time; the last one. They stand in `tries`."""
    session.found["tries"] = []
    while True:
        trial = await _tried(session, search, min(session.seconds, session.wishes.probe_seconds))
        if search.full or search.done:
            return trial


async def _searched(session: Session) -> Trial:
    """Trials until the highest rate held is known; the one that says so, or the last.

    Each that takes the full time has a network of its own: short ones leave a history behind, the longer the more of
    them were too much, and what a transaction costs depends on it.
    """
    search = RateSearch(session.kind.first_rate)
    trial = await probed(session, search)
    while not search.done:
        session.took(trial)
        await session.afresh()
        await warm(session, search.rate)
        trial = await _tried(session, search, session.seconds)
    session.found["held"] = search.answer is not None
    return trial


async def _tried(session: Session, search: RateSearch, seconds: float) -> Trial:
    """One trial of the search, told to it and to who watches."""
    offer = session.offer(search.rate, seconds)
    trial = await run_trial(session.stand, offer)
    summary = trial.summary()
    held = is_held(summary)
    latency = summary["latency_final"]
    session.found["tries"].append(
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
    session.tell(
        f"  {offer.envelopes_a_second:,.0f}/s for {offer.seconds:.0f} s: {words}, "
        f"p50 {latency['p50_ms']} ms, p99 {latency['p99_ms']} ms"
    )
    search.told(held=held)
    return trial


async def _measured(session: Session, trial: Trial) -> None:
    """Keep what came of the trial that counts, and profile the same load where that is wanted."""
    session.took(trial)
    session.found["measured"] = trial.summary()
    if session.wishes.profile:
        session.tell("  profiling, in a stretch of its own: it slows what it watches")
        session.found["profile"] = await _profiled(session, trial.offer)


async def _profiled(session: Session, offer: Offer) -> dict[str, Any]:
    """The same load once more, for a while, with a profiler on the first node."""
    program = profiler()
    assert program is not None, "asked before"
    seconds = max(2, min(PROFILED_SECONDS, int(offer.seconds)))
    found: dict[str, Any] = {}

    async def watch(start: float) -> None:
        await trio.sleep(max(0.0, start - time.monotonic()))
        pid = next(iter(session.stand.pids.values()))
        found.update(await profile(program, pid, session.stand.directory, max(1, seconds - 1)))

    session.took(await run_trial(session.stand, replace(offer, seconds=seconds + 2), watch))
    return found


async def _kill_leader(session: Session, told: dict[str, Any], start: float) -> None:
    """Kill the leader at a third of the time, let it come back, and see when it has caught up."""
    stand = session.stand
    await trio.sleep(max(0.0, start + session.seconds / 3 - time.monotonic()))
    followed = stand.nodes[:2]
    others = stand.nodes[2:]
    keys = {load_node(node.directory / NODE_FILE).node_key.public.hex(): node for node in others}
    while True:
        status = await followed[0].first_answer("/v1/node")
        victim = keys.get(stand.network.genesis.validators[status["leader"]].node_key.hex())
        if victim is not None:
            break
    killed = time.monotonic()
    await victim.kill()
    session.tell(f"  killed {victim.member}, who led view {status['view']}")
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
