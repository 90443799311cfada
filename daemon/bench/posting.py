"""Sending in an open loop, and asking what became of it.

Each request is a task that starts when it is due: requests overtake nothing and wait for nothing but a free connection,
and that wait is part of the latency. A post whose connection breaks is sent again to the next node, as any client would
(sending again is safe, L-7); a refusal is not: an open loop that sends again what was refused for pressure would offer
more than it says.
"""

from __future__ import annotations

import gc
import json
import time
from pathlib import Path
from typing import Final

import msgpack
import trio

from daemon.bench.arithmetic import dealt, due_times
from daemon.bench.http import Lost, Pool
from daemon.bench.plans import NO_ANSWER, Posted, PostPlan, Seen
from daemon.bench.workloads import WORKLOADS, Signed, make_cast, sign
from daemon.config.network import load_network
from daemon.demo.desk import Desk

ASKERS_MAX: Final = 256
"""Requests that wait for finality at one node at once."""
WAIT_MS: Final = 20_000
ATTEMPTS_MAX: Final = 8
PAUSE_SECONDS: Final = 0.02


class Poster:
    """One generator that sends."""

    def __init__(self, plan: PostPlan) -> None:
        self._plan = plan
        self.seen = Seen.nothing(1)
        self._requests = dealt(plan.requests, plan.index, plan.generators)
        self._due = due_times(plan.requests, plan.each, plan.envelopes_a_second)
        self._signed = self._sign()
        nodes = len(plan.targets)
        self._posts = Pool(plan.targets, max(1, plan.connections // nodes))
        self._asks = Pool(plan.targets, ASKERS_MAX)

    def _sign(self) -> list[list[Signed]]:
        """All requests, signed. Nothing of this is measured."""
        plan = self._plan
        desk = Desk.of(load_network(Path(plan.network)).genesis)
        cast = make_cast(bytes.fromhex(plan.seed), bytes.fromhex(plan.issuer))
        workload = WORKLOADS[plan.workload]
        numbers = [plan.first + request * plan.each for request in self._requests]
        return [[sign(desk, cast, workload, first + at) for at in range(plan.each)] for first in numbers]

    async def connect(self) -> None:
        """Connections stand before the clock runs; asking ones are opened as needed."""
        await self._posts.fill(max(1, self._plan.connections // len(self._plan.targets)))
        gc.collect()
        gc.freeze()
        gc.disable()

    async def run(self, start: float) -> None:
        """Send everything, each when it is due; return when all is answered."""
        async with trio.open_nursery() as nursery:
            for turn, (request, signed) in enumerate(zip(self._requests, self._signed, strict=True)):
                due = start + self._due[request]
                wait = due - time.monotonic()
                if wait > 0:
                    await trio.sleep(wait)
                else:
                    await trio.lowlevel.checkpoint()
                self.seen.late_s = max(self.seen.late_s, time.monotonic() - due)
                nursery.start_soon(self._send, nursery, signed, due, turn)

    async def _send(self, nursery: trio.Nursery, signed: list[Signed], due: float, turn: int) -> None:
        body: bytes = msgpack.packb([one.data for one in signed])
        target = turn % len(self._plan.targets)
        for _ in range(ATTEMPTS_MAX):
            try:
                async with self._posts.connection(target) as connection:
                    _, answer = await connection.ask("POST", "/v1/envelopes", body, "application/msgpack")
            except Lost:
                self.seen.resent += 1
                target = (target + 1) % len(self._plan.targets)
                await trio.sleep(PAUSE_SECONDS)
                continue
            self._answered(nursery, signed, due, target, answer)
            return
        self.seen.posted += [
            Posted(one.transaction, one.good, target, due, time.monotonic(), NO_ANSWER) for one in signed
        ]

    def _answered(self, nursery: trio.Nursery, signed: list[Signed], due: float, target: int, answer: bytes) -> None:
        """Write down what each envelope was answered, and ask on where that is wanted."""
        now, told = time.monotonic(), json.loads(answer)
        results = told.get("results") or [told] * len(signed)
        for one, result in zip(signed, results, strict=True):
            code = "" if result.get("status") in ("pending", "final") else str(result.get("code", NO_ANSWER))
            self.seen.posted.append(Posted(one.transaction, one.good, target, due, now, code))
            if self._plan.ask and not code:
                place = len(self.seen.posted)
                prove = self._plan.prove_every > 0 and place % self._plan.prove_every == 0
                nursery.start_soon(self._ask, one.transaction, target + 1, prove)

    async def _ask(self, transaction: bytes, target: int, prove: bool) -> None:
        """Wait for the receipt at another node than the one posted to; for its proof, too, if `prove`."""
        path = f"/v1/transactions/{transaction.hex()}"
        for attempt in range(ATTEMPTS_MAX):
            try:
                async with self._asks.connection((target + attempt) % len(self._plan.targets)) as connection:
                    _, answer = await connection.ask("GET", f"{path}?wait_ms={WAIT_MS}")
                    told = json.loads(answer)
                    if told.get("status") != "final":
                        continue
                    self.seen.final[0][transaction] = (time.monotonic(), str(told["receipt"]["code"]))
                    if prove:
                        status, _ = await connection.ask("GET", f"{path}/proof?wait_ms={WAIT_MS}")
                        if status == 200:
                            self.seen.provable[transaction] = time.monotonic()
                    return
            except Lost:
                await trio.sleep(PAUSE_SECONDS)
