"""What both clients do with httpx: options, and its answers and failures as conversations know them."""

from __future__ import annotations

import ssl
import time
from typing import Any, Final

import httpx

from daemon import VERSION
from daemon.client.conversation import Answer, Ask, NoAnswer
from daemon.client.following import SILENCE_SECONDS
from protocol.limits import MIB, PROOF_BYTES_MAX

CONNECT_SECONDS: Final = 3.0
"""A node that is there accepts at once; one behind a dead link would hold up the next endpoint."""
CONNECTIONS_MAX: Final = 32
KEEPALIVE_SECONDS: Final = 30.0
"""Below a node's own patience with idle connections (75 s): the client lets go first, no request meets an end."""
ANSWER_BYTES_MAX: Final = PROOF_BYTES_MAX + MIB
"""The largest answer is a proof file."""


def options(urls: tuple[str, ...], tls: ssl.SSLContext | None) -> dict[str, Any]:
    """Keyword arguments of httpx.Client and httpx.AsyncClient.

    Nothing of the environment is used: no proxy and no password that somebody put there.
    """
    needs_tls = any(url.startswith("https:") for url in urls)
    return {
        "verify": (tls or ssl.create_default_context()) if needs_tls else False,
        "trust_env": False,
        "follow_redirects": False,
        "headers": {"user-agent": f"papilio-client/{VERSION}", "accept-encoding": "identity"},
        "limits": httpx.Limits(
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=CONNECTIONS_MAX,
            keepalive_expiry=KEEPALIVE_SECONDS,
        ),
    }


def request_of(client: httpx.Client | httpx.AsyncClient, ask: Ask) -> httpx.Request:
    """The request, with time-outs for each of its parts; the whole is bounded by who sends it."""
    question, patience = ask.question, ask.timeout_seconds
    read_seconds = SILENCE_SECONDS if ask.is_stream else patience
    timeout = httpx.Timeout(patience, connect=min(CONNECT_SECONDS, patience), read=read_seconds)
    return client.build_request(
        question.method,
        ask.endpoint + question.path,
        params=list(question.query),
        content=question.body or None,
        headers={"content-type": question.content_type} if question.content_type else None,
        timeout=timeout,
    )


def answer_of(response: httpx.Response, body: bytes) -> Answer:
    """A whole answer."""
    return Answer(
        response.status_code,
        body,
        response.headers.get("content-type", ""),
        retry_after(response.headers.get("retry-after")),
    )


def retry_after(text: str | None) -> float | None:
    """Seconds of a header Retry-After (RFC 9110, 10.2.3); a date is not what nodes send, and is ignored."""
    if text is None or not (text.isascii() and text.isdecimal() and len(text) <= 9):
        return None
    return float(text)


def no_answer(fault: httpx.HTTPError | TimeoutError | AnswerTooLarge) -> NoAnswer:
    """Why there was none, and whether something may have arrived."""
    never_sent = isinstance(fault, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    if isinstance(fault, httpx.TimeoutException | TimeoutError):
        words = "did not let us connect in time" if never_sent else "did not answer in time"
    elif isinstance(fault, httpx.ConnectError):
        words = f"cannot be reached ({fault})"
    else:
        words = str(fault) or type(fault).__name__
    return NoAnswer(words, may_have_arrived=not never_sent)


class AnswerTooLarge(Exception):
    """More than any node answers."""

    def __init__(self) -> None:
        super().__init__(f"answered more than {ANSWER_BYTES_MAX} bytes")


class Collected:
    """The pieces of an answer, bounded. Raises AnswerTooLarge, and TimeoutError past `until_seconds`."""

    def __init__(self, until_seconds: float | None = None) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._until = until_seconds

    def add(self, piece: bytes) -> None:
        """One more."""
        self._size += len(piece)
        if self._size > ANSWER_BYTES_MAX:
            raise AnswerTooLarge
        if self._until is not None and time.monotonic() > self._until:
            raise TimeoutError
        self._pieces.append(piece)

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self._pieces)
