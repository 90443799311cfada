"""A node in memory behind the real API on a real socket, and a client whose every answer is held against OpenAPI.

The service, the state store, execution, receipts, blocks, certificates and proofs are the product's; only consensus is
not there: a test says when a block is made (`make_block`) of what was admitted.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from daemon.api.counters import ApiCounters
from daemon.api.dispatch import Dispatcher
from daemon.api.openapi import TableDocuments, document
from daemon.api.server import Listening, Server
from daemon.api.surroundings import Identity, Surroundings
from daemon.api.table import table
from daemon.api.telling import api_source
from daemon.observe.metrics import Metrics, node_source
from daemon.runtime.mender import ScrubStatus
from daemon.runtime.proving import Prover
from daemon.runtime.service import NodeService
from daemon.store.errors import SegmentDamaged
from daemon.store.tables import StateStore
from protocol import errors
from protocol.apps.registry import RULES
from protocol.codec import encode
from protocol.crypto.signing import verify_message
from protocol.errors import Refused
from protocol.ledger.admission import admit, check_operations
from protocol.ledger.envelope import parse_envelope, signature_items
from protocol.ledger.genesis_state import genesis_state
from protocol.ledger.members import ValidatorNode
from protocol.ledger.records import Block, header_hash
from protocol.node.interface import Admitted, Answer, BlockExecuted, Fate, Input, Outcome, Refusal, Submit
from protocol.node.setup import NodeStatus
from tests.ledger.world import key
from tests.proofs.chain import certificate
from tests.runtime.ledgers import envelope, real_world

DOCUMENT = document(RULES[1])


class LocalKeeper:
    """Counts requests."""

    def __init__(self) -> None:
        self.status = ScrubStatus()
        self.damaged_count = 0

    def request(self) -> None:
        self.status.passes += 1


class LocalNode:
    """The `Questions` and `BlockReader` of a real `NodeService`. `pressure`: a code with which all is refused."""

    def __init__(self, directory: Path) -> None:
        self.world = real_world()
        self.pending: dict[bytes, bytes] = {}
        self.refused: dict[bytes, tuple[str, str]] = {}
        self.pressure: str | None = None
        self.damaged: set[int] = set()
        self.reads: list[int] = []
        self.first_height = 1
        validators = self.world.genesis.validators
        nodes = tuple((ValidatorNode(v.voting_key, v.member, v.node_key), v.power) for v in validators)
        self.shown = NodeStatus(voting=True, validators=nodes)
        self.answers = True
        self.store = StateStore.open(directory / "state", self.world.network_id, writer=True)
        self.store.commit([genesis_state(self.world.genesis, self.world.rules).writes], 0)
        lowest = self.lowest
        self.service = NodeService(self.world.genesis, self, self.store, self, self.put, first_height=lowest)
        self.prover = Prover(self.world.genesis, self, lambda: self.covering, first_height=lowest)
        self.covering = 0

    # -- What the service asks ----------------------------------------------------------------------

    def is_pending(self, transaction: bytes) -> bool:
        return transaction in self.pending

    def refusal(self, transaction: bytes) -> tuple[str, str] | None:
        return self.refused.get(transaction)

    def status(self) -> NodeStatus:
        executed = self.world.executed[-1]
        self.shown.final_height = max(self.shown.final_height, executed.height)
        self.shown.executed_height, self.shown.log_size = executed.height, executed.log_size
        return self.shown

    def read(self, height: int) -> bytes | None:
        self.reads.append(height)
        if height in self.damaged:
            raise SegmentDamaged(height, "00000001.segment", 64, "the checksum differs")
        if not self.first_height <= height <= len(self.world.blocks):
            return None
        header, batches = self.world.blocks[height - 1]
        return encode(Block(encode(header), batches, encode(certificate(self.world.network_id, header_hash(header)))))

    def lowest(self) -> int:
        return self.first_height

    def put(self, given: Input) -> None:
        assert isinstance(given, Submit)
        if self.answers:
            self.service.answered(Answer(given.ticket, tuple(self._judge(data) for data in given.envelopes)))

    def _judge(self, data: bytes) -> Admitted | Refusal:
        if self.pressure is not None:
            return Refusal(self.pressure, "as the test wants")
        try:
            parsed = parse_envelope(data, self.world.network_id)
        except Refused as fault:
            return Refusal(fault.code, fault.words)
        if not all(verify_message(*item) for item in signature_items(parsed)):
            return Refusal(errors.BAD_SIGNATURE, "a signature does not verify")
        try:
            check_operations(self.world.rules, parsed)
            admit(self.world.tables, parsed, self.world.time_ms, self.world.genesis.parameters)
        except Refused as fault:
            if fault.code != errors.DUPLICATE:
                self.refused[parsed.transaction] = (fault.code, fault.words)
            return Refusal(fault.code, fault.words, parsed.transaction)
        self.pending[parsed.transaction] = data
        body = parsed.body
        return Admitted(parsed.transaction, body.account, body.id, body.valid_until_ms, len(body.operations), 1)

    # -- What tests say -----------------------------------------------------------------------------

    def envelopes(self, first: int, count: int, **more: Any) -> list[bytes]:
        """Envelopes with one evidence operation each; numbers make them differ. Valid for a minute."""
        until = self.world.time_ms + 60_000
        return [envelope(self.world.network_id, number, until, **more) for number in range(first, first + count)]

    def make_block(self, envelopes: Sequence[bytes] | None = None, *, step_ms: int = 100) -> None:
        """A final, executed block of these, or of all that is pending."""
        chosen = list(self.pending.values()) if envelopes is None else list(envelopes)
        done = self.world.run(*chosen, step_ms=step_ms)
        self.store.commit([done.writes], done.height)
        for outcome in done.outcomes:
            self.pending.pop(outcome.transaction, None)
        self.covering = done.height
        outcomes = tuple(
            Outcome(o.transaction, o.account, o.id, Fate.FINAL if o.final else Fate.SKIPPED, o.code, o.log_index)
            for o in done.outcomes
        )
        self.service.executed(BlockExecuted(done.executed, outcomes))

    def surroundings(self, counters: ApiCounters, cors_origins: tuple[str, ...] = ()) -> Surroundings:
        """For handlers."""
        sources = (node_source(self.service.metrics), api_source(counters))
        return Surroundings(
            node=self.service,
            prover=self.prover,
            identity=Identity(key(200).public, key(300).public, "m0"),
            counters=counters,
            free_bytes=lambda: 10**9,
            metrics=Metrics(sources).text,
            monotonic=time.monotonic,
            started_seconds=time.monotonic(),
            documents=TableDocuments(RULES[1]),
            keeper=LocalKeeper(),
            cors_origins=cors_origins,
        )


class Api:
    """A served node and a client of it."""

    def __init__(self, node: LocalNode, around: Surroundings, address: tuple[str, int]) -> None:
        self.node = node
        self.around = around
        self.counters = around.counters
        self.address = address
        self.base = f"http://{address[0]}:{address[1]}"
        self.client = httpx.AsyncClient(base_url=self.base, timeout=30)
        self.stop = node.service.stop

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request; its answer is held against OpenAPI."""
        response = await self.client.request(method, path, **more)
        hold(response)
        return response

    async def get(self, path: str, **more: Any) -> httpx.Response:
        """GET."""
        return await self.ask("GET", path, **more)

    async def post(self, envelopes: Sequence[bytes], query: str = "") -> httpx.Response:
        """POST envelopes as JSON."""
        body = {"envelopes": [data.hex() for data in envelopes]}
        return await self.ask("POST", f"/v1/envelopes{query}", json=body)

    async def problem(self, code: str, status: int, method: str, path: str, **more: Any) -> dict[str, Any]:
        """A request that is refused so."""
        response = await self.ask(method, path, **more)
        body: dict[str, Any] = response.json()
        assert (response.status_code, body["code"]) == (status, code), body
        assert response.headers["content-type"] == "application/problem+json"
        assert body["status"] == status
        return body

    async def ended(self, why: str) -> None:
        """Return when a connection has ended so."""
        while not self.counters.connections_ended[why]:
            await trio.lowlevel.checkpoint()

    async def raw(self, data: bytes, *, end: bool = False) -> bytes:
        """Send bytes on a connection of their own; all that comes back until the server closes."""
        stream = await trio.open_tcp_stream(*self.address)
        received = b""
        async with stream:
            try:
                await stream.send_all(data)
                if end:
                    await stream.send_eof()
                while piece := await stream.receive_some(65_536):
                    received += piece
            except trio.BrokenResourceError:
                pass  # the server ended it: what had come is told
        return received


