"""One stretch of load: generators started, run, joined, and summed up."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import trio

from daemon.bench import arithmetic
from daemon.bench.judging import Sent
from daemon.bench.meters import Meters, counters, disk_bytes
from daemon.bench.network import BenchFailed, Stand
from daemon.bench.plans import NO_ANSWER, FollowPlan, PostPlan, Seen, write_plan
from daemon.bench.workloads import WORKLOADS
from daemon.demo.commands import environment
from protocol.errors import OK

GENERATOR: Final = (sys.executable, "-P", "-m", "daemon.bench.generator")
LEAD_SECONDS: Final = 0.5
"""Between everything being ready and the first request."""
PROOFS_A_SECOND: Final = 4
FOLLOWED: Final = 2
"""Nodes whose streams are followed: one for what was posted elsewhere, one for what was posted to that."""
FINAL_BUCKET_S: Final = 1.0
"""Finals are counted over so long at least: within less, requests of many envelopes would show as waves."""
GENERATORS_MAX: Final = 2
SENT: Final = "net_traffic.bytes_out"
"""The counter of bytes that a node has sent to others, with framing and encryption."""
ONE_GENERATOR_REQUESTS: Final = 200
"""Requests a second that one generator sends; more are shared by two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What is offered. mix: of WORKLOADS. each: envelopes of a request. ask: see PostPlan."""

    mix: str
    envelopes_a_second: float
    seconds: float
    each: int
    connections: int
    ask: bool

    @property
    def requests(self) -> int:
        """How many, over the whole time."""
        return max(1, round(self.envelopes_a_second * self.seconds / self.each))


@dataclass(slots=True)
class Trial:
    """What came of an offer. start: monotonic seconds. posted: of each generator that did; followed: of the follower.

    counted: by how much the nodes' counters have grown, summed. final: transaction to when it was seen final, and with
    which code.
    """

    offer: Offer
    start: float
    posted: list[Seen]
    followed: Seen
    meters: Meters
    counted: Mapping[str, int]
    disk_bytes: Mapping[str, int]
    final: dict[bytes, tuple[float, str]] = field(default_factory=dict)

    def sent(self, into: Sent) -> None:
        """Add what clients know to `into`, for judging."""
        for one in self.envelopes():
            if not one.good:
                into.bad.add(one.transaction)
            elif one.code == NO_ANSWER:
                into.doubtful.add(one.transaction)
            elif one.code:
                into.refused.add(one.transaction)
            else:
                into.good[one.transaction] = self.final.get(one.transaction, (0.0, ""))[1]

    def envelopes(self) -> Any:
        """Everything posted, by all generators."""
        return (one for seen in self.posted for one in seen.posted)

    def latencies(self) -> list[tuple[float, float]]:
        """(due, latency) of each good transaction that was seen final with code ok; due from the start."""
        found = []
        for one in self.envelopes():
            at, code = self.final.get(one.transaction, (0.0, ""))
            if one.good and code == OK:
                found.append((one.due - self.start, at - one.due))
        return found

    def provable(self) -> list[float]:
        """Latencies of the sampled proofs."""
        due = {one.transaction: one.due for one in self.envelopes()}
        at = {
            transaction: when for seen in (*self.posted, self.followed) for transaction, when in seen.provable.items()
        }
        return [when - due[transaction] for transaction, when in at.items() if transaction in due]

    # -- Sums ---------------------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """The figures, for programs."""
        offer, latencies = self.offer, self.latencies()
        operations = WORKLOADS[offer.mix].operations
        last = max((due + latency for due, latency in latencies), default=0.0)
        wall = max(offer.seconds, last)
        codes = Counter(one.code or "taken" for one in self.envelopes() if one.good)
        bad = Counter(one.code or "taken" for one in self.envelopes() if not one.good)
        ok = len(latencies)
        return {
            "offered_a_second": offer.envelopes_a_second,
            "seconds": offer.seconds,
            "wall_seconds": round(wall, 3),
            "envelopes_a_request": offer.each,
            "connections": offer.connections,
            "operations_an_envelope": operations,
            "receipts_by": "asked one by one, at the node after the one posted to"
            if offer.ask
            else "event streams of two nodes, each for what was posted elsewhere",
            "sent": {"good": codes.total(), "bad": bad.total()},
            "answered": {"good": dict(sorted(codes.items())), "bad": dict(sorted(bad.items()))},
            "final_ok": ok,
            "final_other": dict(Counter(code for _, code in self.final.values() if code != OK)),
            "final_a_second": round(ok / wall, 1),
            "operations_a_second": round(ok * operations / wall, 1),
            "latency_final": arithmetic.distribution(latency for _, latency in latencies).as_json(),
            "latency_provable": arithmetic.distribution(self.provable()).as_json(),
            "latency_answer": arithmetic.distribution(
                one.answered - one.due for one in self.envelopes() if one.good
            ).as_json(),
            "blocks": self._blocks(wall),
            "cpu": self._cpu(ok, operations),
            "memory_peak_bytes": dict(self.meters.peak_bytes),
            "memory_end_bytes": dict(self.meters.end_bytes),
            "disk": self._disk(ok),
            "wire_bytes_a_transaction": round(self.counted.get(SENT, 0) / ok) if ok else None,
            "counted": dict(sorted(self.counted.items())),
            "series": self._series(latencies),
            "histogram_ms": arithmetic.histogram(latency for _, latency in latencies),
        }

    def _blocks(self, wall: float) -> dict[str, Any]:
        at = [when - self.start for _, _, when in self.followed.blocks]
        inside = [when for when in at if 0 <= when <= wall]
        return {
            "count": len(inside),
            "a_second": round(len(inside) / wall, 1),
            "longest_gap_ms": round(arithmetic.longest_gap(inside, 0.0, wall) * 1000, 1),
        }

    def _cpu(self, ok: int, operations: int) -> dict[str, Any]:
        by_node = self.meters.cpu_seconds()
        total = sum(sum(parts.values()) for parts in by_node.values())
        parts: Counter[str] = Counter()
        for used in by_node.values():
            parts.update(used)
        return {
            "nodes_seconds": {member: dict(used) for member, used in by_node.items()},
            "parts_seconds": {part: round(seconds, 2) for part, seconds in parts.items()},
            "total_seconds": round(total, 2),
            "ms_a_transaction": round(total * 1000 / ok, 3) if ok else None,
            "us_an_operation": round(total * 1e6 / ok / operations, 1) if ok else None,
            "generators_seconds": [round(seen.cpu_seconds, 2) for seen in self.posted],
            "follower_seconds": round(self.followed.cpu_seconds, 2),
            "generators_late_ms_max": round(max(seen.late_s for seen in self.posted) * 1000, 1),
            "resent_requests": sum(seen.resent for seen in self.posted),
        }

    def _disk(self, ok: int) -> dict[str, Any]:
        return {
            "grown_bytes_a_node": dict(self.disk_bytes),
            "bytes_a_transaction_and_node": round(sum(self.disk_bytes.values()) / ok) if ok else None,
        }

    def _series(self, latencies: list[tuple[float, float]]) -> dict[str, Any]:
        width = arithmetic.bucket_width(self.offer.seconds)
        beat = max(FINAL_BUCKET_S, width)
        finals = arithmetic.series([(due + latency, 0.0) for due, latency in latencies], self.offer.seconds + 1, beat)
        by_due = arithmetic.series(latencies, self.offer.seconds, width)
        return {
            "bucket_s": width,
            "at_s": [bucket.at_s for bucket in by_due],
            "p50_ms": [bucket.p50_ms for bucket in by_due],
            "p99_ms": [bucket.p99_ms for bucket in by_due],
            "max_ms": [bucket.max_ms for bucket in by_due],
            "final_bucket_s": beat,
            "final_a_second": [round(bucket.count / beat, 1) for bucket in finals],
        }


class _Generator:
    """A generator's process, from outside."""

    def __init__(self, process: trio.Process, out: Path) -> None:
        self._process = process
        self.out = out

    @classmethod
    async def start(cls, plan: PostPlan | FollowPlan) -> Self:
        process = await trio.lowlevel.open_process(
            GENERATOR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
        )
        generator = cls(process, Path(plan.out))
        await generator.tell(write_plan(plan))
        return generator

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        with trio.CancelScope(shield=True):
            await self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                assert stream is not None
                await stream.aclose()

    async def tell(self, data: bytes) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send_all(data)

    async def says(self, word: bytes) -> None:
        """Wait for this word. Raises BenchFailed if it ends instead."""
        assert self._process.stdout is not None
        said = b""
        while not said.endswith(b"\n"):
            data = await self._process.stdout.receive_some()
            if not data:
                raise BenchFailed(f"a load generator ended with exit code {await self._process.wait()}")
            said += data
        assert said.strip() == word, f"a generator said {said!r}, not {word!r}"

    def seen(self) -> Seen:
        return Seen.read(self.out)


