"""What a client can do, as conversations: the part that `AsyncClient` and `Client` share.

Each method returns a generator (conversation.py); the clients run it. State that is kept: how the endpoints fare, the
network (asked once), and how far the ledger's time is ahead of this machine's clock (asked now and then, L-7).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote

from daemon.client.account import Account
from daemon.client.asking import NETWORK, Asker
from daemon.client.conversation import Answer, Conversation, Question, Surroundings
from daemon.client.endpoints import Endpoints
from daemon.client.errors import ClientError, NodeRefused, TransactionFailed
from daemon.client.following import Follower
from daemon.client.sealing import ID_BYTES, AnyOperation, Sealed, as_operation, seal
from daemon.client.submission import WAIT_SECONDS, Delivery, outcome_question
from daemon.client.views import (
    BadAnswer,
    BlockView,
    Json,
    NetworkView,
    Outcome,
    Receipt,
    Stage,
    hex_of,
    integer_of,
    json_object,
    list_of,
    object_of,
    read_outcome,
    text_of,
)
from protocol.apps.registry import RULES
from protocol.codec.json import from_json
from protocol.errors import NOT_FOUND, BrokenInvariant, Malformed
from protocol.ledger.application import Rules
from protocol.ledger.spaces import Also, KeyPart, KeyParts, Space, parts_from_text

R = TypeVar("R")

REQUEST_SECONDS: Final = 10.0
"""Patience with one exchange: a node that is alive answers in milliseconds."""
ANSWER_SECONDS: Final = 30.0
"""Patience with a question over all endpoints: a node that restarts is back."""
VALIDITY_SECONDS: Final = 60.0
"""An envelope is void after so long, so its outcome is certain soon after; networks allow ten minutes."""
GRACE_SECONDS: Final = 30.0
"""How long after that a node is waited for that has seen it pass: idle networks make a block every ten seconds."""
CLOCK_SECONDS: Final = 30.0
"""How long the ledger's lead over this clock is remembered."""


