"""A request as handlers see it, and the two kinds of answer: whole, or a stream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
MSGPACK: Final = "application/msgpack"
PROOF: Final = "application/vnd.papilio.proof"
OCTET_STREAM: Final = "application/octet-stream"
EVENTS: Final = "text/event-stream"
METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"

Send = Callable[[bytes], Awaitable[None]]
"""Writes some bytes; returns when the system has taken them, which is a slow client's way to slow its stream down."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, whole.

    target: as sent, without scheme and host. headers: names in lower case; a repeated one joined by commas.
    keep_alive: whether the client wants another answer on this connection.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    keep_alive: bool = True
    takes_chunks: bool = True
    """False for HTTP/1.0."""

    @property
    def media_type(self) -> str:
        """The body's content type without parameters, lower case; empty if there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose body is known. headers: names in lower case, beyond those that every answer has."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that goes on: `write` sends pieces until it returns; the connection ends with it."""

    write: Callable[[Send], Awaitable[None]]
    content_type: str = EVENTS
    status: int = field(default=200, init=False)
    headers: tuple[tuple[str, str], ...] = ()


REASONS: Final[Mapping[int, str]] = {
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
"""Every status that the API gives (RFC 9110, section 15; 431: RFC 6585)."""
