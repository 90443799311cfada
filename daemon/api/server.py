"""The listening side: connections come, are counted, and end in order.

At most `connections_max` at once. When one more comes, the client that has been idle for longest is left, if that is
`API_IDLE_LEAST_SECONDS` or more: whoever asks comes before who only holds a connection (RFC 9112, section 9.5, lets a
server end an idle one at any time). If none is, the newcomer is told so and closed.

When the service stops, nothing new is accepted, idle clients are left, requests under way get their answers, streams
end by themselves; `run` returns when all have ended (the runtime has the last word on how long that may take).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

import trio

from daemon import limits
from daemon.api.connection import Connection, Handler
from daemon.api.counters import ApiCounters
from daemon.api.messages import PROBLEM, REASONS
from daemon.api.parsing import Bodies
from daemon.api.problems import Problem
from protocol.errors import API_BUSY, OperatorFault

BACKLOG = 1_024
"""Connections that the system holds until they are accepted: a burst of clients that come back at once."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where to listen. port 0: any free one."""

    host: str
    port: int
    connections_max: int


class Server:
    """See the essay."""

    def __init__(self, listening: Listening, handle: Handler, counters: ApiCounters) -> None:
        self._listening = listening
        self._handle = handle
        self._counters = counters
        self._bodies = Bodies()
        self._connections: set[Connection] = set()
        self._stopping = False

    async def run(
        self,
        stopped: Callable[[], Awaitable[None]],
        *,
        task_status: trio.TaskStatus[list[tuple[str, int]]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until `stopped` returns, then until all connections have ended. Starts with its addresses.

        Raises OperatorFault if it cannot listen.
        """
        place = self._listening
        try:
            listeners = await trio.open_tcp_listeners(place.port, host=place.host, backlog=BACKLOG)
        except OSError as error:
            words = f"cannot serve the API at {place.host}:{place.port}: {(error.strerror or str(error)).lower()}"
            raise OperatorFault(f"{words}; node.toml says where, as [api] listen") from error
        addresses = [listener.socket.getsockname()[:2] for listener in listeners]
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                accept = partial(trio.serve_listeners, self._accepted, listeners, handler_nursery=connections)
                await accepting.start(accept)
                task_status.started(addresses)
                await stopped()
                accepting.cancel_scope.cancel()  # which closes the listeners
            self._stopping = True
            for connection in list(self._connections):
                connection.stop()

    async def _accepted(self, stream: trio.SocketStream) -> None:
        if len(self._connections) >= self._listening.connections_max and not self._make_room():
            await self._turn_away(stream)
            return
        connection = Connection(stream, self._handle, self._bodies, self._counters)
        self._connections.add(connection)
        self._counters.connections_accepted += 1
        self._counters.connections = len(self._connections)
        try:
            if not self._stopping:
                await connection.run()
        finally:
            self._connections.discard(connection)
            self._counters.connections = len(self._connections)

    def _make_room(self) -> bool:
        """Leave the client that has been idle for longest. False if none has been long enough."""
        idle = [(since, one) for one in self._connections if (since := one.idle_since) is not None]
        since, longest = min(idle, key=itemgetter(0), default=(math.inf, None))
        if longest is None or trio.current_time() - since < limits.API_IDLE_LEAST_SECONDS:
            return False
        self._connections.discard(longest)
        longest.give_way()
        return True

    async def _turn_away(self, stream: trio.SocketStream) -> None:
        """One connection too many: a word, without reading what it wants."""
        self._counters.connections_refused += 1
        words = f"this API serves {self._listening.connections_max} connections at once, and has them"
        answer = Problem(API_BUSY, words).answer()
        head = f"HTTP/1.1 503 {REASONS[503]}\r\ncontent-type: {PROBLEM}\r\ncontent-length: {len(answer.body)}\r\n"
        with trio.move_on_after(limits.API_LINGER_SECONDS), suppress(trio.BrokenResourceError):
            await stream.send_all(head.encode() + b"connection: close\r\n\r\n" + answer.body)
