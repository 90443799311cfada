"""One connection of a client: requests in, answers out, one after the other, and no wait without an end.

The connection is in one *stage* at a time, and each stage has its patience (`daemon.limits`): *idle* between requests,
*head* and *body* while one arrives, *answering* while the node works or waits for finality, *writing*. One cancel scope
carries the deadline of the stage. What happens when it passes depends on the stage: an idle client is left without a
word, one whose request did not arrive is told so (408), one that waited too long too (503), one that does not take its
answer is left.

Back-pressure is the socket's: while an answer is made or written nothing is read, and a stream's next piece is asked
for only when the last one was taken. So a client that never reads holds one piece of an answer and no more.

While a stream is written the socket is read beside it, only to see that the client is gone.

A refusal that ends the connection while the client still sends is followed by a short reading into nothing, since a
closed socket with unread bytes would take the refusal back from the client's side.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from enum import Enum
from typing import Final, NoReturn

import trio

from daemon import limits
from daemon.api.counters import ApiCounters
from daemon.api.messages import REASONS, Answer, Request, Stream
from daemon.api.parsing import Bodies, RequestParser
from daemon.api.problems import Problem
from protocol.errors import API_BUSY, REQUEST_TIMEOUT

Handler = Callable[[Request], Awaitable[Answer | Stream]]

ALWAYS: Final = (
    b"x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\ncross-origin-resource-policy: same-origin\r\n"
)
"""Security headers of every answer; pages of HTML add their own policy."""
STRICT_POLICY: Final = ("content-security-policy", "default-src 'none'; frame-ancestors 'none'")


class Stage(Enum):
    """What the connection is doing."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    ANSWERING = "answering"
    WRITING = "writing"


PATIENCE_SECONDS: Final = {
    Stage.IDLE: limits.API_IDLE_SECONDS,
    Stage.HEAD: limits.API_HEAD_SECONDS,
    Stage.BODY: limits.API_BODY_SECONDS,
    Stage.ANSWERING: limits.API_ANSWER_SECONDS,
    Stage.WRITING: limits.API_WRITE_SECONDS,
}


