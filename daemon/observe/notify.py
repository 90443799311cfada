"""Telling the service manager how the node is: systemd's notify protocol over a unix datagram.

The whole protocol is one datagram of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names (sd_notify(3)), so
it is written out here; a library would be larger than this file and bring a C dependency or threads.

* `READY=1` once the node has recovered, its state is replayed, and it listens.
* `STATUS=` in words that `systemctl status` shows.
* `WATCHDOG=1` only while the node really advances: `Watchdog` is asked by the loop that would be stuck otherwise, and
  it pings only if each stage in which something waits has moved since it was asked before. So a process whose timers
  tick while its disk hangs is restarted, like one that does nothing at all.
* `STOPPING=1` when the orderly end begins, `EXTEND_TIMEOUT_USEC=` while a long start goes on.

Without `NOTIFY_SOCKET` nothing is sent and nothing is different. A message that cannot be delivered is dropped: the
service manager's trouble is not the node's.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Notifier:
    """Sends states to the service manager named by `environment`, if there is one."""

    __slots__ = ("_address", "watchdog_seconds")

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading @ names an abstract socket, whose address begins with a zero byte (unix(7)).
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_seconds = _watchdog_seconds(environment)

    def send(self, **states: str | int) -> None:
        """Send `NAME=value` lines; the names are sd_notify's, upper case."""
        if not self._address:
            return
        message = "\n".join(f"{name}={_one_line(str(value))}" for name, value in states.items())
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.setblocking(False)
            connection.sendto(message.encode(), self._address)

    def status(self, words: str) -> None:
        """What `systemctl status` shows."""
        self.send(STATUS=words)

    def ready(self, words: str) -> None:
        """The node has recovered and listens."""
        self.send(READY=1, STATUS=words)

    def still_starting(self, words: str, seconds: int) -> None:
        """The start goes on, and may take so long from now on."""
        self.send(STATUS=words, EXTEND_TIMEOUT_USEC=seconds * 1_000_000)

    def stopping(self, words: str) -> None:
        """The orderly end has begun."""
        self.send(STOPPING=1, STATUS=words)


class Stage(NamedTuple):
    """One place where work may wait: any value that changes when it moves, and whether nothing waits there."""

    moved: object
    idle: bool


class Watchdog:
    """Pings while every stage moves or is idle. `stages()` gives them as they are now, in one order."""

    __slots__ = ("_last", "_notifier", "_stages")

    def __init__(self, notifier: Notifier, stages: Callable[[], Sequence[Stage]]) -> None:
        self._notifier = notifier
        self._stages = stages
        self._last: Sequence[Stage] = ()

    @property
    def interval_seconds(self) -> float | None:
        """How often to call `look`; None if nobody watches."""
        seconds = self._notifier.watchdog_seconds
        return None if seconds is None else seconds / 3

    def look(self) -> bool:
        """Ping if nothing has stood still since the last look; whether it did. The first look always does."""
        now = self._stages()
        alive = not any(
            stage.moved == before.moved and not stage.idle for stage, before in zip(now, self._last, strict=False)
        )
        self._last = now
        if alive:
            self._notifier.send(WATCHDOG=1)
        return alive


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """The interval that the service manager expects, if it watches this very process (sd_watchdog_enabled(3))."""
    micros, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not micros.isdecimal() or (process and process != str(os.getpid())):
        return None
    return int(micros) / 1_000_000 or None


def _one_line(value: str) -> str:
    return " ".join(value.split())
