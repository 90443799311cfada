"""Clients that submit all the time, and remember every final receipt they saw.

Each client is a task with an account of its own that records evidence, one transaction after the other, at any of the
network's nodes, and goes on whatever happens to nodes: the client library resends, and says an outcome only when it is
certain. What was seen stands in `seen`; `kept_at` looks for all of it at one node.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from daemon.client import Account, AsyncClient, OutcomeUnknown, Receipt, Unreachable, evidence
from tests.system.network import NodeProcess
from tests.system.processes import until


class Load:
    """See the essay.

    clients: how many there are. seen: receipts by transaction, in the order in which clients saw them.
    """

    def __init__(self, clients: int) -> None:
        self.clients = clients
        self.seen: dict[bytes, Receipt] = {}
        self._more = trio.Condition()

    async def submit(self, urls: Sequence[str]) -> None:
        """One client, for ever."""
        account = Account.new()
        async with AsyncClient(*urls) as client:
            while True:
                try:
                    receipt = await client.transact(account, [evidence.record_of(secrets.token_bytes(32))])
                except (Unreachable, OutcomeUnknown):
                    continue  # of a network that is down nobody gets an answer
                assert receipt.transaction not in self.seen
                async with self._more:
                    self.seen[receipt.transaction] = receipt
                    self._more.notify_all()

    async def more(self, count: int, seconds: float = 90.0) -> None:
        """Wait until so many further receipts were seen."""
        goal = len(self.seen) + count
        with trio.fail_after(seconds):
            async with self._more:
                while len(self.seen) < goal:
                    await self._more.wait()

    async def kept_at(self, node: NodeProcess) -> None:
        """Every receipt that was seen is there, and says the same; the node may still be catching up."""
        for transaction, receipt in self.seen.items():
            path = f"/v1/transactions/{transaction.hex()}"

            async def look(path: str = path) -> dict[str, object] | None:
                found = await node.json(path)
                return found if found is not None and found["status"] == "final" else None

            found = await until(look, f"{node.member} lacks {transaction.hex()}, seen as {receipt}\n{node.tail()}")
            assert found is not None
            there = found["receipt"]
            assert isinstance(there, dict)
            said = (there["height"], there["position"], there["time_ms"], there["code"], found["log_index"])
            assert said == (receipt.height, receipt.position, receipt.time_ms, receipt.code, receipt.log_index)


@asynccontextmanager
async def load_on(nodes: Sequence[NodeProcess], clients: int = 2) -> AsyncIterator[Load]:
    """Clients that submit to these nodes while the block runs, each preferring another one."""
    load = Load(clients)
    urls = [node.url for node in nodes]
    async with trio.open_nursery() as nursery:
        for index in range(clients):
            nursery.start_soon(load.submit, [*urls[index % len(urls) :], *urls[: index % len(urls)]])
        yield load
        nursery.cancel_scope.cancel()
