"""Dialing: pauses that grow, and reaching one address.

Pauses double from the first to the longest, and each is drawn between half and one and a half of that, so that nodes
that lost each other at one moment do not come back at one moment. Randomness is given from outside.
"""

from __future__ import annotations

import os
import socket
from random import Random

import trio

from daemon import limits
from daemon.net.opening import OpeningFailed
from protocol import errors


class Backoff:
    """The pauses before the attempts to reach one peer, seconds."""

    __slots__ = ("_first", "_longest", "_next", "_random")

    def __init__(self, random: Random, pauses: tuple[float, float] = limits.NET_DIAL_PAUSE_SECONDS) -> None:
        self._random = random
        self._first, self._longest = pauses
        self._next = self._first

    def pause(self) -> float:
        """The next one."""
        pause = self._next * (0.5 + self._random.random())
        self._next = min(self._longest, 2 * self._next)
        return pause

    def reset(self) -> None:
        """Begin with the first again."""
        self._next = self._first


async def dial(host: str, port: int) -> trio.SocketStream:
    """A TCP connection. Raises OpeningFailed in words, also when it takes too long."""
    with trio.move_on_after(limits.NET_DIAL_SECONDS):
        try:
            return await trio.open_tcp_stream(host, port)
        except OSError as fault:
            words = f"{host}:{port} cannot be reached: {_cause(fault)}"
            raise OpeningFailed(errors.CONNECTION_LOST, words) from None
    raise OpeningFailed(errors.CONNECTION_LOST, f"{host}:{port} does not answer within {limits.NET_DIAL_SECONDS} s")


def _cause(fault: OSError) -> str:
    """The system's words of the first attempt: Trio's own say that all failed, or repeat the address."""
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None:
            lookup = isinstance(cause, socket.gaierror)
            return str(cause.strerror) if lookup else os.strerror(cause.errno)
        cause = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause.__cause__
    return str(fault)
