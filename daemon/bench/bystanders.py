"""Clients that cost a node something and want nothing of it: idle connections, and event streams read too slowly.

Both are what a node has to stand beside its load. While they are there, each node is asked on a new connection every
`HEALTH_SECONDS` whether it is ready: how long that takes, and what is not answered, is reported. An idle connection
that a node has ended (it was idle for too long, or gave its place to somebody who asks) is opened again, so their
number stays; a stream that a node has left is opened again, from the beginning.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from typing import Final

import trio

from daemon.bench.http import HttpConnection, Lost
from daemon.bench.plans import Address, BystandPlan, Seen

HEALTH_SECONDS: Final = 0.5
AGAIN_SECONDS: Final = 1.0
SLOW_BYTES_A_SECOND: Final = 4 * 1024
SLOW_BUFFER_BYTES: Final = 4 * 1024
OPENING_AT_ONCE: Final = 32
PATIENCE_SECONDS: Final = 10.0
FILES_OWN: Final = 128


class Bystanders:
    """One process of them."""

    def __init__(self, plan: BystandPlan) -> None:
        self._plan = plan
        self._opening = trio.CapacityLimiter(OPENING_AT_ONCE)
        self._open = 0
        self._all_open = trio.Event()
        self.seen = Seen.nothing(0)

    async def connect(self, nursery: trio.Nursery) -> None:
        """Return when as many are open as are wanted, or when that takes too long: what is open is in the report."""
        wanted = len(self._plan.targets) * (self._plan.idle + self._plan.slow)
        _allow_files(wanted + FILES_OWN)
        for address in self._plan.targets:
            for _ in range(self._plan.idle):
                nursery.start_soon(self._stay, address, wanted)
            for _ in range(self._plan.slow):
                nursery.start_soon(self._read_slowly, address, wanted)
        with trio.move_on_after(PATIENCE_SECONDS + wanted / 100):
            if wanted:
                await self._all_open.wait()

    async def run(self, nursery: trio.Nursery) -> None:
        """Ask each node now and then how it is."""
        for address in self._plan.targets:
            nursery.start_soon(self._ask_health, address)

    def _opened(self, wanted: int) -> None:
        self._open += 1
        self.seen.bystanders["opened"] = self.seen.bystanders.get("opened", 0) + 1
        if self._open >= wanted:
            self._all_open.set()

    def _ended(self, what: str) -> None:
        self._open -= 1
        self.seen.bystanders[what] = self.seen.bystanders.get(what, 0) + 1

    async def _stay(self, address: Address, wanted: int) -> None:
        """Be an idle connection, for ever."""
        while True:
            try:
                async with self._opening:
                    stream = await trio.open_tcp_stream(*address)
            except OSError:
                await trio.sleep(AGAIN_SECONDS)
                continue
            async with stream:
                self._opened(wanted)
                said = b""
                with contextlib.suppress(trio.BrokenResourceError):
                    said = await stream.receive_some(1)  # its end, or why there is no room: nothing was asked
                self._ended("idle turned away" if said else "idle ended by the node")
            await trio.sleep(AGAIN_SECONDS)

    async def _read_slowly(self, address: Address, wanted: int) -> None:
        """Follow all that becomes final, and take it a piece a second."""
        while True:
            try:
                stream = await _narrow_stream(address)
            except OSError:
                await trio.sleep(AGAIN_SECONDS)
                continue
            async with stream:
                self._opened(wanted)
                with contextlib.suppress(trio.BrokenResourceError):
                    await stream.send_all(f"GET /v1/events HTTP/1.1\r\nhost: {address[0]}\r\n\r\n".encode())
                    while await stream.receive_some(SLOW_BYTES_A_SECOND):  # noqa: ASYNC110 - slow on purpose
                        await trio.sleep(1)
                self._ended("slow streams left by the node")
            await trio.sleep(AGAIN_SECONDS)

    async def _ask_health(self, address: Address) -> None:
        while True:
            began = time.monotonic()
            status = 0
            with trio.move_on_after(PATIENCE_SECONDS), contextlib.suppress(Lost):
                status = await _health(address)
            self.seen.health.append((began, time.monotonic() - began, status))
            await trio.sleep(HEALTH_SECONDS)


async def _health(address: Address) -> int:
    """The status of the answer, on a connection of its own. Raises Lost."""
    connection = await HttpConnection.open(address)
    try:
        status, _ = await connection.ask("GET", "/v1/health/ready")
    finally:
        connection.close()
    return status


async def _narrow_stream(address: Address) -> trio.SocketStream:
    """A connection with little room for what was not read: what waits, waits at the node."""
    narrow = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
        await narrow.connect(address)
    except BaseException:
        narrow.close()
        raise
    return trio.SocketStream(narrow)


def _allow_files(wanted: int) -> None:
    """As many open files as are needed, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        best = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (best, hard))
