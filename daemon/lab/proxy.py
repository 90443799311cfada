"""The fault proxy: a place in user space between nodes, where lines are slow, lossy, one-way, or cut.

Every node that dials another dials a port of the proxy instead (`Proxy.listen`), so each way between two nodes passes
here, whoever dialed. A *direction* is what one node says to another, over all their connections; its `Condition` says
how that line is, and may be changed at any time: what is under way then obeys the new one.

**What TCP makes of faults.** Bytes of a connection are never left out or reordered: a lost packet is sent again, so
loss looks to a node like a stall (`stall_chance`: that a chunk waits so long first, when it is passed on). A line that
is `blocked` takes bytes, up to what the proxy and the system hold, and gives none: both ends believe in the connection
until they give it up; blocked in one direction only it is a one-way cut. A line that is `cut` breaks the connections
that stand and takes no new ones, as a firewall or a machine that is gone does. `corrupt_chance` turns one bit of a
chunk over, which the channel between nodes notices and ends on.

**Order and memory.** Each chunk is due at a time after it came, and never before the chunk ahead of it. At most
`HELD_BYTES` of one direction of a connection wait here; then the proxy reads no more, and TCP tells the sender.

Chance comes from a seeded generator, one a direction, so that a run meets the same faults in the same places as far as
real processes allow. What happened is counted (`Counted`): a fault that never struck was not tried.

Deliberately absent: what the bytes mean, packets, and the kernel's own emulation (netem), which many kernels lack.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

import trio

READ_BYTES: Final = 16_384
HELD_BYTES: Final = 1 << 20
"""A second at 8 Mbit/s: more would hide from the sender how slow the line is."""
CONNECT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Condition:
    """How a direction is.

    delay_seconds: of every chunk. tail_seconds: the mean of what chance adds to it, long-tailed (Pareto, bounded at 40
    means). stall_chance, stall_seconds: how often a chunk waits so long first, as after a lost packet. corrupt_chance:
    how often one bit of a chunk is turned over. bytes_per_second: at most; None for no bound. blocked: nothing passes.
    cut: connections end, and none is taken.
    """

    delay_seconds: float = 0.0
    tail_seconds: float = 0.0
    stall_chance: float = 0.0
    stall_seconds: float = 0.2
    corrupt_chance: float = 0.0
    bytes_per_second: int | None = None
    blocked: bool = False
    cut: bool = False

    def __post_init__(self) -> None:
        times = (self.delay_seconds, self.tail_seconds, self.stall_seconds)
        chances = (self.stall_chance, self.corrupt_chance)
        if any(not 0 <= time < math.inf for time in times) or any(not 0 <= chance <= 1 for chance in chances):
            raise ValueError("times are at least 0, chances from 0 to 1")
        if self.bytes_per_second is not None and self.bytes_per_second < 1:
            raise ValueError("a throttled line passes at least one byte a second")


CLEAR: Final = Condition()
_PARETO: Final = 1.5
_TAIL_MAX: Final = 40.0


@dataclass(slots=True)
class Counted:
    """What happened in a direction."""

    bytes_passed: int = 0
    connections: int = 0
    delayed: int = 0
    stalled: int = 0
    corrupted: int = 0
    cut: int = 0
    refused: int = 0


class Direction:
    """What one node says to another."""

    def __init__(self, chance: Random) -> None:
        self.counted = Counted()
        self._chance = chance
        self._condition = CLEAR
        self._changed = trio.Event()
        self._free_at = 0.0
        self.scopes: set[trio.CancelScope] = set()
        """Of the connections that pass here."""

    @property
    def condition(self) -> Condition:
        """How it is now."""
        return self._condition

    def become(self, condition: Condition) -> None:
        """From now on it is so; `cut` breaks the connections that stand."""
        self._condition = condition
        self._changed.set()
        self._changed = trio.Event()
        if condition.cut:
            self.counted.cut += len(self.scopes)
            for scope in self.scopes:
                scope.cancel()

    def wait_seconds(self) -> float:
        """How long a chunk that came now is under way, throttling apart; draws from chance."""
        now = self._condition
        seconds = now.delay_seconds
        if now.tail_seconds:
            mean = _PARETO / (_PARETO - 1) - 1
            seconds += now.tail_seconds * min(_TAIL_MAX, (self._chance.paretovariate(_PARETO) - 1) / mean)
        if now.stall_chance and self._chance.random() < now.stall_chance:
            self.counted.stalled += 1
            seconds += now.stall_seconds
        self.counted.delayed += seconds > 0
        return seconds

    def damaged(self, data: bytes) -> bytes:
        """The chunk as it arrives."""
        if not self._condition.corrupt_chance or self._chance.random() >= self._condition.corrupt_chance:
            return data
        self.counted.corrupted += 1
        at = self._chance.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << self._chance.randrange(8)]) + data[at + 1 :]

    async def passable(self, size: int) -> None:
        """Return when so many bytes may pass: the line is not blocked, and not busy with what came before."""
        while self._condition.blocked:
            await self._changed.wait()
        rate = self._condition.bytes_per_second
        if rate is not None:
            self._free_at = max(self._free_at, trio.current_time()) + size / rate
            await trio.sleep_until(self._free_at)


@dataclass(slots=True)
class _Waiting:
    """Chunks under way on one connection, each with the time at which it is due."""

    chunks: deque[tuple[float, bytes]] = field(default_factory=deque)
    held_bytes: int = 0
    ended: bool = False
    bell: trio.Event = field(default_factory=trio.Event)

    def ring(self) -> None:
        self.bell.set()
        self.bell = trio.Event()


async def carry(source: trio.abc.ReceiveStream, sink: trio.abc.HalfCloseableStream, direction: Direction) -> None:
    """Pass bytes on until the source ends; then the sink's sending side ends too. Raises what a broken stream does."""
    waiting = _Waiting()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_take, source, waiting, direction)
        await _give(sink, waiting, direction)