async def run_trial(stand: Stand, offer: Offer, meanwhile: Callable[[float], Any] | None = None) -> Trial:
    """Offer it, and wait until all of it is final or refused. meanwhile: a coroutine function told the start."""
    every = max(1, round(offer.envelopes_a_second / PROOFS_A_SECOND))
    posts = _post_plans(stand, offer, every if offer.ask else 0)
    stand.used += offer.requests * offer.each
    targets = stand.targets[:FOLLOWED]
    follow = FollowPlan(
        targets=targets,
        receipts=not offer.ask,
        prove_every=0 if offer.ask else every,
        out=str(stand.directory / "followed"),
    )
    async with AsyncExitStack() as stack:
        posters = [await stack.enter_async_context(await _Generator.start(plan)) for plan in posts]
        follower = await stack.enter_async_context(await _Generator.start(follow))
        for generator in (*posters, follower):
            await generator.says(b"ready")
        return await _measure(stand, offer, posters, follower, meanwhile)


async def _measure(
    stand: Stand,
    offer: Offer,
    posters: list[_Generator],
    follower: _Generator,
    meanwhile: Callable[[float], Any] | None,
) -> Trial:
    disks = {node.member: disk_bytes(node.data_directory) for node in stand.nodes}
    before = _counted(await stand.metrics())
    meters = Meters(lambda: stand.pids)
    meters.begin()
    start = time.monotonic() + LEAD_SECONDS
    for generator in (*posters, follower):
        await generator.tell(f"go {start!r}\n".encode())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(meters.watch)
        nursery.start_soon(_check_nodes, stand)
        async with trio.open_nursery() as both:
            if meanwhile is not None:
                both.start_soon(meanwhile, start)
            for generator in posters:
                await generator.says(b"done")
        size = await stand.settled()
        meters.sample()
        nursery.cancel_scope.cancel()
    await follower.tell(f"until {size}\n".encode())
    await follower.says(b"done")
    trial = Trial(
        offer,
        start,
        [generator.seen() for generator in posters],
        follower.seen(),
        meters,
        _more(before, _counted(await stand.metrics())),
        _growth(disks, {node.member: disk_bytes(node.data_directory) for node in stand.nodes}),
    )
    trial.final = _joined(trial, len(stand.targets))
    return trial


