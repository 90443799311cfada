"""Whole nodes for tests: real store, real workers, real `Node`; between nodes, a network in memory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from daemon.observe.lines import Lines
from daemon.runtime.edges import Edge, Running, RuntimeSetup
from daemon.runtime.inbox import Inbox
from daemon.runtime.runtime import NodeRuntime
from daemon.store.directory import create
from protocol.ledger.genesis import DEFAULT_PARAMETERS, Genesis, network_id
from protocol.node.interface import PeerDown, PeerUp, Priority, Received
from tests.ledger.world import key, make_genesis
from tests.runtime.ledgers import envelope

FAST = replace(DEFAULT_PARAMETERS, delta_ms=20, retry_interval_ms=50, relay_delay_ms=50, idle_interval_ms=500)
FAR_MS = 600_000
JOURNAL_ID = bytes(range(16))


def genesis_of(members: int = 1) -> Genesis:
    """A network of so many validators, quick."""
    return make_genesis(members, FAST)


class Everything:
    """A limiter that lets all pass."""

    def allow(self, kind: str) -> int | None:
        return 0


def lines() -> Lines:
    return Lines(Everything(), lambda: 0)


class Switch:
    """The links between nodes in this process: a message sent is a message received, in order."""

    def __init__(self) -> None:
        self.ports: dict[bytes, Port] = {}


class Port:
    """One node's way to the others; a `PeerNetwork`."""

    def __init__(self, switch: Switch, node_key: bytes) -> None:
        self._switch = switch
        self._key = node_key
        self.running: Running | None = None
        self.sent: list[tuple[bytes, bytes]] = []
        self._stopped = trio.Event()

    def stop(self) -> None:
        self._stopped.set()

    def status(self) -> list[Any]:
        return []

    def numbers(self) -> dict[str, int]:
        return {"net_messages": len(self.sent)}

    async def __call__(
        self, running: Running, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        self.running = running
        others = dict(self._switch.ports)
        self._switch.ports[self._key] = self
        for other, port in others.items():
            running.inbox.put_nowait(PeerUp(other))
            if port.running is not None:
                port.running.inbox.put_nowait(PeerUp(self._key))
        task_status.started()
        try:
            await self._stopped.wait()
        finally:
            del self._switch.ports[self._key]
            for port in self._switch.ports.values():
                if port.running is not None:
                    port.running.inbox.put_nowait(PeerDown(self._key))

    async def serve(
        self,
        inbox: Inbox,
        room: Callable[[], Awaitable[object]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        raise AssertionError("no node here joins by a snapshot")

    def send(self, peer: bytes, priority: Priority, data: bytes) -> bool:
        port = self._switch.ports.get(peer)
        self.sent.append((peer, data))
        if port is None or port.running is None:
            return False
        port.running.inbox.put_nowait(Received(self._key, data), urgent=priority is Priority.CONSENSUS)
        return True

    def take_part(self, validators: Collection[bytes], following: Collection[bytes]) -> None:
        self.validators = frozenset(validators)

    def disconnect(self, peer: bytes, words: str) -> None:
        raise AssertionError(f"a peer was disconnected: {words}")


class Place:
    """A directory of a node, and who it is."""

    def __init__(self, directory: Path, genesis: Genesis, index: int = 0) -> None:
        self.directory = directory
        self.genesis = genesis
        self.index = index
        self.node_key = key(200 + index).public
        if not directory.exists():
            create(directory, network_id(genesis), JOURNAL_ID)

    def setup(self) -> RuntimeSetup:
        return RuntimeSetup(
            self.directory, self.genesis, self.node_key, key(300 + self.index), JOURNAL_ID, f"m{self.index}"
        )

    @asynccontextmanager
    async def running(self, switch: Switch | None = None, edges: tuple[Edge, ...] = ()) -> AsyncIterator[Life]:
        """Run it; stopped in order when the block is left without an exception."""
        port = Port(switch or Switch(), self.node_key)
        runtime = NodeRuntime(self.setup(), port, edges, lines())
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                running: Running = await nursery.start(runtime.run)
                yield Life(runtime, running, port)
                runtime.stop("the test is over")


class Life:
    """A node that runs."""

    def __init__(self, runtime: NodeRuntime, running: Running, port: Port) -> None:
        self.runtime = runtime
        self.service = running.service
        self.running = running
        self.port = port
        self.valid_until_ms = time.time_ns() // 1_000_000 + FAR_MS // 2

    async def submit(self, first: int, count: int) -> list[Any]:
        """Post so many envelopes, numbered from `first` on; the results."""
        return await self.service.submit(self.envelopes(first, count))

    def envelopes(self, first: int, count: int) -> list[bytes]:
        """The same ones for the same numbers in one life."""
        network = network_id(self.service.genesis)
        return [envelope(network, number, self.valid_until_ms) for number in range(first, first + count)]
