"""Clients of a run: the scenario's load, by the client library, over the nodes' HTTP APIs, with real signatures.

As in the simulator (`protocol.sim.workload`): bursts in which envelopes are posted to random nodes that run, and quiet;
some live shortly, some have a bad signature and must be refused, some go to two nodes at once. Who has no outcome after
its patience posts the same bytes again, to another node (L-7), and is more patient each time. Every receipt that a
client saw is remembered: at the end it has to be on every disk.

What is posted and has no outcome yet is *owed*. At most `OWED_MAX` envelopes are: a network that stands still for long
is not buried under what waits for it, and what was not posted for that reason is counted (`held back`).
"""

from __future__ import annotations

from collections import Counter
from itertools import count
from random import Random
from typing import Final

import trio

from daemon.client import Account, AsyncClient, ClientError, Receipt, TransactionExpired, TransactionRefused, evidence
from daemon.client.sealing import Sealed
from daemon.client.submission import NOT_HELD
from daemon.demo.desk import Desk, with_bad_signature
from daemon.lab.nodes import LabNode
from daemon.lab.stage import Stage
from protocol.errors import BAD_SIGNATURE, NOT_READY, STOPPING
from protocol.sim.events import chance

OWED_MAX: Final = 200
ATTEMPT_SECONDS_MAX: Final = 10.0
"""One attempt at one node, once patience has grown: a frozen node takes a request and never answers."""
PATIENCE_TIMES_MAX: Final = 8
AGAIN: Final = NOT_HELD | {STOPPING, NOT_READY}
"""Refusals about the node, not about the envelope."""


