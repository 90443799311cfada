"""One stretch of load, made: generators started, told when to go, joined with what the nodes say of themselves."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import trio

from daemon.bench.meters import Meters, counters, cpu_parts
from daemon.bench.network import BenchFailed, Stand
from daemon.bench.plans import BystandPlan, FollowPlan, Plan, PostPlan, Seen, write_plan
from daemon.bench.trial import ALONE, Offer, Trial
from daemon.demo.commands import environment

GENERATOR: Final = (sys.executable, "-P", "-m", "daemon.bench.generator")
LEAD_SECONDS: Final = 0.5
"""Between everything being ready and the first request."""
PROOFS_A_SECOND: Final = 4
FOLLOWED: Final = 2
"""Nodes whose streams are followed: one for what was posted elsewhere, one for what was posted to that."""
GENERATORS_MAX: Final = 2
ONE_GENERATOR_REQUESTS: Final = 200
"""Requests a second that one generator sends; more are shared by two."""
Figures = TypeVar("Figures", int, float)


class _Generator:
    """A generator's process, from outside."""

    def __init__(self, process: trio.Process, out: Path) -> None:
        self._process = process
        self.out = out

    @classmethod
    async def start(cls, plan: Plan) -> Self:
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
    follow = FollowPlan(
        targets=stand.targets[:FOLLOWED],
        receipts=not offer.ask and not offer.fill,
        prove_every=0 if offer.ask or offer.fill else every,
        out=str(stand.directory / "followed"),
    )
    bystand = BystandPlan(
        targets=stand.targets, idle=offer.beside.idle, slow=offer.beside.slow, out=str(stand.directory / "beside")
    )
    async with AsyncExitStack() as stack:
        posters = [await stack.enter_async_context(await _Generator.start(plan)) for plan in posts]
        others = [await stack.enter_async_context(await _Generator.start(follow))]
        if offer.beside != ALONE:
            others.append(await stack.enter_async_context(await _Generator.start(bystand)))
        for generator in (*others, *posters):
            await generator.says(b"ready")
        return await _measure(stand, offer, posters, others, meanwhile)


async def _measure(
    stand: Stand,
    offer: Offer,
    posters: list[_Generator],
    others: list[_Generator],
    meanwhile: Callable[[float], Any] | None,
) -> Trial:
    disks, metrics = stand.disks(), await stand.metrics()
    meters = Meters(lambda: stand.pids)
    meters.begin()
    start = time.monotonic() + LEAD_SECONDS
    for generator in (*posters, *others):
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
    for generator in others:
        await generator.tell(f"until {size}\n".encode())
        await generator.says(b"done")
    after = await stand.metrics()
    trial = Trial(
        offer,
        start,
        [generator.seen() for generator in posters],
        others[0].seen(),
        meters,
        {member: _more(counters(metrics.get(member, "")), counters(text)) for member, text in after.items()},
        growth(disks, stand.disks()),
        {member: _more(cpu_parts(metrics.get(member, "")), cpu_parts(text)) for member, text in after.items()},
        beside=others[1].seen() if len(others) > 1 else None,
    )
    trial.final = _joined(trial, len(stand.targets))
    return trial


def _post_plans(stand: Stand, offer: Offer, prove_every: int) -> list[PostPlan]:
    busiest = offer.envelopes_a_second * offer.burst / offer.each
    generators = GENERATORS_MAX if offer.fill else min(GENERATORS_MAX, math.ceil(busiest / ONE_GENERATOR_REQUESTS))
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
            envelopes_a_second=None if offer.fill else offer.envelopes_a_second,
            burst=offer.burst,
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


Sizes = Mapping[str, Mapping[str, int]]
"""By member and part."""


def growth(before: Sizes, after: Sizes) -> dict[str, dict[str, int]]:
    """By how much each has grown."""
    return {
        member: {part: size - before.get(member, {}).get(part, 0) for part, size in parts.items()}
        for member, parts in after.items()
    }


def _more(before: Mapping[str, Figures], after: Mapping[str, Figures]) -> dict[str, Figures]:
    """By how much counters have grown; those of a node that was started anew count from nothing."""
    return {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}


async def _check_nodes(stand: Stand) -> None:
    """Raises NodeEnded when one ends that nobody stopped."""
    while True:
        for node in stand.nodes:
            node.check()
        await trio.sleep(0.5)
