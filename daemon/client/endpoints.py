"""Several endpoints, one of which is asked next: the last that answered, until it fails.

An endpoint that fails is left alone for a pause that doubles with each failure in a row, less a random half of it, so
that many clients do not come back at one moment (*jitter*); one that says `Retry-After` is left alone for as long as it
says, within a bound. The one with the earliest end of its pause is asked next; when all have one, the client waits for
that. One of another network is left out: it is never asked again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final
from urllib.parse import urlsplit

BACK_OFF_SECONDS_MIN: Final = 0.1
BACK_OFF_SECONDS_MAX: Final = 5.0
"""First and longest pause after failures: a restarting node is found again within seconds."""
RETRY_AFTER_SECONDS_MAX: Final = 60.0
"""Nobody keeps a client away for longer by one header."""


@dataclass(slots=True)
class _State:
    order: int
    failures: int = 0
    not_before_seconds: float = 0.0
    is_left_out: bool = False


class Endpoints:
    """The nodes' API addresses, and how each fared. Safe to share between threads: every change is one assignment."""

    def __init__(self, urls: Sequence[str], monotonic_seconds: Callable[[], float], random: Random) -> None:
        """urls: such as `http://127.0.0.1:8100`, distinct, the preferred first. Raises ValueError."""
        cleaned = [checked(url) for url in urls]
        if not cleaned or len(set(cleaned)) != len(cleaned):
            raise ValueError("a client needs one or several distinct endpoints")
        self._states = {url: _State(order) for order, url in enumerate(cleaned)}
        self._now = monotonic_seconds
        self._random = random
        self._preferred = cleaned[0]

    @property
    def urls(self) -> tuple[str, ...]:
        """All of them, in the order given."""
        return tuple(self._states)

    def next(self) -> tuple[str, float]:
        """Whom to ask next, and how many seconds to wait before that: for ever if all are left out."""
        now = self._now()

        def rank(url: str) -> tuple[float, bool, int]:
            state = self._states[url]
            pause = math.inf if state.is_left_out else max(0.0, state.not_before_seconds - now)
            return pause, url != self._preferred, state.order

        url = min(self._states, key=rank)
        return url, rank(url)[0]

    def leave_out(self, url: str) -> None:
        """It is none of this network's."""
        self._states[url].is_left_out = True

    def answered(self, url: str) -> None:
        """It works: prefer it from now on."""
        state = self._states[url]
        state.failures, state.not_before_seconds = 0, 0.0
        self._preferred = url

    def failed(self, url: str, retry_after_seconds: float | None = None) -> None:
        """It did not answer, or asked to be left alone."""
        state = self._states[url]
        pause = back_off_seconds(state.failures, self._random)
        if retry_after_seconds is not None:
            # As long as it says, and a little more, each client another little.
            pause = min(max(0.0, retry_after_seconds), RETRY_AFTER_SECONDS_MAX) + pause / 2
        state.failures += 1
        state.not_before_seconds = self._now() + pause
        if url == self._preferred:
            urls = self.urls
            self._preferred = urls[(state.order + 1) % len(urls)]


def back_off_seconds(failures: int, random: Random) -> float:
    """The pause after that many failures before this one: doubled each time, bounded, less a random half."""
    longest = min(BACK_OFF_SECONDS_MAX, BACK_OFF_SECONDS_MIN * float(1 << min(failures, 16)))
    return longest * (1 - random.random() / 2)


def checked(url: str) -> str:
    """The endpoint without a slash at its end. Raises ValueError for what is none; never with a password in it."""
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise ValueError("an endpoint with a user or password in it: a node knows no users, and addresses are logged")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is not an endpoint; one looks like http://127.0.0.1:8100")
    return url.rstrip("/")