@asynccontextmanager
async def serving(directory: Path, **more: Any) -> AsyncIterator[Api]:
    """A node in `directory`, served; `more`: connections_max, cors_origins, patience_seconds of the whole."""
    node = LocalNode(directory)
    counters = ApiCounters()
    around = node.surroundings(counters, more.get("cors_origins", ()))
    listening = Listening("127.0.0.1", 0, more.get("connections_max", 100))
    server = Server(listening, Dispatcher(around, table()).answer, counters)
    try:
        with trio.fail_after(more.get("patience_seconds", 60)):
            async with trio.open_nursery() as nursery:
                addresses = await nursery.start(server.run, node.service.stopping)
                api = Api(node, around, addresses[0])
                try:
                    yield api
                finally:
                    await api.client.aclose()
                    node.service.stop("the test is over")
    finally:
        node.store.close()


def hold(response: httpx.Response) -> None:
    """The answer is one that OpenAPI describes: status, content type, schema; raises AssertionError."""
    assert "server" not in response.headers
    assert response.headers["x-content-type-options"] == "nosniff"
    operation = operation_of(response.request)
    kind = response.headers.get("content-type", "")
    if operation is None or response.request.method in ("HEAD", "OPTIONS"):
        return
    described = operation["responses"].get(str(response.status_code), operation["responses"]["default"])
    assert kind in described["content"], f"{kind} is not described for {response.status_code} of {response.request.url}"
    if "json" in kind:
        Draft202012Validator({**described["content"][kind]["schema"], "components": DOCUMENT["components"]}).validate(
            json.loads(response.content)
        )


def operation_of(request: httpx.Request) -> dict[str, Any] | None:
    """Its row in OpenAPI, None if there is none."""
    parts = request.url.raw_path.decode().partition("?")[0].split("/")
    for path, methods in sorted(DOCUMENT["paths"].items(), key=lambda pair: pair[0].count("{")):
        names = path.split("/")
        if len(names) == len(parts) and all(n.startswith("{") or n == p for n, p in zip(names, parts, strict=True)):
            found: dict[str, Any] | None = methods.get(request.method.lower())
            return found
    return None
