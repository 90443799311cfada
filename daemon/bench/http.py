"""HTTP/1.1 as a load generator needs it: one request after the other on a connection, as little work as possible.

The client library does much more for each request than a generator may spend on it: it would measure itself. What is
kept is what the nodes see: whole requests, connections that stay.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httptools
import trio

from daemon.bench.plans import Address

READ_BYTES: Final = 256 * 1024
PATIENCE_SECONDS: Final = 40.0
"""A node answers, or says that it cannot, well before that."""


class Lost(Exception):
    """The connection ended, or was never there."""


class HttpConnection:
    """One connection, open."""

    def __init__(self, stream: trio.SocketStream, address: Address) -> None:
        self._stream = stream
        self._host = f"{address[0]}:{address[1]}"
        self._pieces: list[bytes] = []
        self._whole = False
        self._parser: Any = None

    @classmethod
    async def open(cls, address: Address) -> HttpConnection:
        """Connect. Raises Lost."""
        try:
            return cls(await trio.open_tcp_stream(*address), address)
        except OSError as fault:
            raise Lost(str(fault)) from fault

    async def ask(self, method: str, path: str, body: bytes = b"", media_type: str = "") -> tuple[int, bytes]:
        """Status and body of the answer. Raises Lost, too if it takes longer than `PATIENCE_SECONDS`."""
        head = f"{method} {path} HTTP/1.1\r\nhost: {self._host}\r\n"
        if body:
            head += f"content-type: {media_type}\r\ncontent-length: {len(body)}\r\n"
        self._begin()
        with trio.move_on_after(PATIENCE_SECONDS):
            await self._send(head.encode() + b"\r\n" + body)
            while not self._whole:
                await self._feed()
            return self._parser.get_status_code(), b"".join(self._pieces)
        raise Lost("no answer in time")

    async def lines(self, path: str) -> AsyncIterator[list[bytes]]:
        """The lines of an endless answer, as many as have come. Raises Lost at its end."""
        self._begin()
        await self._send(f"GET {path} HTTP/1.1\r\nhost: {self._host}\r\n\r\n".encode())
        rest = b""
        while not self._whole:
            await self._feed()
            pieces, self._pieces = self._pieces, []
            *whole, rest = (rest + b"".join(pieces)).split(b"\n")
            if whole:
                yield whole
        raise Lost("the stream ended")

    def close(self) -> None:
        """Let go, at once."""
        self._stream.socket.close()

    def _begin(self) -> None:
        self._pieces, self._whole = [], False
        self._parser = httptools.HttpResponseParser(self)

    async def _send(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as fault:
            raise Lost("the connection ended") from fault

    async def _feed(self) -> None:
        try:
            data = await self._stream.receive_some(READ_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as fault:
            raise Lost("the connection ended") from fault
        if not data:
            raise Lost("the connection ended")
        self._parser.feed_data(bytes(data))

    # -- What the parser calls ----------------------------------------------------------------------

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        self._whole = True


class Pool:
    """Connections that are used again, to several nodes; at most `each_max` at once to one of them."""

    def __init__(self, targets: list[Address], each_max: int) -> None:
        self._targets = targets
        self._idle: list[list[HttpConnection]] = [[] for _ in targets]
        self._places = [trio.CapacityLimiter(each_max) for _ in targets]

    async def fill(self, each: int) -> None:
        """Connect beforehand, to each so often. Raises Lost."""
        for idle, address in zip(self._idle, self._targets, strict=True):
            idle.extend([await HttpConnection.open(address) for _ in range(each)])

    @asynccontextmanager
    async def connection(self, target: int) -> AsyncIterator[HttpConnection]:
        """A connection to that node, waiting for a free one if need be; it is kept if the block ends well."""
        async with self._places[target]:
            idle = self._idle[target]
            connection = idle.pop() if idle else await HttpConnection.open(self._targets[target])
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            idle.append(connection)