async def _take(source: trio.abc.ReceiveStream, waiting: _Waiting, direction: Direction) -> None:
    due = 0.0
    while data := bytes(await source.receive_some(READ_BYTES)):
        due = max(due, trio.current_time() + direction.wait_seconds())
        waiting.chunks.append((due, data))
        waiting.held_bytes += len(data)
        waiting.ring()
        while waiting.held_bytes >= HELD_BYTES:
            await waiting.bell.wait()
    waiting.ended = True
    waiting.ring()


async def _give(sink: trio.abc.HalfCloseableStream, waiting: _Waiting, direction: Direction) -> None:
    while True:
        while not waiting.chunks:
            if waiting.ended:
                await sink.send_eof()
                return
            await waiting.bell.wait()
        due, data = waiting.chunks[0]
        await trio.sleep_until(due)
        await direction.passable(len(data))
        await sink.send_all(direction.damaged(data))
        direction.counted.bytes_passed += len(data)
        waiting.chunks.popleft()
        waiting.held_bytes -= len(data)
        waiting.ring()


class Proxy:
    """All lines between the nodes of one network; nodes are named by any text. `seed` is of chance."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._directions: dict[tuple[str, str], Direction] = {}

    def direction(self, sender: str, receiver: str) -> Direction:
        """What `sender` says to `receiver`."""
        pair = (sender, receiver)
        if pair not in self._directions:
            self._directions[pair] = Direction(Random(f"{self._seed} {sender} {receiver}"))  # noqa: S311 - not secret
        return self._directions[pair]

    @property
    def directions(self) -> Mapping[tuple[str, str], Direction]:
        """All that were asked for, by sender and receiver."""
        return self._directions

    async def listen(
        self,
        dialer: str,
        dialed: str,
        target: tuple[str, int],
        *,
        host: str = "127.0.0.1",
        task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Take `dialer`'s connections to `dialed`, which listens at `target`, until cancelled; starts with the port."""
        out, back = self.direction(dialer, dialed), self.direction(dialed, dialer)

        async def accepted(client: trio.SocketStream) -> None:
            if out.condition.cut or back.condition.cut:
                out.counted.refused += 1
                return
            with trio.CancelScope() as scope:
                out.scopes.add(scope)
                back.scopes.add(scope)
                try:
                    await _join(client, target, out, back)
                finally:
                    out.scopes.discard(scope)
                    back.scopes.discard(scope)

        listeners = await trio.open_tcp_listeners(0, host=host)
        task_status.started(int(listeners[0].socket.getsockname()[1]))
        await trio.serve_listeners(accepted, listeners)


async def _join(client: trio.SocketStream, target: tuple[str, int], out: Direction, back: Direction) -> None:
    """Both directions of one connection, until either side breaks it or both have ended."""
    try:
        with trio.fail_after(CONNECT_SECONDS):
            server = await trio.open_tcp_stream(*target)
    except (OSError, trio.TooSlowError):
        return  # nobody listens: who dialled sees the connection end, as it would without a proxy
    out.counted.connections += 1
    back.counted.connections += 1
    async with server:
        try:
            async with trio.open_nursery() as both:
                both.start_soon(carry, client, server, out)
                both.start_soon(carry, server, client, back)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # one side is gone: so is the other, now
