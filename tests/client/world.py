"""A small world for conversations: one ledger, several nodes that answer as the API does, and links that fail as told.

No sockets and no time: a clock that moves with each step, and faults from a script. The ledger is the truth that every
reported outcome is compared with. A node keeps envelopes in its pool; the ledger takes them from there, once each, or
skips them, and what expired it takes no more. So an envelope that a client believes lost may become final later, about
which the client must never be wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any, TypeVar

import msgpack

from daemon.client.conversation import Answer, Ask, Conversation, NoAnswer, Pause, Reply, Surroundings
from daemon.client.sealing import Sealed
from protocol.errors import CODES
from tests.client.envelopes import NETWORK_ID

T = TypeVar("T")

START_MS = 1_700_000_000_000
STEPS_MAX = 20_000


class Fault(Enum):
    """What happens to one exchange."""

    NONE = "none"
    DOWN = "nothing can be sent"
    CUT_BEFORE = "the request is lost on the way"
    CUT_AFTER = "the answer is lost on the way"
    LATE = "the request arrives after the client has given up"
    PAGE = "a proxy answers before the node"
    PAGE_AFTER = "a proxy answers when the node has taken it"
    FAILED = "the node fails with internal_error after taking it"
    BUSY = "the API is too busy, says nothing about the outcome, and has taken it"
    FULL = "the pool is full"
    DISK = "the disk is full"
    STOPPING = "the node stops, having taken it"
    GARBAGE = "an answer that is not of the API"
    REFUSES = "the node refuses what it says, by what it knows"
    WHOLE = "an API with narrower bounds refuses the post as a whole"
    FORGETS = "the node restarts: its pool is empty"


class Fate(Enum):
    """What the ledger does with one that a pool holds, when it looks."""

    FINAL = "final"
    FAILED = "failed"
    SKIPPED = "skipped"
    WAITS = "waits"


@dataclass(slots=True)
class Ledger:
    """The truth. applied: transaction to how often it was applied, which must never pass 1."""

    wall_ms: int = START_MS
    final: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    applied: dict[bytes, int] = field(default_factory=dict)

    def take(self, transaction: bytes, valid_until_ms: int, fate: Fate) -> None:
        """A block holds it."""
        if transaction in self.final or valid_until_ms <= self.wall_ms:
            return
        self.applied[transaction] = self.applied.get(transaction, 0) + 1
        failed = fate is Fate.FAILED
        self.final[transaction] = {
            "transaction": transaction.hex(),
            "height": len(self.final) + 1,
            "time_ms": self.wall_ms,
            "position": 0,
            "code": "forbidden" if failed else "ok",
            "operation": 0 if failed else None,
            "words": "not yours" if failed else "",
            "results": [] if failed else [None],
        }


@dataclass(slots=True)
class FakeNode:
    """One node: its pool, and what it refused."""

    ledger: Ledger
    pool: dict[bytes, int] = field(default_factory=dict)
    refused: dict[bytes, str] = field(default_factory=dict)
    network_id: bytes = NETWORK_ID

    def post(self, data: Sequence[bytes], refuses: str = "") -> Answer:
        """POST /v1/envelopes."""
        return _json(200, {"results": [self._admit(item, refuses) for item in data]})

    def _admit(self, data: bytes, refuses: str) -> dict[str, Any]:
        sealed = Sealed.read(data, NETWORK_ID)
        transaction = sealed.transaction
        if transaction in self.ledger.final:
            return self._final(transaction)
        code = refuses or ("expired" if sealed.valid_until_ms <= self.ledger.wall_ms else "")
        if code and transaction not in self.pool:
            self.refused[transaction] = code
            return {"transaction": transaction.hex(), "status": "refused", "code": code, "detail": "as told"}
        self.pool[transaction] = sealed.valid_until_ms
        return {"transaction": transaction.hex(), "status": "pending"}

    def outcome(self, transaction: bytes, valid_until_ms: int | None) -> Answer:
        """GET /v1/transactions/..."""
        if transaction in self.ledger.final:
            return _json(200, self._final(transaction))
        found: dict[str, Any] = {"transaction": transaction.hex(), "status": "not_seen"}
        if valid_until_ms is not None and valid_until_ms <= self.ledger.wall_ms:
            found["status"] = "expired"
        elif transaction in self.pool:
            found["status"] = "pending"
        elif transaction in self.refused:
            found |= {"status": "refused", "code": self.refused[transaction], "detail": "as told"}
        return _json(200, found)

    def _final(self, transaction: bytes) -> dict[str, Any]:
        receipt = self.ledger.final[transaction]
        index = list(self.ledger.final).index(transaction)
        return {"transaction": transaction.hex(), "status": "final", "log_index": index, "receipt": receipt}


class World:
    """Runs conversations: each exchange meets the next fault, and after each the ledger looks at the pools.

    faults, fates: scripts; when they are over nothing fails, and all that waits becomes final.
    """

    def __init__(
        self,
        nodes: int = 1,
        faults: Iterable[Fault] = (),
        fates: Iterable[Fate] = (),
        refusal: str = "conflict",
        block_time_ms: int | None = None,
    ) -> None:
        self.ledger = Ledger()
        self.nodes = {f"http://node{number}": FakeNode(self.ledger) for number in range(nodes)}
        self.seconds = 0.0
        self.asked: list[Ask] = []
        self.pauses: list[float] = []
        self._faults: Iterator[Fault] = iter(faults)
        self._fates: Iterator[Fate] = iter(fates)
        self._refusal = refusal
        self._late: list[tuple[FakeNode, list[bytes]]] = []
        self._block_time_ms = block_time_ms
        random = Random(1)
        self.surroundings = Surroundings(lambda: self.seconds, lambda: self.ledger.wall_ms, random, random.randbytes)

    @property
    def urls(self) -> list[str]:
        return list(self.nodes)

    def play(self, conversation: Conversation[T]) -> T:
        """Run a conversation to its end; its result, or what it raises."""
        reply: Reply = None
        try:
            for _ in range(STEPS_MAX):
                reply = self._carried_out(conversation.send(reply))
        except StopIteration as done:
            result: T = done.value
            return result
        raise AssertionError("a conversation without an end")

    def cut_off(self, conversation: Conversation[Any], exchanges: int) -> None:
        """Run a conversation until so many exchanges are made, and cancel it: the answer of the last is not heard."""
        until = len(self.asked) + exchanges
        reply: Reply = None
        try:
            while len(self.asked) < until:
                reply = self._carried_out(conversation.send(reply))
        except StopIteration:
            return
        conversation.close()

    def _carried_out(self, step: Ask | Pause) -> Reply:
        """The answer to a question, or None after a pause."""
        if isinstance(step, Ask):
            return self._answer(step)
        self.wait(step)
        return None

    def pass_time(self, seconds: float) -> None:
        self.seconds += seconds
        self.ledger.wall_ms += int(seconds * 1000)

    def settle(self) -> None:
        """What is anywhere arrives, and the ledger takes all that it still can."""
        self._arrive()
        for node in self.nodes.values():
            for transaction, valid_until_ms in node.pool.items():
                self.ledger.take(transaction, valid_until_ms, Fate.FINAL)

    def wait(self, pause: Pause) -> None:
        """Let a pause pass."""
        assert pause.seconds >= 0
        self.pauses.append(pause.seconds)
        self.pass_time(pause.seconds)

    def _answer(self, ask: Ask) -> Answer | NoAnswer:
        assert ask.timeout_seconds > 0
        self.asked.append(ask)
        node = self.nodes[ask.endpoint]
        reply = self._exchange(node, ask, next(self._faults, Fault.NONE))
        self.pass_time(0.01)
        self._arrive()
        self._look()
        return reply

    def _arrive(self) -> None:
        for node, data in self._late:
            node.post(data)
        self._late.clear()

    def _look(self) -> None:
        """The ledger looks at the pools."""
        for node in self.nodes.values():
            for transaction, valid_until_ms in list(node.pool.items()):
                fate = next(self._fates, Fate.FINAL)
                if fate is not Fate.WAITS:
                    del node.pool[transaction]
                if fate in (Fate.FINAL, Fate.FAILED):
                    self.ledger.take(transaction, valid_until_ms, fate)

    def _exchange(self, node: FakeNode, ask: Ask, fault: Fault) -> Answer | NoAnswer:
        if fault in UNTOUCHED:
            return UNTOUCHED[fault]
        if fault is Fault.LATE:
            if ask.question.method == "POST":
                self._late.append((node, msgpack.unpackb(ask.question.body)))
            self.pass_time(ask.timeout_seconds)
            return NoAnswer("did not answer in time", may_have_arrived=True)
        if fault is Fault.FORGETS:
            node.pool.clear()
            return NoAnswer("cut", may_have_arrived=True)
        answer = self._serve(node, ask, self._refusal if fault is Fault.REFUSES else "")
        return INSTEAD.get(fault, answer)

    def _serve(self, node: FakeNode, ask: Ask, refuses: str = "") -> Answer:
        path, query = ask.question.path, dict(ask.question.query)
        if path == "/v1/envelopes":
            return node.post(msgpack.unpackb(ask.question.body), refuses)
        if path.startswith("/v1/transactions/"):
            until = query.get("valid_until_ms")
            return node.outcome(bytes.fromhex(path.split("/")[3]), None if until is None else int(until))
        if path == "/v1/network":
            ttl = {"envelope_ttl_max_ms": 600_000}
            return _json(200, {"name": "fake", "network_id": node.network_id.hex(), "parameters": ttl})
        if path == "/v1/blocks/latest":
            if self._block_time_ms is None:
                return problem(404, "not_found")
            block = {"height": 1, "hash": bytes(32).hex(), "time_ms": self._block_time_ms, "transactions": []}
            return _json(200, block)
        if path == "/v1/events":
            return Answer(200, b"", "text/event-stream")
        raise AssertionError(f"nobody should ask for {path}")


def problem(status: int, code: str, *, retry_after_seconds: float | None = None, **more: Any) -> Answer:
    """A refusal as the API writes it."""
    row = CODES[code]
    body = {"type": f"/docs#code-{code}", "title": row.meaning, "status": status, "detail": "as told", "code": code}
    body |= {"fault": row.fault.value, "retry": row.retry.value, **more}
    return Answer(status, json.dumps(body).encode(), "application/problem+json", retry_after_seconds)


def _json(status: int, value: dict[str, Any]) -> Answer:
    return Answer(status, json.dumps(value).encode(), "application/json")


UNTOUCHED: dict[Fault, Answer | NoAnswer] = {
    Fault.DOWN: NoAnswer("cannot be reached", may_have_arrived=False),
    Fault.CUT_BEFORE: NoAnswer("cut", may_have_arrived=True),
    Fault.PAGE: Answer(502, b"<html>bad gateway</html>", "text/html"),
    Fault.FULL: problem(429, "pool_full", retry_after_seconds=1.0),
    Fault.DISK: problem(503, "disk_full", retry_after_seconds=1.0),
    Fault.WHOLE: problem(413, "too_large"),
}
"""What is answered by a node that does nothing."""
INSTEAD: dict[Fault, Answer | NoAnswer] = {
    Fault.CUT_AFTER: NoAnswer("cut", may_have_arrived=True),
    Fault.PAGE_AFTER: Answer(504, b"<html>gateway time-out</html>", "text/html"),
    Fault.FAILED: problem(500, "internal_error"),
    Fault.BUSY: problem(503, "api_busy", retry_after_seconds=1.0),
    Fault.STOPPING: problem(503, "stopping", retry_after_seconds=1.0),
    Fault.GARBAGE: Answer(200, b'{"results": [{"status": "perhaps"}]}'),
}
"""What is answered instead by one that did what it was asked."""
