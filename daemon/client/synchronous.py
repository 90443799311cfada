"""The synchronous client: the conversations of `AsyncClient` with plain blocking calls. For scripts and threads."""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from daemon.client.account import Account
from daemon.client.conversation import Answer, Ask, Conversation, NoAnswer, Reply
from daemon.client.core import ANSWER_SECONDS, VALIDITY_SECONDS, Core, system_surroundings
from daemon.client.errors import ClientError
from daemon.client.following import Follower
from daemon.client.http import AnswerTooLarge, Collected, answer_of, no_answer, options, request_of
from daemon.client.sealing import AnyOperation, Sealed
from daemon.client.views import BadAnswer, BlockView, Event, Json, NetworkView, Outcome, Receipt
from protocol.ledger.spaces import Also, KeyPart, KeyParts, Space

T = TypeVar("T")
R = TypeVar("R")


class Client:
    """Talks to one network through one or several of its nodes; blocking.

        with Client("http://127.0.0.1:8100", "http://127.0.0.1:8101") as client:
            receipt = client.transact(account, [evidence.record_of(data)])

    Method by method as `AsyncClient`, whose documentation says more. One client may serve several threads.
    """

    def __init__(
        self,
        *endpoints: str,
        network_id: bytes | None = None,
        tls: ssl.SSLContext | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """As `AsyncClient`."""
        surroundings = system_surroundings(time.monotonic, lambda: time.time_ns() // 1_000_000)
        self._core = Core(endpoints, surroundings, network_id)
        self._http = httpx.Client(**options(self._core.endpoints.urls, tls), transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __repr__(self) -> str:
        return f"Client({', '.join(self._core.endpoints.urls)})"

    # -- The network --------------------------------------------------------------------------------

    def network(self, *, timeout_seconds: float = ANSWER_SECONDS) -> NetworkView:
        """Name, id and parameters of the network; asked once. Raises WrongNetwork, Unreachable."""
        return self._run(self._core.network(timeout_seconds))

    def node(self, *, timeout_seconds: float = ANSWER_SECONDS) -> Json:
        """The status of the node that answers: /v1/node."""
        return self._run(self._core.get_json("/v1/node", (), timeout_seconds))

    def apps(self, *, timeout_seconds: float = ANSWER_SECONDS) -> Json:
        """The description of all applications: /v1/apps."""
        return self._run(self._core.get_json("/v1/apps", (), timeout_seconds))

    def get_json(
        self, path: str, query: Iterable[tuple[str, str]] = (), *, timeout_seconds: float = ANSWER_SECONDS
    ) -> Json:
        """Any JSON object that the API has at `path`. Raises NodeRefused, Unreachable."""
        return self._run(self._core.get_json(path, query, timeout_seconds))

    def block(self, height: int | None = None, *, timeout_seconds: float = ANSWER_SECONDS) -> BlockView:
        """A final block; without a height the latest. Raises NodeRefused(not_found)."""
        return self._run(self._core.block(height, timeout_seconds))

    # -- Transactions -------------------------------------------------------------------------------

    def transact(
        self,
        account: Account,
        operations: Iterable[AnyOperation],
        *,
        consents: Iterable[Account] = (),
        validity_seconds: float = VALIDITY_SECONDS,
        timeout_seconds: float | None = None,
    ) -> Receipt:
        """Sign operations as one transaction, send it, and wait for its receipt. See `AsyncClient.transact`."""
        sealed = self.prepare(account, operations, consents=consents, validity_seconds=validity_seconds)
        return self.send(sealed, timeout_seconds=timeout_seconds)

    def prepare(
        self,
        account: Account,
        operations: Iterable[AnyOperation],
        *,
        consents: Iterable[Account] = (),
        validity_seconds: float = VALIDITY_SECONDS,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> Sealed:
        """Sign, but do not send."""
        return self._run(self._core.prepare(account, operations, consents, validity_seconds, timeout_seconds))

    def send(self, sealed: Sealed, *, timeout_seconds: float | None = None) -> Receipt:
        """Deliver an envelope, for the first time or again, and wait; as `transact`."""
        return self._run(self._core.send(sealed, timeout_seconds))

    def send_all(
        self, sealed: Sequence[Sealed], *, timeout_seconds: float | None = None
    ) -> list[Receipt | ClientError]:
        """Deliver many; for each, in order, its receipt (look at `ok`) or what would have been raised."""
        return self._run(self._core.send_all(sealed, timeout_seconds))

    def outcome(
        self, of: bytes | Sealed, *, wait_seconds: float = 0.0, timeout_seconds: float = ANSWER_SECONDS
    ) -> Outcome:
        """What a node says of a transaction (its id, or the envelope, for which *expired* can be told too)."""
        return self._run(self._core.outcome(of, wait_seconds, timeout_seconds))

    def wait(self, of: bytes | Sealed, *, timeout_seconds: float = ANSWER_SECONDS) -> Outcome:
        """Ask until the outcome is certain, or the time is over: the last answer (see `is_certain`)."""
        return self._run(self._core.wait(of, timeout_seconds))

    def proof(self, transaction: bytes, *, timeout_seconds: float = ANSWER_SECONDS) -> bytes:
        """The receipt proof file of a final transaction, once it can be proven: a block or two later."""
        return self._run(self._core.proof(transaction, timeout_seconds))

    # -- State --------------------------------------------------------------------------------------

    def state(self, space: Space[R], *key: KeyPart, timeout_seconds: float = ANSWER_SECONDS) -> R | None:
        """The value under a key of an application's space, as its record; None if there is none."""
        asked = self._core.state(space, key, timeout_seconds)
        return self._run(asked)

    def find(
        self, space: Space[R], *second_key: KeyPart, timeout_seconds: float = ANSWER_SECONDS
    ) -> tuple[KeyParts, R] | None:
        """Key and record that are found by a second key, where the space has one (`space.also`); None if none are."""
        return self._run(self._core.find(space, second_key, timeout_seconds))

    def state_proof(self, space: Space[Any] | Also, *key: KeyPart, timeout_seconds: float = ANSWER_SECONDS) -> bytes:
        """The proof file of a value, or of its absence.

        Of a record that is only ever added (`space.added`) the file holds its whole page, others' records with it, and
        absence cannot be proven: NodeRefused(not_found). To strangers give the proof of its receipt.
        """
        return self._run(self._core.state_proof(space, key, timeout_seconds))

    # -- Events -------------------------------------------------------------------------------------

    def position(self, *, timeout_seconds: float = ANSWER_SECONDS) -> int | None:
        """Position of the newest final transaction, to follow events after it; None before the first."""
        return self._run(self._core.position(timeout_seconds))

    def events(
        self,
        after: int | None = None,
        *,
        app: str | None = None,
        account: bytes | None = None,
        patience_seconds: float = 2 * ANSWER_SECONDS,
    ) -> Events:
        """Final transactions in order, for ever, from the one after position `after` on (None: the first).

            with client.events(after=41) as events:
                for event in events: ...

        See `AsyncClient.events`.
        """
        return Events(self._core, self._http, Follower(after, app, account), patience_seconds)

    # -- Driver -------------------------------------------------------------------------------------

    def _run(self, conversation: Conversation[T]) -> T:
        return drive(self._http, conversation)


def drive(http: httpx.Client, conversation: Conversation[T]) -> T:
    """Run a conversation: see conversation.py."""
    reply: Reply = None
    try:
        while True:
            step = conversation.send(reply)
            if isinstance(step, Ask):
                reply = _exchange(http, step)
            else:
                time.sleep(step.seconds)
                reply = None
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        conversation.close()


def _exchange(http: httpx.Client, ask: Ask) -> Answer | NoAnswer:
    try:
        response = http.send(request_of(http, ask), stream=True)
        return answer_of(response, _body(response, time.monotonic() + ask.timeout_seconds))
    except (httpx.HTTPError, TimeoutError, AnswerTooLarge) as fault:
        return no_answer(fault)


def _body(response: httpx.Response, until_seconds: float) -> bytes:
    collected = Collected(until_seconds)
    try:
        for piece in response.iter_raw():
            collected.add(piece)
    finally:
        response.close()
    return collected.body


class Events:
    """Final transactions as they come: a context manager, and iterator. See `AsyncClient.events`."""

    def __init__(self, core: Core, http: httpx.Client, follower: Follower, patience_seconds: float) -> None:
        self._core = core
        self._http = http
        self._follower = follower
        self._patience = patience_seconds
        self._ready: deque[Event] = deque()
        self._open: tuple[str, httpx.Response, Iterator[bytes]] | None = None

    @property
    def position(self) -> int | None:
        """Of the last event delivered: where to resume, with another client too."""
        return self._follower.after if not self._ready else self._ready[0].position - 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        while not self._ready:
            if self._open is None:
                self._enter()
            self._read()
        return self._ready.popleft()

    def _enter(self) -> None:
        conversation = self._core.open_events(self._follower, self._patience)
        reply: Reply = None
        try:
            while True:
                step = conversation.send(reply)
                if isinstance(step, Ask):
                    reply = self._try(step) if step.is_stream else _exchange(self._http, step)
                else:
                    time.sleep(step.seconds)
                    reply = None
        except StopIteration:
            pass  # the conversation has come to its end: a stream is open
        finally:
            conversation.close()

    def _try(self, ask: Ask) -> Answer | NoAnswer:
        try:
            response = self._http.send(request_of(self._http, ask), stream=True)
            if response.status_code >= 300:
                return answer_of(response, _body(response, time.monotonic() + ask.timeout_seconds))
        except (httpx.HTTPError, TimeoutError, AnswerTooLarge) as fault:
            return no_answer(fault)
        self._open = (ask.endpoint, response, response.iter_raw())
        return answer_of(response, b"")

    def _read(self) -> None:
        assert self._open is not None, "a stream is read when it is open"
        endpoint, _, pieces = self._open
        try:
            self._ready.extend(self._follower.feed(next(pieces)))
        except (StopIteration, httpx.HTTPError, BadAnswer) as fault:
            self._core.stream_fared(endpoint, self._follower, fault)
            self._leave()
            return
        self._core.stream_fared(endpoint, self._follower)

    def _leave(self) -> None:
        if self._open is not None:
            _, response, _ = self._open
            self._open = None
            response.close()
