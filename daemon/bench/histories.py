"""Workloads about history: a node that comes back to one, starts with one, and works on one that gets longer.

A history is made by the load generators in a closed loop: as fast as the nodes take it, again what they refuse for
pressure. It is judged like everything else that was sent: transaction by transaction, on every disk.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import trio

from daemon.bench.arithmetic import growth_marks
from daemon.bench.http import HttpConnection, Lost
from daemon.bench.kinds import Session
from daemon.bench.loading import growth, run_trial
from daemon.bench.loads import warm
from daemon.bench.meters import MIB, Meters, disk_bytes
from daemon.bench.network import BenchFailed, address_of
from daemon.demo.nodes import NodeProcess, start_all

CHUNK: Final = 25_000
"""Envelopes that are signed beforehand, sent, and remembered by generators at once."""
RESTARTS: Final = 3
LOOK_SECONDS: Final = 0.02
COME_BACK_SECONDS: Final = 600.0


async def fill(session: Session, transactions: int) -> dict[str, Any]:
    """Make the log so much longer: how long that took, and CPU of the nodes meanwhile."""
    begun = size = await session.stand.settled()
    seconds, cpu = 0.0, 0.0
    while size < begun + transactions:
        offer = session.filling(min(CHUNK, begun + transactions - size + 1))
        trial = session.took(await run_trial(session.stand, offer))
        last = max((one.answered for one in trial.envelopes()), default=trial.start)
        seconds += last - trial.start
        cpu += sum(sum(used.values()) for used in trial.meters.cpu_seconds().values())
        before, size = size, await session.stand.settled()
        if size == before:
            raise BenchFailed("a history could not be made: nothing that was sent became final")
        session.tell(f"  {size - begun:,} of {transactions:,} transactions of history")
    made = size - begun
    return {
        "transactions": made,
        "seconds": round(seconds, 2),
        "taken_a_second": round(made / seconds) if seconds else None,
        "cpu_ms_a_transaction": round(cpu * 1000 / made, 3) if made else None,
    }


# -- Catching up --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Look:
    """What a node showed of itself. at: seconds after it was started."""

    at: float
    final_height: int
    executed_height: int
    log_size: int


async def catch_up(session: Session) -> None:
    """Kill a node, let the others go on, start it again, and watch it come back."""
    stand = session.stand
    await warm(session, session.kind.first_rate)
    before = await stand.settled()
    victim = stand.nodes[-1]
    await victim.kill()
    absent = await fill(session, session.transactions)
    target = (await stand.statuses())[0]
    meters = Meters(lambda: {victim.member: stand.pids[victim.member]} if victim.member in stand.pids else {})
    meters.begin()
    looks = await _come_back(victim, before, target["final_height"])
    meters.sample()
    first = departure(looks, before)
    block = await stand.nodes[0].first_answer(f"/v1/blocks/{max(1, first.final_height)}")
    final_at = next(look.at for look in looks if look.final_height >= target["final_height"])
    lacked_final, lacked = target["log_size"] - block["log_size"], target["log_size"] - first.log_size
    session.tell(f"  back after {looks[-1].at:.2f} s, {absent['transactions']:,} transactions later")
    session.found["catch_up"] = {
        "member": victim.member,
        "absent_transactions": target["log_size"] - before,
        "absent_blocks": target["final_height"] - looks[0].final_height,
        "first_answer_s": round(looks[0].at, 2),
        "begins_s": round(first.at, 2),
        "final_s": round(final_at, 2),
        "executed_s": round(looks[-1].at, 2),
        "final_a_second": _rate(lacked_final, final_at - first.at),
        "executed_a_second": _rate(lacked, looks[-1].at - first.at),
        "cpu_seconds": meters.cpu_seconds().get(victim.member, {}),
        "while_absent": absent,
        "looks": [(round(look.at, 3), look.final_height, look.log_size) for look in looks],
    }


async def _come_back(victim: NodeProcess, before: int, height: int) -> list[Look]:
    """Start it, and look until it has executed that height. Raises BenchFailed, NodeEnded."""
    began = time.monotonic()
    await victim.start()
    looks: list[Look] = []
    with trio.move_on_after(COME_BACK_SECONDS):
        while not looks or looks[-1].executed_height < height:
            victim.check()
            with suppress(Lost):
                looks.append(await _look(victim, began))
            await trio.sleep(LOOK_SECONDS)
        return looks
    raise BenchFailed(f"the node of {victim.member} did not catch up in {COME_BACK_SECONDS:.0f} s, from {before} on")


async def _look(node: NodeProcess, began: float) -> Look:
    """Ask it once, on a connection of its own. Raises Lost."""
    connection = await HttpConnection.open(address_of(node.url))
    try:
        _, body = await connection.ask("GET", "/v1/node")
    finally:
        connection.close()
    told = json.loads(body)
    return Look(time.monotonic() - began, told["final_height"], told["executed_height"], told["log_size"])


def departure(looks: Sequence[Look], before: int) -> Look:
    """When it began to catch up: the last look at which it had nothing yet of what it lacked, or else the first.

    before: receipts that it had when it went.
    """
    assert looks, "it was looked at"
    start = looks[0]
    for look in looks:
        if look.log_size > before or look.final_height > looks[0].final_height:
            break
        start = look
    return start


# -- Starting -----------------------------------------------------------------------------------------


async def restart(session: Session) -> None:
    """Start nodes that have a long history: after an orderly end, after a kill, and all at once."""
    stand = session.stand
    made = await fill(session, session.transactions)
    size = await stand.settled()
    node = stand.nodes[-1]
    stopped, killed = [], []
    for _ in range(RESTARTS):
        await node.stop()
        stopped.append(await _start_to_ready(node))
        await stand.settled()
        await node.kill()
        killed.append(await _start_to_ready(node))
        await stand.settled()
    for each in stand.nodes:
        await each.kill()
    began = time.monotonic()
    await start_all(stand.nodes)
    ready = time.monotonic() - began
    await stand.one_more()
    session.found["restart"] = {
        "history_transactions": size,
        "history_blocks": (await stand.statuses())[0]["final_height"],
        "disk_bytes": disk_bytes(node.data_directory),
        "history": made,
        "after_a_stop_s": stopped,
        "after_a_kill_s": killed,
        "all_after_a_kill_s": {"ready": round(ready, 2), "first_final": round(time.monotonic() - began, 2)},
    }


async def _start_to_ready(node: NodeProcess) -> float:
    began = time.monotonic()
    await node.start()
    await node.ready()
    return round(time.monotonic() - began, 2)


# -- Growing ------------------------------------------------------------------------------------------


async def grow(session: Session) -> None:
    """The same load again and again, on a history that gets longer in between."""
    stand, rate = session.stand, session.rate
    assert rate is not None, "a fixed load"
    await warm(session, rate)
    points = []
    for mark in growth_marks(session.transactions):
        size = await stand.settled()
        made = await fill(session, mark - size) if mark > size else None
        size = await stand.settled()
        disks = stand.disks()
        trial = session.took(await run_trial(stand, session.offer(rate, session.seconds)))
        summary = trial.summary()
        grown = growth(disks, stand.disks())
        points.append(point(size, summary, grown) | {"history": made})
        session.found["measured"] = summary
        cost = summary["cpu"]["ms_a_transaction"]
        session.tell(f"  at {size:,} transactions: {cost} ms CPU a transaction, p99 {points[-1]['p99_ms']} ms")
    session.found["growth"] = {
        "points": points,
        "times": {
            name: _times(points[0][name], points[-1][name])
            for name in ("cpu_ms_a_transaction", "memory_mib", "disk_bytes_a_transaction")
        },
    }


def point(transactions: int, summary: dict[str, Any], grown: dict[str, dict[str, int]]) -> dict[str, Any]:
    """What a transaction costs at that length of the history. Memory and disk are of the mean node."""
    ends = [sum(parts.values()) for parts in summary["memory_end_bytes"].values()]
    disk = sum(sum(parts.values()) for parts in grown.values()) / max(1, len(grown))
    return {
        "transactions": transactions,
        "cpu_ms_a_transaction": summary["cpu"]["ms_a_transaction"],
        "p50_ms": summary["latency_final"]["p50_ms"],
        "p99_ms": summary["latency_final"]["p99_ms"],
        "memory_mib": round(sum(ends) / max(1, len(ends)) / MIB, 1),
        "disk_bytes_a_transaction": round(disk / summary["final_ok"]) if summary["final_ok"] else None,
    }


def _times(first: float | None, last: float | None) -> float | None:
    return round(last / first, 2) if first and last is not None else None


def _rate(count: int, seconds: float) -> float | None:
    return round(count / seconds) if seconds > 0 else None
