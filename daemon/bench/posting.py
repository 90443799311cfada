"""Sending in an open loop, and asking what became of it.

In an open loop each request is a task that starts when it is due: requests overtake nothing and wait for nothing but a
free connection, and that wait is part of the latency. A post whose connection breaks is sent again to the next node, as
any client would (sending again is safe, L-7); a refusal is not: an open loop that sends again what was refused for
pressure would offer more than it says.

Without a rate it is a closed loop, to fill a history: each connection posts one request after the other, and again what
was refused for pressure, until all of it is taken. Its latencies mean nothing.
"""

from __future__ import annotations

import gc
import json
import time
from collections import deque
from pathlib import Path
from typing import Final

import msgpack
import trio

from daemon.bench.arithmetic import dealt, due_times
from daemon.bench.http import Lost, Pool
from daemon.bench.mixes import workload_of
from daemon.bench.plans import NO_ANSWER, Posted, PostPlan, Seen
from daemon.bench.workloads import Signed, make_cast, sign
from daemon.config.network import load_network
from daemon.demo.desk import Desk
from protocol.errors import ACCOUNT_SHARE_FULL, API_BUSY, NOT_READY, POOL_FULL

ASKERS_MAX: Final = 256
"""Requests that wait for finality at one node at once."""
WAIT_MS: Final = 20_000
ATTEMPTS_MAX: Final = 8
PAUSE_SECONDS: Final = 0.02
PRESSURE: Final = frozenset({POOL_FULL, ACCOUNT_SHARE_FULL, API_BUSY, NOT_READY})
"""Refusals that say: not now."""
PRESSED_SECONDS: Final = 0.05
PRESSED_MAX: Final = 1_200
"""A minute."""


class Poster:
    """One generator that sends."""

    def __init__(self, plan: PostPlan) -> None:
        self._plan = plan
        self.seen = Seen.nothing(1)
        self._requests = dealt(plan.requests, plan.index, plan.generators)
        rate = plan.envelopes_a_second
        self._due = [] if rate is None else due_times(plan.requests, plan.each, rate, plan.burst)
        self._signed = self._sign()
        self.seen.posted_bytes = sum(len(one.data) for request in self._signed for one in request if one.good)
        nodes = len(plan.targets)
        self._posts = Pool(plan.targets, max(1, plan.connections // nodes))
        self._asks = Pool(plan.targets, ASKERS_MAX)

    def _sign(self) -> list[list[Signed]]:
        """All requests, signed. Nothing of this is measured."""
        plan = self._plan
        desk = Desk.of(load_network(Path(plan.network)).genesis)
        cast = make_cast(bytes.fromhex(plan.seed), bytes.fromhex(plan.issuer))
        workload = workload_of(plan.workload)
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
        if self._plan.envelopes_a_second is None:
            await trio.sleep(max(0.0, start - time.monotonic()))
            await self._run_closed()
            return
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
        """Post it, and ask on for what was taken where that is wanted."""
        target, codes = await self._post(signed, turn % len(self._plan.targets))
        now = time.monotonic()
        for one, code in zip(signed, codes, strict=True):
            self.seen.posted.append(Posted(one.transaction, one.good, target, due, now, code))
            if self._plan.ask and not code:
                place = len(self.seen.posted)
                prove = self._plan.prove_every > 0 and place % self._plan.prove_every == 0
                nursery.start_soon(self._ask, one.transaction, target, prove)

    async def _post(self, signed: list[Signed], target: int) -> tuple[int, list[str]]:
        """The node that answered, and for each envelope its refusal's code, "" if it was taken."""
        body: bytes = msgpack.packb([one.data for one in signed])
        for _ in range(ATTEMPTS_MAX):
            try:
                async with self._posts.connection(target) as connection:
                    status, answer = await connection.ask("POST", "/v1/envelopes", body, "application/msgpack")
            except Lost:
                self.seen.resent += 1
                target = (target + 1) % len(self._plan.targets)
                await trio.sleep(PAUSE_SECONDS)
                continue
            self.seen.statuses[status] = self.seen.statuses.get(status, 0) + 1
            told = json.loads(answer)
            results = told.get("results") or [told] * len(signed)
            taken = ("pending", "final")
            return target, ["" if one.get("status") in taken else str(one.get("code", NO_ANSWER)) for one in results]
        return target, [NO_ANSWER] * len(signed)

    async def _run_closed(self) -> None:
        """As fast as the nodes take it."""
        waiting = deque(enumerate(self._signed))

        async def one_after_the_other() -> None:
            while waiting:
                turn, signed = waiting.popleft()
                await self._send_until_taken(signed, turn)

        async with trio.open_nursery() as nursery:
            for _ in range(self._plan.connections):
                nursery.start_soon(one_after_the_other)

    async def _send_until_taken(self, signed: list[Signed], turn: int) -> None:
        """Again what was refused for pressure, a while later; in the end it is refused."""
        due, left = time.monotonic(), signed
        for attempt in range(PRESSED_MAX):
            target, codes = await self._post(left, (turn + attempt) % len(self._plan.targets))
            now, pressed = time.monotonic(), []
            for one, code in zip(left, codes, strict=True):
                if code in PRESSURE and attempt < PRESSED_MAX - 1:
                    pressed.append(one)
                else:
                    self.seen.posted.append(Posted(one.transaction, one.good, target, due, now, code))
            left = pressed
            if not left:
                return
            await trio.sleep(PRESSED_SECONDS)

    async def _ask(self, transaction: bytes, posted_to: int, prove: bool) -> None:
        """Wait for the receipt at another node than the one posted to; for its proof, too, if `prove`."""
        path, nodes = f"/v1/transactions/{transaction.hex()}", len(self._plan.targets)
        for attempt in range(ATTEMPTS_MAX):
            target = (posted_to + 1 + attempt % max(1, nodes - 1)) % nodes
            try:
                async with self._asks.connection(target) as connection:
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