class _Ended(Exception):
    """The connection is over; `why` is for the counters."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Connection:
    """See the essay. `run` is its life; `stop` ends it as soon as nothing is under way."""

    def __init__(self, stream: trio.abc.Stream, handle: Handler, bodies: Bodies, counters: ApiCounters) -> None:
        self._stream = stream
        self._handle = handle
        self._counters = counters
        self._parser = RequestParser(bodies)
        self._scope = trio.CancelScope()
        self._stage = Stage.IDLE
        self._stage_since = trio.current_time()
        self._gave_way = False
        self._stopping = False
        self._chunked = True
        self._streaming = False

    @property
    def idle_since(self) -> float | None:
        """Since when nothing is under way, in Trio's seconds; None while something is."""
        return self._stage_since if self._stage is Stage.IDLE and not self._gave_way else None

    def give_way(self) -> None:
        """Leave an idle client, since its place is wanted."""
        assert self._stage is Stage.IDLE, "nothing is under way"
        self._gave_way = True
        self._scope.cancel()

    def stop(self) -> None:
        """Take no further request; a client that is idle is left now."""
        self._stopping = True
        if self._stage is Stage.IDLE:
            self._scope.cancel()

    async def run(self) -> None:
        """Serve until the connection is over, whatever ends it."""
        why = "client"
        try:
            with self._scope:
                await self._serve()
            if self._scope.cancelled_caught:
                why = await self._too_late()
        except _Ended as end:
            why = end.why
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client is gone, as `why` says
        finally:
            self._counters.connections_ended[why] += 1
            self._parser.release_all()
            await trio.aclose_forcefully(self._stream)

    async def _serve(self) -> None:
        while True:
            request = await self._next()
            self._enter(Stage.ANSWERING)
            answer = await self._handle(request)
            keep = request.keep_alive and not self._stopping and self._parser.refusal is None
            if isinstance(answer, Stream):
                await self._write_stream(request, answer)
            await self._write_answer(request, answer, keep=keep or bool(self._parser.ready))
            self._parser.release()
            if not keep and not self._parser.ready and self._parser.refusal is None:
                await self._say_goodbye()
                raise _Ended("stopping" if self._stopping else "answered")

    # -- Reading ------------------------------------------------------------------------------------

    async def _next(self) -> Request:
        """The next whole request. Raises _Ended."""
        parser = self._parser
        while not parser.ready:
            if parser.refusal is not None:
                await self._refuse(parser.refusal)
            if parser.idle and self._stopping:
                raise _Ended("stopping")
            self._enter(Stage.BODY if parser.in_body else Stage.HEAD if parser.in_head else Stage.IDLE)
            data = bytes(await self._stream.receive_some(limits.API_READ_BYTES))
            if not data:
                raise _Ended("client")
            self._counters.bytes_in += len(data)
            parser.feed(data)
            if parser.wants_continue and parser.refusal is None:
                parser.wants_continue = False
                await self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return parser.ready.popleft()

    def _enter(self, stage: Stage) -> None:
        """A new stage has its whole patience; one that goes on has what is left."""
        if stage is not self._stage or stage is Stage.WRITING or self._scope.deadline == float("inf"):
            self._stage = stage
            self._stage_since = now = trio.current_time()
            self._scope.deadline = now + PATIENCE_SECONDS[stage]

    async def _refuse(self, refusal: Problem) -> None:
        """Tell why nothing more is answered here, and end. Raises _Ended."""
        answer = refusal.answer()
        self._counters.problems[refusal.code] += 1
        self._counters.answered("", answer.status, 0.0)
        await self._write_answer(None, answer, keep=False)
        await self._say_goodbye()
        raise _Ended("refused")

    async def _too_late(self) -> str:
        """The stage's patience is over. Returns why the connection ended."""
        if self._streaming or self._stage is Stage.WRITING:
            return "slow_reader"  # in the middle of an answer: no word of ours would be understood
        if self._stage is Stage.IDLE:
            return "gave_way" if self._gave_way else "stopping" if self._stopping else "idle"
        if self._stage is Stage.ANSWERING:
            why, late = "slow_answer", Problem(API_BUSY, f"no answer within {limits.API_ANSWER_SECONDS} s")
        else:
            words = f"its {self._stage.value} took over {PATIENCE_SECONDS[self._stage]} s"
            why, late = "slow_request", Problem(REQUEST_TIMEOUT, f"the request did not arrive in time: {words}")
        answer = late.answer()
        self._counters.problems[late.code] += 1
        self._counters.answered("", answer.status, 0.0)
        self._scope = trio.CancelScope(deadline=trio.current_time() + limits.API_LINGER_SECONDS)
        with self._scope:
            self._stage = Stage.WRITING
            await self._stream.send_all(self._head(answer, keep=False) + answer.body)
            await self._say_goodbye()
        return why

    async def _say_goodbye(self) -> None:
        """End the sending side, and read into nothing for a moment, so that the client gets what was sent."""
        with trio.move_on_after(limits.API_LINGER_SECONDS):
            if isinstance(self._stream, trio.SocketStream):
                await self._stream.send_eof()
            left = limits.API_LINGER_BYTES
            while left > 0:
                data = await self._stream.receive_some(limits.API_READ_BYTES)
                if not data:
                    return
                left -= len(data)

    # -- Writing ------------------------------------------------------------------------------------

    async def _write(self, data: bytes) -> None:
        """Write all, a piece at a time, each within the patience of writing."""
        self._counters.bytes_out += len(data)
        for start in range(0, len(data), limits.API_WRITE_BYTES):
            self._enter(Stage.WRITING)
            await self._stream.send_all(data[start : start + limits.API_WRITE_BYTES])

    async def _write_answer(self, request: Request | None, answer: Answer, *, keep: bool) -> None:
        head = self._head(answer, keep=keep)
        await self._write(head if request is not None and request.method == "HEAD" else head + answer.body)

    async def _write_stream(self, request: Request, answer: Stream) -> NoReturn:
        """Write pieces until the stream ends, or the client does. Raises _Ended."""
        self._chunked = request.takes_chunks
        self._streaming = True
        self._counters.streams += 1  # before anything waits: the handler has looked at it just now
        gone = trio.CancelScope()
        try:
            await self._write(self._head(answer, keep=False))
            if request.method == "HEAD":
                raise _Ended("answered")
            self._pause()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, gone)
                with gone:
                    await answer.write(self._send_piece)
                nursery.cancel_scope.cancel()
            if not gone.cancelled_caught:
                await self._write(b"0\r\n\r\n" if self._chunked else b"")
                await self._say_goodbye()
                raise _Ended("stopping" if self._stopping else "answered")
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client is gone, as is said below
        finally:
            self._counters.streams -= 1
        raise _Ended("client")

    async def _send_piece(self, data: bytes) -> None:
        """One chunk (RFC 9112, section 7.1)."""
        await self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        self._pause()

    def _pause(self) -> None:
        """Between two chunks there is no deadline: a stream may be quiet."""
        self._stage = Stage.ANSWERING
        self._scope.deadline = float("inf")

    async def _watch(self, scope: trio.CancelScope) -> None:
        """See that the client is gone; what it still sends counts as going, since nothing follows a stream."""
        await self._stream.receive_some(1)
        scope.cancel()

    def _head(self, answer: Answer | Stream, *, keep: bool) -> bytes:
        lines = [f"HTTP/1.1 {answer.status} {REASONS[answer.status]}", f"date: {_date()}"]
        if answer.status != 204:
            lines.append(f"content-type: {answer.content_type}")
        names = {name for name, _ in answer.headers}
        if isinstance(answer, Stream):
            lines += ["transfer-encoding: chunked"] if self._chunked else []
        elif answer.status != 204:
            lines.append(f"content-length: {len(answer.body)}")
        lines += [f"{name}: {value}" for name, value in answer.headers]
        if "cache-control" not in names:
            lines.append("cache-control: no-store")
        if STRICT_POLICY[0] not in names:
            lines.append(": ".join(STRICT_POLICY))
        if not keep:
            lines.append("connection: close")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n" + ALWAYS + b"\r\n"


_date_cache: tuple[int, str] = (0, "")


def _date() -> str:
    """Now, as the header Date has it (RFC 9110, section 5.6.7); made once a second."""
    global _date_cache  # noqa: PLW0603 - a cache of one value for the process
    second = int(time.time())
    if _date_cache[0] != second:
        _date_cache = (second, formatdate(second, usegmt=True))
    return _date_cache[1]
