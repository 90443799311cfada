"""Conversations with nodes, without I/O: what is asked next, decided from what was answered.

Everything that decides in the client library is a generator. It yields a step and is sent what became of it:

| step | what the driver does | what it sends back |
|---|---|---|
| `Ask` | one HTTP exchange with one endpoint | `Answer`, or `NoAnswer` if there was none |
| `Pause` | waits | None |

and it returns the result, or raises. Three drivers run the same generators: `AsyncClient` on anyio, `Client` with plain
blocking calls, and tests with a scripted world and no time. So both clients behave alike by construction, and a test of
the decisions needs neither sockets nor sleeps. Time and chance come through `Surroundings`.

A stream of events is opened by a conversation, too; what to make of its pieces says following.py.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from random import Random
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question:
    """One HTTP request, wherever it goes. path: with its leading slash. query: parameters in order."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """Put a question to one endpoint, and wait for the whole answer at most so long.

    is_stream: the answer's body goes on; the driver keeps it open, and the `Answer` it sends back has none if it is
    good.
    """

    endpoint: str
    question: Question
    timeout_seconds: float
    is_stream: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer. retry_after_seconds: of the header `Retry-After`, None if there was none."""

    status: int
    body: bytes
    content_type: str = ""
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No whole answer came. may_have_arrived: False only if certainly nothing was sent."""

    words: str
    may_have_arrived: bool


Step = Ask | Pause
Reply = Answer | NoAnswer | None
Conversation = Generator[Step, Reply, T]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Time and chance, as the driver has them.

    monotonic_seconds: for waiting. wall_ms: milliseconds since 1970, for validity times. random: for jitter only.
    token_bytes: unpredictable bytes, for ids.
    """

    monotonic_seconds: Callable[[], float]
    wall_ms: Callable[[], int]
    random: Random
    token_bytes: Callable[[int], bytes]


def asked(step: Reply) -> Answer | NoAnswer:
    """What an `Ask` was answered with; a driver that answers it with nothing is our bug."""
    assert step is not None, "an Ask is answered"
    return step