class Core:
    """Builds the conversations. network_id: insist on this network, or None to take the first that is told."""

    def __init__(self, urls: Sequence[str], surroundings: Surroundings, network_id: bytes | None) -> None:
        self._surroundings = surroundings
        endpoints = Endpoints(urls, surroundings.monotonic_seconds, surroundings.random)
        self._asker = Asker(endpoints, surroundings, REQUEST_SECONDS, network_id)
        self._network: NetworkView | None = None
        self._lead_ms = 0
        self._lead_until_seconds: float | None = None

    @property
    def endpoints(self) -> Endpoints:
        """The endpoints, and how they fare."""
        return self._asker.endpoints

    @property
    def rules(self) -> Rules:
        """The newest rules that this program knows: what operations and results are made of."""
        return RULES[max(RULES)]

    # -- Network ------------------------------------------------------------------------------------

    def network(self, timeout_seconds: float) -> Conversation[NetworkView]:
        """The network, asked once. Raises WrongNetwork."""
        if self._network is None:
            self._network = yield from self._asker.ask(NETWORK, read_network, self._deadline(timeout_seconds))
        return self._network

    def get_json(self, path: str, query: Iterable[tuple[str, str]], timeout_seconds: float) -> Conversation[Json]:
        """Any JSON object that the API has at a path."""
        return (yield from self._get(path, tuple(query), read_json, timeout_seconds))

    def block(self, height: int | None, timeout_seconds: float) -> Conversation[BlockView]:
        """A final block; None: the latest."""
        path = f"/v1/blocks/{'latest' if height is None else height}"
        return (yield from self._get(path, (), read_block, timeout_seconds))

    def position(self, timeout_seconds: float) -> Conversation[int | None]:
        """Position of the newest final transaction; None before the first."""

        def read(answer: Answer) -> int | None:
            log_size = integer_of(json_object(answer.body), "log_size")
            return log_size - 1 if log_size > 0 else None

        return (yield from self._get("/v1/node", (), read, timeout_seconds))

    # -- Transactions -------------------------------------------------------------------------------

    def prepare(
        self,
        account: Account,
        operations: Iterable[AnyOperation],
        consents: Iterable[Account],
        validity_seconds: float,
        timeout_seconds: float,
    ) -> Conversation[Sealed]:
        """Sign an envelope, valid from now on for so long (at most what the network allows)."""
        prepared = [as_operation(self.rules, operation) for operation in operations]
        network = yield from self.network(timeout_seconds)
        lead_ms = yield from self._ledger_lead_ms(timeout_seconds)
        # A hundredth less than allowed: the node that judges may have an earlier clock.
        validity_ms = min(int(validity_seconds * 1000), network.envelope_ttl_max_ms * 99 // 100)
        return seal(
            account,
            prepared,
            network_id=network.network_id,
            identifier=self._surroundings.token_bytes(ID_BYTES),
            valid_until_ms=self._surroundings.wall_ms() + lead_ms + validity_ms,
            consents=consents,
        )

    def send_all(
        self, sealed: Sequence[Sealed], timeout_seconds: float | None
    ) -> Conversation[list[Receipt | ClientError]]:
        """Deliver envelopes (submission.py); without a time-out, until every outcome is certain or no node answers."""
        if timeout_seconds is None:
            latest_ms = max((item.valid_until_ms for item in sealed), default=0)
            timeout_seconds = max(0, latest_ms - self._surroundings.wall_ms()) / 1000 + GRACE_SECONDS
        return (yield from Delivery(self._asker, self.rules, sealed, self._deadline(timeout_seconds)).run())

    def send(self, sealed: Sealed, timeout_seconds: float | None) -> Conversation[Receipt]:
        """Deliver one envelope; its receipt, of success. Raises what delivery found otherwise."""
        (result,) = yield from self.send_all([sealed], timeout_seconds)
        return succeeded(result)

    def outcome(self, of: bytes | Sealed, wait_seconds: float, timeout_seconds: float) -> Conversation[Outcome]:
        """What a node says of a transaction now, or once it is final within the wait."""
        question = outcome_question(of, wait_seconds) if isinstance(of, Sealed) else _of_id(of, wait_seconds)
        transaction = of.transaction if isinstance(of, Sealed) else of
        operations = of.operations if isinstance(of, Sealed) else ()

        def read(answer: Answer) -> Outcome:
            return read_outcome(json_object(answer.body), transaction, self.rules, operations)

        deadline = self._deadline(timeout_seconds + wait_seconds)
        return (yield from self._asker.ask(question, read, deadline, waits_seconds=wait_seconds))

    def wait(self, of: bytes | Sealed, timeout_seconds: float) -> Conversation[Outcome]:
        """Ask until a node gives a certain outcome or the time is over; the last outcome."""
        deadline = self._deadline(timeout_seconds)
        while True:
            left = max(0.0, deadline - self._surroundings.monotonic_seconds())
            outcome = yield from self.outcome(of, min(WAIT_SECONDS, left), max(left, 1.0))
            left = deadline - self._surroundings.monotonic_seconds()
            if outcome.is_certain or left <= 0:
                return outcome
            if outcome.stage is not Stage.PENDING:
                yield from self._asker.pause(0.2, deadline)  # refused or not seen here is answered at once

    # -- Proofs and state ---------------------------------------------------------------------------

    def proof(self, transaction: bytes, timeout_seconds: float) -> Conversation[bytes]:
        """The receipt proof file, as soon as a final header covers it. Raises NodeRefused(not_found)."""
        wait_seconds = min(WAIT_SECONDS, timeout_seconds / 2)
        query = (("wait_ms", str(int(wait_seconds * 1000))),)
        question = Question("GET", f"/v1/transactions/{transaction.hex()}/proof", query)
        deadline = self._deadline(timeout_seconds)
        return (yield from self._asker.ask(question, _body, deadline, waits_seconds=wait_seconds))

    def state(self, space: Space[R], parts: Sequence[KeyPart], timeout_seconds: float) -> Conversation[R | None]:
        """The value under a key of a space, opened; None if there is none."""
        space.check(tuple(parts))  # a wrong key is said here, not by a node
        found = yield from self._value(space, space, parts, timeout_seconds)
        return None if found is None else found[1]

    def find(
        self, space: Space[R], parts: Sequence[KeyPart], timeout_seconds: float
    ) -> Conversation[tuple[KeyParts, R] | None]:
        """Key and record that are found by a second key; None if none are."""
        if space.also is None:
            raise BrokenInvariant(f"space {space.name} has no second key")
        space.also.check(tuple(parts))
        return (yield from self._value(space, space.also, parts, timeout_seconds))

    def _value(
        self, space: Space[R], asked: Space[Any] | Also, parts: Sequence[KeyPart], timeout_seconds: float
    ) -> Conversation[tuple[KeyParts, R] | None]:
        def read(answer: Answer) -> tuple[KeyParts, R]:
            body = json_object(answer.body)
            try:
                key = parts_from_text(space, [str(part) for part in object_of(body, "key").values()])
                return key, from_json(space.record, dict(object_of(body, "value")))
            except Malformed as fault:
                raise BadAnswer(f"a value that is no {space.record.__name__}: {fault.words}") from fault

        try:
            return (yield from self._get(_state_path(asked), _key_query(parts), read, timeout_seconds))
        except NodeRefused as refusal:
            if refusal.code == NOT_FOUND and "height" in refusal.facts:
                return None
            raise  # the node knows no such space

    def state_proof(
        self, space: Space[Any] | Also, parts: Sequence[KeyPart], timeout_seconds: float
    ) -> Conversation[bytes]:
        """The proof file of a value, or of its absence; of an added record its page."""
        space.check(tuple(parts))
        return (yield from self._get(f"{_state_path(space)}/proof", _key_query(parts), _body, timeout_seconds))

    def open_events(self, follower: Follower, patience_seconds: float) -> Conversation[str]:
        """Open a stream of events after the follower's position; the endpoint that gives it.

        The patience counts from the first failure since a stream moved. Raises NodeRefused, Unreachable, WrongNetwork.
        """
        now = self._surroundings.monotonic_seconds()
        since = now if follower.failing_since_seconds is None else follower.failing_since_seconds
        try:
            return (yield from self._asker.open_stream(follower, since + patience_seconds))
        except ClientError:
            follower.begin_anew()  # who asks on has the whole patience again
            raise

    def stream_fared(self, endpoint: str, follower: Follower, fault: Exception | None = None) -> None:
        """Draw the consequences of a piece that the follower was fed, or of the end of its stream."""
        if follower.has_moved:
            self.endpoints.answered(endpoint)
            follower.begin_anew()
        if fault is not None:
            self.endpoints.failed(endpoint)
            words = str(fault) or "the stream broke off"
            follower.failed(endpoint, words, self._surroundings.monotonic_seconds())

    # -- Inside -------------------------------------------------------------------------------------

    def _get(
        self, path: str, query: tuple[tuple[str, str], ...], read: Callable[[Answer], R], timeout_seconds: float
    ) -> Conversation[R]:
        return (yield from self._asker.ask(Question("GET", path, query), read, self._deadline(timeout_seconds)))

    def _deadline(self, timeout_seconds: float) -> float:
        return self._surroundings.monotonic_seconds() + timeout_seconds

    def _ledger_lead_ms(self, timeout_seconds: float) -> Conversation[int]:
        """How far the last block's time is ahead of this clock; 0 if it is behind, as it should be (L-7)."""
        now = self._surroundings.monotonic_seconds()
        if self._lead_until_seconds is None or now >= self._lead_until_seconds:
            try:
                block_time_ms = (yield from self.block(None, timeout_seconds)).time_ms
            except NodeRefused as refusal:
                if refusal.code != NOT_FOUND:
                    raise
                block_time_ms = 0  # no block is final yet
            self._lead_ms = max(0, block_time_ms - self._surroundings.wall_ms())
            self._lead_until_seconds = now + CLOCK_SECONDS
        return self._lead_ms


def succeeded(result: Receipt | ClientError) -> Receipt:
    """A receipt of success, or the error. Raises it, or TransactionFailed."""
    if isinstance(result, ClientError):
        raise result
    if not result.ok:
        raise TransactionFailed(result)
    return result


def system_surroundings(monotonic_seconds: Callable[[], float], wall_ms: Callable[[], int]) -> Surroundings:
    """Real time, and the system's randomness."""
    return Surroundings(monotonic_seconds, wall_ms, secrets.SystemRandom(), secrets.token_bytes)


def read_json(answer: Answer) -> Json:
    """A JSON object. Raises BadAnswer."""
    return json_object(answer.body)


def read_network(answer: Answer) -> NetworkView:
    """/v1/network. Raises BadAnswer."""
    value = json_object(answer.body)
    ttl_ms = integer_of(object_of(value, "parameters"), "envelope_ttl_max_ms")
    return NetworkView(text_of(value, "name"), hex_of(value, "network_id"), ttl_ms, value)


def read_block(answer: Answer) -> BlockView:
    """/v1/blocks/... Raises BadAnswer."""
    value = json_object(answer.body)
    listed = list_of(value, "transactions")
    ids = tuple(hex_of({"id": item}, "id") if isinstance(item, str) else hex_of(item, "transaction") for item in listed)
    return BlockView(integer_of(value, "height"), hex_of(value, "hash"), integer_of(value, "time_ms"), ids, value)


def _body(answer: Answer) -> bytes:
    return answer.body


def _of_id(transaction: bytes, wait_seconds: float) -> Question:
    wait = (("wait_ms", str(int(wait_seconds * 1000))),) if wait_seconds > 0 else ()
    return Question("GET", f"/v1/transactions/{transaction.hex()}", wait)


def _state_path(space: Space[Any] | Also) -> str:
    return f"/v1/state/{quote(space.name, safe='')}"


def _key_query(parts: Sequence[KeyPart]) -> tuple[tuple[str, str], ...]:
    return tuple(("key", part.hex() if isinstance(part, bytes) else str(part)) for part in parts)
