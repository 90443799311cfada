"""Bytes of a connection to requests, with every bound checked while they come.

httptools (llhttp, the parser of Node.js) does HTTP/1.1, strictly: none of its leniencies is on, so what a proxy in
front and this server take for one request is the same (no length beside chunks, no bare line feeds, no spaces before
colons). This module counts, and says in an answer what was too much:

* the head (request line and headers) by bytes and by number of headers, before anything is done with it;
* the body by its stated length before a byte of it is read, by its bytes when it comes in chunks;
* what comes between and after chunks (extensions, trailers), of which nothing is kept;
* all bodies of the process together, against one budget (`Bodies`);
* requests that were sent ahead (pipelining) by their number.

After a refusal nothing more of the connection is looked at: where the next request begins is not known.

Deliberately absent: HTTP/2, WebSockets, compression, trailers (they are dropped). A request to change the protocol is
answered as if it did not ask, and ends the connection.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import httptools

from daemon import limits
from daemon.api.messages import Request
from daemon.api.problems import Problem, bad_request
from protocol.errors import API_BUSY, TOO_LARGE

_CONTENT_LENGTH_DIGITS_MAX: Final = 15
_ONCE: Final = frozenset({"host", "content-length", "content-type", "last-event-id", "expect"})
"""Headers that mean something here and are no lists."""


class Bodies:
    """The bytes of bodies that are held, over all connections."""

    def __init__(self, bytes_max: int = limits.API_BODIES_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self.bytes = 0

    def take(self, size: int) -> bool:
        """Count them in; False if there is no room."""
        if self.bytes + size > self._bytes_max:
            return False
        self.bytes += size
        return True

    def give(self, size: int) -> None:
        """They are gone."""
        self.bytes -= size
        assert self.bytes >= 0, "what is given back was taken"


class RequestParser:
    """The requests of one connection. `feed` it what was read; then `ready` and `refusal` tell.

    held: bytes of bodies counted in and not yet `release`d.
    """

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._parser = httptools.HttpRequestParser(self)
        self._sizes: deque[int] = deque()
        self._begin()
        self._finished = 0
        self._arriving_bytes = 0
        self.held = 0
        self.ready: deque[Request] = deque()
        self.refusal: Problem | None = None
        """Why nothing after `ready` is answered."""
        self.in_head = False
        self.in_body = False
        self.wants_continue = False
        """The client waits for a word before it sends the body (RFC 9110, section 10.1.1)."""

    def _begin(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._count = 0
        self._head_bytes = 0
        self._body = bytearray()
        self._around_chunks = 0

    @property
    def idle(self) -> bool:
        """Nothing of a request is here."""
        return not (self.in_head or self.in_body or self.ready)

    def feed(self, data: bytes) -> None:
        """Take what was read. Never raises for what a client sends."""
        if self.refusal is not None:
            return
        begun_before, finished, body_bytes = self.in_body, self._finished, len(self._body)
        self.in_head = self.in_head or not self.in_body
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(bad_request("the protocol is not changed here"))
        except httptools.HttpParserError as fault:
            self._refuse(bad_request(f"not a request of HTTP/1.1: {type(fault).__name__}"))
        if self.in_head and not begun_before and self._finished == finished:
            self._arriving_bytes += len(data)  # all of it is of this head
            if self._arriving_bytes > limits.API_HEAD_BYTES_MAX:
                self._refuse(self._head_too_large())
        elif begun_before and self._finished == finished:
            # llhttp takes a chunk's extensions, and httptools gathers a trailer, before either says a word of it.
            self._around_chunks = self._around_chunks + len(data) if len(self._body) == body_bytes else 0
            if self._around_chunks > limits.API_HEAD_BYTES_MAX:
                words = f"more than {limits.API_HEAD_BYTES_MAX} bytes between or after chunks give no body"
                self._refuse(Problem(TOO_LARGE, words, status=431))

    def release(self) -> None:
        """The oldest request that was taken from `ready` is answered."""
        size = self._sizes.popleft()
        self.held -= size
        self._bodies.give(size)

    def release_all(self) -> None:
        """The connection is over."""
        self._bodies.give(self.held)
        self.held = 0
        self._sizes.clear()

    # -- What httptools calls -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._begin()
        self.in_head = True

    def on_url(self, target: bytes) -> None:
        """A piece of the request line's target."""
        if self.refusal is None:
            self._target += target
            self._count_head(len(target))

    def on_header(self, name: bytes, value: bytes | None) -> None:
        """One header; in the trailer of a chunked body too, where it is dropped."""
        if self.refusal is not None or self.in_body:
            return
        self._count += 1
        value = value or b""
        self._count_head(len(name) + len(value) + 4)
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
        if key not in self._headers:
            self._headers[key] = text
        elif key in _ONCE:
            self._refuse(bad_request(f"the header {key} stands there twice"))
        else:
            self._headers[key] += f", {text}"

    def on_headers_complete(self) -> None:
        """The head is whole: judge what it says of the body."""
        self.in_head, self.in_body = False, True
        self._arriving_bytes = 0
        if self.refusal is not None:
            return
        stated = self._headers.get("content-length", "")
        if len(stated) > _CONTENT_LENGTH_DIGITS_MAX or (stated.isdecimal() and int(stated) > limits.API_BODY_BYTES_MAX):
            self._refuse(self._body_too_large())
        if "host" not in self._headers and self._parser.get_http_version() == "1.1":
            self._refuse(bad_request("a request of HTTP/1.1 has a header Host"))
        self.wants_continue = self._headers.get("expect", "").lower() == "100-continue"

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self.refusal is not None:
            return
        self.wants_continue = False
        if len(self._body) + len(data) > limits.API_BODY_BYTES_MAX:
            self._refuse(self._body_too_large())
        elif not self._bodies.take(len(data)):
            self._refuse(Problem(API_BUSY, "other requests' bodies take all the room there is; try again"))
        else:
            self.held += len(data)
            self._body += data

    def on_message_complete(self) -> None:
        """The request is whole."""
        self.in_head = self.in_body = self.wants_continue = False
        self._finished += 1
        if self.refusal is not None:
            return
        if len(self.ready) >= limits.API_PIPELINED_MAX:
            self._refuse(bad_request(f"more than {limits.API_PIPELINED_MAX} requests sent ahead"))
            return
        newer = self._parser.get_http_version() == "1.1"
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            target=self._target.decode("latin-1"),
            headers=self._headers,
            body=bytes(self._body),
            keep_alive=newer and self._parser.should_keep_alive(),
            takes_chunks=newer,
        )
        self._sizes.append(len(self._body))
        self._body = bytearray()
        self.ready.append(request)

    # -- Refusing -----------------------------------------------------------------------------------

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > limits.API_HEAD_BYTES_MAX or self._count > limits.API_HEADERS_MAX:
            self._refuse(self._head_too_large())

    def _refuse(self, refusal: Problem) -> None:
        if self.refusal is None:
            self.refusal = refusal
            self._body = bytearray()

    @staticmethod
    def _head_too_large() -> Problem:
        words = f"the head has more than {limits.API_HEAD_BYTES_MAX} bytes or {limits.API_HEADERS_MAX} headers"
        return Problem(TOO_LARGE, words, status=431)

    @staticmethod
    def _body_too_large() -> Problem:
        return Problem(TOO_LARGE, f"the body has more than {limits.API_BODY_BYTES_MAX} bytes")
