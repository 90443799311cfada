"""The asynchronous client, on anyio: for programs under Trio or asyncio."""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
import httpx

from daemon.client.account import Account
from daemon.client.conversation import Answer, Ask, Conversation, NoAnswer, Reply
from daemon.client.core import ANSWER_SECONDS, VALIDITY_SECONDS, Core, system_surroundings
from daemon.client.errors import ClientError
from daemon.client.following import SILENCE_SECONDS, Follower
from daemon.client.http import AnswerTooLarge, Collected, answer_of, no_answer, options, request_of
from daemon.client.sealing import AnyOperation, Sealed
from daemon.client.views import BadAnswer, BlockView, Event, Json, NetworkView, Outcome, Receipt
from protocol.ledger.spaces import Also, KeyPart, KeyParts, Space

T = TypeVar("T")
R = TypeVar("R")


class AsyncClient:
    """Talks to one network through one or several of its nodes.

        async with AsyncClient("http://127.0.0.1:8100", "http://127.0.0.1:8101") as client:
            receipt = await client.transact(account, [evidence.record_of(data)])

    Everything that can be asked twice is asked again, at other endpoints too, until `timeout_seconds` are over; a
    transaction acts once, however often it is sent. One client serves any number of tasks. Errors:
    `daemon.client.errors`.
    """

    def __init__(
        self,
        *endpoints: str,
        network_id: bytes | None = None,
        tls: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """endpoints: such as http://127.0.0.1:8100, the preferred first.

        network_id: insist on this network (32 bytes). Each endpoint is asked for its own before its first use; one of
        another is left out for as long as this client lives, and WrongNetwork is raised when none is left. One that
        changes its network later is not found. Without it, the same holds from `network()` or `prepare` on, for the
        network that was found there. tls: for https endpoints, if not the system's roots. transport: of httpx, in place
        of the network. Raises ValueError.
        """
        surroundings = system_surroundings(time.monotonic, lambda: time.time_ns() // 1_000_000)
        self._core = Core(endpoints, surroundings, network_id)
        self._http = httpx.AsyncClient(**options(self._core.endpoints.urls, tls), transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        with anyio.CancelScope(shield=True):
            await self._http.aclose()

    def __repr__(self) -> str:
        return f"AsyncClient({', '.join(self._core.endpoints.urls)})"

    # -- The network --------------------------------------------------------------------------------

    async def network(self, *, timeout_seconds: float = ANSWER_SECONDS) -> NetworkView:
        """Name, id and parameters of the network; asked once. Raises WrongNetwork, Unreachable."""
        return await self._run(self._core.network(timeout_seconds))

    async def node(self, *, timeout_seconds: float = ANSWER_SECONDS) -> Json:
        """The status of the node that answers: /v1/node."""
        return await self._run(self._core.get_json("/v1/node", (), timeout_seconds))

    async def apps(self, *, timeout_seconds: float = ANSWER_SECONDS) -> Json:
        """The description of all applications: /v1/apps."""
        return await self._run(self._core.get_json("/v1/apps", (), timeout_seconds))

    async def get_json(
        self, path: str, query: Iterable[tuple[str, str]] = (), *, timeout_seconds: float = ANSWER_SECONDS
    ) -> Json:
        """Any JSON object that the API has at `path`. Raises NodeRefused, Unreachable."""
        return await self._run(self._core.get_json(path, query, timeout_seconds))

    async def block(self, height: int | None = None, *, timeout_seconds: float = ANSWER_SECONDS) -> BlockView:
        """A final block; without a height the latest. Raises NodeRefused(not_found)."""
        return await self._run(self._core.block(height, timeout_seconds))

    # -- Transactions -------------------------------------------------------------------------------

    async def transact(
        self,
        account: Account,
        operations: Iterable[AnyOperation],
        *,
        consents: Iterable[Account] = (),
        validity_seconds: float = VALIDITY_SECONDS,
        timeout_seconds: float | None = None,
    ) -> Receipt:
        """Sign operations as one transaction (all apply, or none), send it, and wait for its receipt.

        consents: other accounts whose consent an operation needs; they sign too. validity_seconds: after which it is
        void if not final. timeout_seconds: how long to wait; None: until the outcome is certain.
        Raises TransactionFailed, TransactionRefused, TransactionExpired, OutcomeUnknown, Unreachable.
        """
        sealed = await self.prepare(account, operations, consents=consents, validity_seconds=validity_seconds)
        return await self.send(sealed, timeout_seconds=timeout_seconds)

    async def prepare(
        self,
        account: Account,
        operations: Iterable[AnyOperation],
        *,
        consents: Iterable[Account] = (),
        validity_seconds: float = VALIDITY_SECONDS,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> Sealed:
        """Sign, but do not send: for who writes `sealed.data` down first, to ask for its outcome after a crash."""
        return await self._run(self._core.prepare(account, operations, consents, validity_seconds, timeout_seconds))

    async def send(self, sealed: Sealed, *, timeout_seconds: float | None = None) -> Receipt:
        """Deliver an envelope, for the first time or again, and wait; as `transact`."""
        return await self._run(self._core.send(sealed, timeout_seconds))

    async def send_all(
        self, sealed: Sequence[Sealed], *, timeout_seconds: float | None = None
    ) -> list[Receipt | ClientError]:
        """Deliver many; for each, in order, its receipt (look at `ok`) or what would have been raised."""
        return await self._run(self._core.send_all(sealed, timeout_seconds))

    async def outcome(
        self, of: bytes | Sealed, *, wait_seconds: float = 0.0, timeout_seconds: float = ANSWER_SECONDS
    ) -> Outcome:
        """What a node says of a transaction (its id, or the envelope, for which *expired* can be told too)."""
        return await self._run(self._core.outcome(of, wait_seconds, timeout_seconds))

    async def wait(self, of: bytes | Sealed, *, timeout_seconds: float = ANSWER_SECONDS) -> Outcome:
        """Ask until the outcome is certain, or the time is over: the last answer (see `is_certain`)."""
        return await self._run(self._core.wait(of, timeout_seconds))

    async def proof(self, transaction: bytes, *, timeout_seconds: float = ANSWER_SECONDS) -> bytes:
        """The receipt proof file of a final transaction, once it can be proven: a block or two later."""
        return await self._run(self._core.proof(transaction, timeout_seconds))

    # -- State --------------------------------------------------------------------------------------

    async def state(self, space: Space[R], *key: KeyPart, timeout_seconds: float = ANSWER_SECONDS) -> R | None:
        """The value under a key of an application's space, as its record; None if there is none."""
        asked = self._core.state(space, key, timeout_seconds)
        return await self._run(asked)

    async def find(
        self, space: Space[R], *second_key: KeyPart, timeout_seconds: float = ANSWER_SECONDS
    ) -> tuple[KeyParts, R] | None:
        """As `Client.find`."""
        return await self._run(self._core.find(space, second_key, timeout_seconds))

    async def state_proof(
        self, space: Space[Any] | Also, *key: KeyPart, timeout_seconds: float = ANSWER_SECONDS
    ) -> bytes:
        """As `Client.state_proof`."""
        return await self._run(self._core.state_proof(space, key, timeout_seconds))

    # -- Events -------------------------------------------------------------------------------------

    async def position(self, *, timeout_seconds: float = ANSWER_SECONDS) -> int | None:
        """Position of the newest final transaction, to follow events after it; None before the first."""
        return await self._run(self._core.position(timeout_seconds))

    def events(
        self,
        after: int | None = None,
        *,
        app: str | None = None,
        account: bytes | None = None,
        patience_seconds: float = 2 * ANSWER_SECONDS,
    ) -> AsyncEvents:
        """Final transactions in order, for ever, from the one after position `after` on (None: the first).

        async with client.events(after=41) as events:
            async for event in events: ...

        app, account: only those. patience_seconds: how long streams may fail at every node without that one moves, by
        an event, a block or a heartbeat. Then raises Unreachable, or NodeRefused with what a node gave as its reason.
        """
        return AsyncEvents(self._core, self._http, Follower(after, app, account), patience_seconds)

    # -- Driver -------------------------------------------------------------------------------------

    async def _run(self, conversation: Conversation[T]) -> T:
        return await drive(self._http, conversation)


async def drive(http: httpx.AsyncClient, conversation: Conversation[T]) -> T:
    """Run a conversation: see conversation.py."""
    reply: Reply = None
    try:
        while True:
            step = conversation.send(reply)
            if isinstance(step, Ask):
                reply = await _exchange(http, step)
            else:
                await anyio.sleep(step.seconds)
                reply = None
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        conversation.close()


async def _exchange(http: httpx.AsyncClient, ask: Ask) -> Answer | NoAnswer:
    try:
        with anyio.fail_after(ask.timeout_seconds):
            response = await http.send(request_of(http, ask), stream=True)
            return answer_of(response, await _body(response))
    except (httpx.HTTPError, TimeoutError, AnswerTooLarge) as fault:
        return no_answer(fault)


async def _body(response: httpx.Response) -> bytes:
    collected = Collected()
    pieces = response.aiter_raw()
    try:
        async for piece in pieces:
            collected.add(piece)
    finally:
        await close(response, pieces)
    return collected.body


async def close(response: httpx.Response, pieces: AsyncIterator[bytes]) -> None:
    """Close a response that may not be at its end.

    Closing the outermost of httpx's nested generators would leave the inner ones to the garbage collector, of which
    Trio complains rightly. So the connection is closed first; reading on then fails, from the inside to the outside.
    """
    with anyio.CancelScope(shield=True):
        await response.aclose()
        try:
            async for _ in pieces:
                pass
        except (httpx.HTTPError, httpx.StreamError):
            pass  # as it must


class AsyncEvents:
    """Final transactions as they come: an asynchronous context manager, and iterator. See `AsyncClient.events`."""

    def __init__(self, core: Core, http: httpx.AsyncClient, follower: Follower, patience_seconds: float) -> None:
        self._core = core
        self._http = http
        self._follower = follower
        self._patience = patience_seconds
        self._ready: deque[Event] = deque()
        self._open: tuple[str, httpx.Response, AsyncIterator[bytes]] | None = None

    @property
    def position(self) -> int | None:
        """Of the last event delivered: where to resume, with another client too."""
        return self._follower.after if not self._ready else self._ready[0].position - 1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._ready:
            if self._open is None:
                await self._enter()
            await self._read()
        return self._ready.popleft()

    async def _enter(self) -> None:
        conversation = self._core.open_events(self._follower, self._patience)
        reply: Reply = None
        try:
            while True:
                step = conversation.send(reply)
                if isinstance(step, Ask):
                    reply = await (self._try(step) if step.is_stream else _exchange(self._http, step))
                else:
                    await anyio.sleep(step.seconds)
                    reply = None
        except StopIteration:
            pass  # the conversation has come to its end: a stream is open
        finally:
            conversation.close()

    async def _try(self, ask: Ask) -> Answer | NoAnswer:
        try:
            with anyio.fail_after(ask.timeout_seconds):
                response = await self._http.send(request_of(self._http, ask), stream=True)
                if response.status_code >= 300:
                    return answer_of(response, await _body(response))
        except (httpx.HTTPError, TimeoutError, AnswerTooLarge) as fault:
            return no_answer(fault)
        self._open = (ask.endpoint, response, response.aiter_raw())
        return answer_of(response, b"")

    async def _read(self) -> None:
        assert self._open is not None, "a stream is read when it is open"
        endpoint, _, pieces = self._open
        try:
            with anyio.fail_after(SILENCE_SECONDS):
                piece = await anext(pieces)
            self._ready.extend(self._follower.feed(piece))
        except (StopAsyncIteration, httpx.HTTPError, TimeoutError, BadAnswer) as fault:
            self._core.stream_fared(endpoint, self._follower, fault)
            await self._leave()
            return
        self._core.stream_fared(endpoint, self._follower)

    async def _leave(self) -> None:
        if self._open is not None:
            _, response, pieces = self._open
            self._open = None
            await close(response, pieces)