def _post_plans(stand: Stand, offer: Offer, prove_every: int) -> list[PostPlan]:
    generators = min(GENERATORS_MAX, math.ceil(offer.envelopes_a_second / offer.each / ONE_GENERATOR_REQUESTS))
    return [
        PostPlan(
            network=str(stand.network.file),
            seed=stand.seed.hex(),
            issuer=stand.issuer.name.hex(),
            workload=offer.mix,
            targets=stand.targets,
            first=stand.used,
            requests=offer.requests,
            each=offer.each,
            envelopes_a_second=offer.envelopes_a_second,
            index=index,
            generators=generators,
            connections=max(len(stand.targets), offer.connections // generators),
            ask=offer.ask,
            prove_every=prove_every,
            out=str(stand.directory / f"posted-{index}"),
        )
        for index in range(generators)
    ]


def _joined(trial: Trial, nodes: int) -> dict[bytes, tuple[float, str]]:
    """When each transaction was seen final at another node than it was posted to.

    One generator posts its turns to the nodes in order; what went to the first node counts from the second's stream.
    """
    final: dict[bytes, tuple[float, str]] = {}
    if trial.offer.ask:
        for seen in trial.posted:
            final |= seen.final[0]
        return final
    streams = trial.followed.final
    for seen in trial.posted:
        for one in seen.posted:
            stream = streams[1 if one.target == 0 and nodes > 1 else 0]
            if one.transaction in stream:
                final[one.transaction] = stream[one.transaction]
    return final


def _growth(before: Mapping[str, Mapping[str, int]], after: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """By part, the mean over nodes."""
    parts = sorted({part for one in after.values() for part in one})
    return {
        part: round(sum(after[m].get(part, 0) - before[m].get(part, 0) for m in after) / len(after)) for part in parts
    }


def _counted(metrics: Mapping[str, str]) -> Counter[str]:
    """What all nodes together have counted."""
    total: Counter[str] = Counter()
    for text in metrics.values():
        total.update(counters(text))
    return total


def _more(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """By how much counters have grown; a node that was started anew counts from nothing."""
    return {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}


async def _check_nodes(stand: Stand) -> None:
    """Raises NodeEnded when one ends that nobody stopped."""
    while True:
        for node in stand.nodes:
            node.check()
        await trio.sleep(0.5)
