"""Seeing what becomes final: the event streams of some nodes, read to the end of the run.

A stream gives each receipt and then its block. Where a workload asks for its receipts one by one, only blocks are
followed, by a filter that no receipt passes.
"""

from __future__ import annotations

import json
import time
from typing import Final

import trio

from daemon.bench.http import HttpConnection, Lost, Pool
from daemon.bench.plans import Address, FollowPlan, Seen

NOBODY: Final = "00" * 32
"""No account has this name: a filter for blocks alone."""
PROOF_WAIT_MS: Final = 20_000
PROVERS_MAX: Final = 64


class Follower:
    """One generator that follows."""

    def __init__(self, plan: FollowPlan) -> None:
        self._plan = plan
        self.seen = Seen.nothing(len(plan.targets))
        self._sizes = [0] * len(plan.targets)
        self._moved = trio.Event()
        self._proofs = Pool(plan.targets[:1], PROVERS_MAX)
        self._connections: list[HttpConnection] = []

    async def connect(self) -> None:
        """Streams begin with what is next."""
        self._connections = [await HttpConnection.open(address) for address in self._plan.targets]

    async def run(self, nursery: trio.Nursery) -> None:
        """Start following."""
        for node, connection in enumerate(self._connections):
            nursery.start_soon(self._follow, nursery, node, connection)

    async def until(self, log_size: int) -> None:
        """Return when all streams have shown a log of that size."""
        while min(self._sizes) < log_size:
            await self._moved.wait()

    async def _follow(self, nursery: trio.Nursery, node: int, connection: HttpConnection) -> None:
        path = "/v1/events?after=now" + ("" if self._plan.receipts else f"&account={NOBODY}")
        kind = b""
        async for lines in connection.lines(path):
            now = time.monotonic()
            for line in lines:
                if line.startswith(b"event: "):
                    kind = line[7:]
                elif line.startswith(b"data: "):
                    self._take(nursery, node, kind, line[6:], now)

    def _take(self, nursery: trio.Nursery, node: int, kind: bytes, data: bytes, now: float) -> None:
        told = json.loads(data)
        if kind == b"receipt":
            transaction = bytes.fromhex(told["transaction"])
            self.seen.final[node][transaction] = (now, told["code"])
            every = self._plan.prove_every
            if node == 0 and every and len(self.seen.final[0]) % every == 0:
                nursery.start_soon(self._prove, transaction)
        elif kind == b"block":
            self._sizes[node] = told["log_size"]
            if node == 0:
                self.seen.blocks.append((told["height"], told["log_size"], now))
            moved, self._moved = self._moved, trio.Event()
            moved.set()
        elif kind == b"end":
            raise Lost(str(told.get("detail")))

    async def _prove(self, transaction: bytes) -> None:
        """When its proof can be had, at the node that has just shown it final."""
        try:
            async with self._proofs.connection(0) as connection:
                path = f"/v1/transactions/{transaction.hex()}/proof?wait_ms={PROOF_WAIT_MS}"
                status, _ = await connection.ask("GET", path)
        except Lost:
            return
        if status == 200:
            self.seen.provable[transaction] = time.monotonic()


__all__ = ["Address", "Follower"]