class Clients:
    """All clients of a run. receipts: what was seen as final. bad: transactions with a bad signature."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.receipts: dict[bytes, Receipt] = {}
        self.bad: set[bytes] = set()
        self.owed: set[bytes] = set()
        self.counts: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        self._load = stage.scenario.load
        self._generator = Random(f"{seed}/clients")  # noqa: S311 - repeatable on purpose
        self._accounts = [Account.from_seed(self._generator.randbytes(32)) for _ in range(self._load.clients)]
        self._desk = Desk.of(stage.made.network.genesis)
        network_id = stage.made.network.network_id
        self._apis = [AsyncClient(node.url, network_id=network_id) for node in stage.nodes]
        self._ended = trio.Event()
        self._settled = trio.Event()

    async def close(self) -> None:
        """Close all connections."""
        for api in self._apis:
            await api.aclose()

    # -- Coming and going ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Come and go until `end`."""
        with trio.CancelScope() as scope:
            self.stage.tasks.start_soon(self._until_ended, scope)
            while True:
                over = trio.current_time() + self._seconds(self._load.busy_ms)
                while trio.current_time() < over:
                    self._post()
                    await trio.sleep(self._seconds(self._load.pause_ms))
                await trio.sleep(self._seconds(self._load.quiet_ms))

    async def _until_ended(self, scope: trio.CancelScope) -> None:
        await self._ended.wait()
        scope.cancel()

    def end(self) -> None:
        """Post nothing new; what is owed is still asked for."""
        self._ended.set()

    async def settled(self) -> None:
        """Return when nothing is owed."""
        while self.owed:
            self._settled = trio.Event()
            await self._settled.wait()

    def insist(self) -> None:
        """Something new to every node that runs: each of them has to take it."""
        for node in self.stage.nodes:
            if node.up:
                self._start(node, self._envelope(bad=False, short=False))

    def _post(self) -> None:
        nodes = [node for node in self.stage.nodes if node.up]
        if not nodes:
            return
        node = self._generator.choice(nodes)
        for _ in range(self._generator.randint(*self._load.envelopes)):
            if len(self.owed) >= OWED_MAX:
                self.counts["held back"] += 1
                continue
            bad = chance(self._generator, self._load.bad_per_mille)
            short = chance(self._generator, self._load.short_per_mille)
            sealed = self._envelope(bad=bad, short=short)
            if bad:
                self.stage.tasks.start_soon(self._refused, node, sealed)
                continue
            twice = len(nodes) > 1 and chance(self._generator, self._load.twice_per_mille)
            self._start(node, sealed)
            if twice:
                self.counts["posted twice"] += 1
                other = self._generator.choice([each for each in nodes if each is not node])
                self.stage.tasks.start_soon(self._once, other, sealed)

    def _start(self, node: LabNode, sealed: Sealed) -> None:
        self.counts["posted"] += 1
        self.owed.add(sealed.transaction)
        self.stage.tasks.start_soon(self._deliver, node, sealed)

    def _envelope(self, *, bad: bool, short: bool) -> Sealed:
        life_ms = self._load.short_lifetime_ms if short else self._load.lifetime_ms
        operation = evidence.record_of(self._generator.randbytes(32), media_type="text/plain")
        account = self._generator.choice(self._accounts)
        life_ms = min(life_ms, self.stage.made.network.genesis.parameters.envelope_ttl_max_ms)
        sealed = self._desk.sign(account, [operation], validity_ms=life_ms)
        if bad:
            self.bad.add(sealed.transaction)
            return with_bad_signature(sealed)
        return sealed

    def _seconds(self, range_ms: tuple[int, int]) -> float:
        return self._generator.randint(*range_ms) / 1000

    # -- Delivery -----------------------------------------------------------------------------------

    async def _deliver(self, node: LabNode, sealed: Sealed) -> None:
        """Until its outcome is certain; every attempt after the first at a node drawn anew."""
        for attempt in count(1):
            began = trio.current_time()
            result = await self._once(node, sealed, attempt)
            if self._is_settled(node, sealed, result):
                break
            await trio.sleep_until(began + self._load.patience_ms / 1000 * min(attempt, PATIENCE_TIMES_MAX))
            self.counts["posted again"] += 1
            node = self._generator.choice([each for each in self.stage.nodes if each.up] or self.stage.nodes)
        self.owed.discard(sealed.transaction)
        if not self.owed:
            self._settled.set()

    async def _once(self, node: LabNode, sealed: Sealed, attempt: int = 1) -> Receipt | ClientError:
        seconds = min(self._load.patience_ms / 1000 * attempt, ATTEMPT_SECONDS_MAX)
        (result,) = await self._apis[node.index].send_all([sealed], timeout_seconds=seconds)
        if isinstance(result, Receipt):
            self._keep(node, result)
        return result

    def _keep(self, node: LabNode, receipt: Receipt) -> None:
        """A receipt was seen; whoever shows it, it is the same."""
        known = self.receipts.setdefault(receipt.transaction, receipt)
        if known != receipt:
            words = f"transaction {receipt.transaction.hex()[:16]} has two receipts: {known} and {receipt}"
            self.stage.violated("agreement", words, node.index)
        if receipt.transaction in self.bad:
            words = f"transaction {receipt.transaction.hex()[:16]} is final with a bad signature"
            self.stage.violated("soundness", words, node.index)

    def _is_settled(self, node: LabNode, sealed: Sealed, result: Receipt | ClientError) -> bool:
        if isinstance(result, Receipt):
            self.counts["final"] += 1
            return True
        if isinstance(result, TransactionExpired):
            self.counts["expired"] += 1
            return True
        if isinstance(result, TransactionRefused) and result.code not in AGAIN:
            self.counts["refused"] += 1
            self.codes[result.code] += 1
            if result.code == BAD_SIGNATURE:
                words = f"transaction {sealed.transaction.hex()[:16]} was refused for a signature that is good"
                self.stage.violated("soundness", words, node.index)
            return True
        return False

    async def _refused(self, node: LabNode, sealed: Sealed) -> None:
        """One with a bad signature: refused for it, or not taken at all."""
        self.counts["posted bad"] += 1
        result = await self._once(node, sealed)
        if isinstance(result, TransactionRefused):
            self.codes[result.code] += 1
