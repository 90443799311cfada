"""What the tests of the network share: nodes with fixed keys, openings run by hand, channels over memory streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from random import Random

import trio

from daemon.net.connection import Connection
from daemon.net.interface import NetConfig, PeerAddress, PeerConnected, PeerDisconnected
from daemon.net.network import Network
from daemon.net.opening import Channel, Identity, Judge, Opening, PeerRole, Remote
from daemon.observe.limited import Limited
from protocol.crypto.signing import SigningKey
from protocol.node.interface import Priority
from protocol.wire.channel import Side

NETWORK_ID = bytes([7]) * 32
PEOPLE = sorted((SigningKey(bytes([number]) * 32) for number in range(1, 9)), key=lambda key: key.public)
LOW, HIGH, OTHER = PEOPLE[:3]
"""Keys in the order of their public halves."""


def drawn(label: str) -> Callable[[int], bytes]:
    """Bytes that look random and are the same each time for one label."""
    state = [0]

    def draw(size: int) -> bytes:
        state[0] += 1
        return sha256(f"{label}/{state[0]}".encode()).digest()[:size]

    return draw


def identity(
    key: SigningKey, *, network_id: bytes = NETWORK_ID, run: str = "1", versions: tuple[int, int] = (1, 1)
) -> Identity:
    """What a process with this key says of itself; another `run` is another process."""
    return Identity(key, network_id, sha256(key.public + run.encode()).digest(), versions)


def welcome(_remote: Remote) -> PeerRole:
    """Lets everyone in."""
    return PeerRole.VALIDATOR


def opening(who: Identity, side: Side, judge: Judge = welcome, *, label: str = "") -> Opening:
    """One side; the same label gives the same ephemeral key."""
    return Opening(who, side, judge, random_bytes=drawn(f"{who.key.public.hex()}/{side.name}/{label}"))


@dataclass
class Wire:
    """Carries bytes between two openings, piece by piece, and keeps what went each way."""

    initiator: Opening
    responder: Opening
    cut: Callable[[bytes], Iterator[bytes]] = field(default=lambda data: iter((data,)))
    change: Callable[[Side, bytes], bytes] = field(default=lambda _side, data: data)
    sent: dict[Side, bytearray] = field(default_factory=lambda: {side: bytearray() for side in Side})
    faults: dict[Side, Exception] = field(default_factory=dict)
    """What each side raised."""

    def run(self) -> Wire:
        """Until nobody has anything to say."""
        ends = {Side.INITIATOR: self.initiator, Side.RESPONDER: self.responder}
        spoken = True
        while spoken:
            spoken = False
            for side in Side:
                spoken |= self._turn(side, ends[side], ends[Side(1 - side)])
        return self

    def _turn(self, side: Side, speaker: Opening, hearer: Opening) -> bool:
        data = speaker.take()
        if not data:
            return False
        data = self.change(side, data)
        self.sent[side] += data
        other = Side(1 - side)
        for piece in self.cut(data):
            if other not in self.faults:
                try:
                    hearer.receive(piece)
                except Exception as fault:  # noqa: BLE001 - looked at by the test
                    self.faults[other] = fault
        return True

    @property
    def channels(self) -> tuple[Channel, Channel]:
        """Both ends, initiator's first."""
        assert not self.faults, self.faults
        assert self.initiator.channel is not None
        assert self.responder.channel is not None
        return self.initiator.channel, self.responder.channel


def channel_pair(one: SigningKey = LOW, two: SigningKey = HIGH, *, label: str = "") -> tuple[Channel, Channel]:
    """Two ends of an open channel."""
    left = opening(identity(one), Side.INITIATOR, label=label)
    right = opening(identity(two), Side.RESPONDER, label=label)
    return Wire(left, right).run().channels


class Recorder:
    """A receiver that keeps what it is told; `gate` can be shut, by priority."""

    def __init__(self) -> None:
        self.messages: list[tuple[Priority, bytes]] = []
        self.events: list[PeerConnected | PeerDisconnected] = []
        self.senders: list[bytes] = []
        self._shut: dict[Priority, trio.Event] = {}
        self._changed = trio.Event()

    def shut(self, *priorities: Priority) -> None:
        """No room for these from now on."""
        for priority in priorities:
            self._shut[priority] = trio.Event()

    def open(self) -> None:
        """Room for all."""
        for event in self._shut.values():
            event.set()
        self._shut.clear()

    async def message(self, peer: bytes, priority: Priority, data: bytes) -> None:
        gate = self._shut.get(priority)
        if gate is not None:
            await gate.wait()
        self.messages.append((priority, data))
        self.senders.append(peer)
        self._happened()

    def connected(self, event: PeerConnected) -> None:
        self.events.append(event)
        self._happened()

    def disconnected(self, event: PeerDisconnected) -> None:
        self.events.append(event)
        self._happened()

    def _happened(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once it holds; asked again whenever something happened here."""
        while not condition():
            await self._changed.wait()

    def of(self, priority: Priority) -> list[bytes]:
        """Messages of one stream, in order."""
        return [data for stream, data in self.messages if stream is priority]

    @property
    def ups(self) -> list[PeerConnected]:
        """Who connected, in order."""
        return [event for event in self.events if isinstance(event, PeerConnected)]

    @property
    def downs(self) -> list[PeerDisconnected]:
        """Who went, in order."""
        return [event for event in self.events if isinstance(event, PeerDisconnected)]


@dataclass
class Bench:
    """Two connections over a pair of memory streams."""

    left: Connection
    right: Connection
    at_left: Recorder
    at_right: Recorder
    left_stream: trio.testing.MemorySendStream
    streams: tuple[trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream], ...]


def bench(**options: int) -> Bench:
    """Both ends, not running yet. `options` are the connections'."""
    one, two = channel_pair()
    streams = trio.testing.memory_stream_pair()
    at_left, at_right = Recorder(), Recorder()
    left = Connection(streams[0], one, at_left, **options)
    right = Connection(streams[1], two, at_right, **options)
    return Bench(left, right, at_left, at_right, streams[0].send_stream, streams)


def node(
    key: SigningKey,
    receiver: Recorder,
    *,
    dial: tuple[PeerAddress, ...] = (),
    network_id: bytes = NETWORK_ID,
    policy: Callable[[bytes], PeerRole | str] = lambda _key: PeerRole.VALIDATOR,
    **config: object,
) -> Network:
    """A network that listens on a free port of loopback."""
    settings = {"listen": (("127.0.0.1", 0),), "dial": dial} | config
    return Network(
        NetConfig(**settings),  # type: ignore[arg-type]
        key,
        network_id,
        policy,
        receiver,
        random=Random(1),
        limiter=Limited(),
    )


async def start(nursery: trio.Nursery, network: Network) -> tuple[str, int]:
    """Run it; where it listens (host, port)."""
    listening: list[tuple[str, int]] = await nursery.start(network.run)
    return listening[0]


@contextmanager
def within(seconds: float = 20) -> Iterator[None]:
    """A bound that only a failing test meets."""
    with trio.fail_after(seconds):
        yield


@dataclass
class Proxy:
    """Passes TCP through to `target`, keeps every byte, and may change what goes to the dialed side."""

    target: tuple[str, int] = ("", 0)
    captured: bytearray = field(default_factory=bytearray)
    change: Callable[[bytes], bytes] = field(default=lambda data: data)
    connections: int = 0
    gate: trio.Event | None = None
    """Connections wait for it, if there is one."""
    piece: int = 65_536
    """Bytes passed on at once."""

    __hash__ = object.__hash__

    async def run(self, task_status: trio.TaskStatus[tuple[str, int]] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        task_status.started(listener.socket.getsockname()[:2])
        await trio.serve_listeners(self._pass, [listener])

    async def _pass(self, near: trio.SocketStream) -> None:
        self.connections += 1
        if self.gate is not None:
            await self.gate.wait()
        far = await trio.open_tcp_stream(*self.target)
        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(partial(self._carry, near, far, changed=True, scope=nursery.cancel_scope))
            nursery.start_soon(partial(self._carry, far, near, changed=False, scope=nursery.cancel_scope))

    async def _carry(
        self, source: trio.SocketStream, sink: trio.SocketStream, *, changed: bool, scope: trio.CancelScope
    ) -> None:
        try:
            while data := await source.receive_some(self.piece):
                self.captured += data
                await sink.send_all(self.change(bytes(data)) if changed else data)
        except trio.BrokenResourceError:
            pass  # one side is gone: so is the other, now
        scope.cancel()


class CancelAt(trio.abc.Instrument):
    """Cancels a scope before the n-th step of any task."""

    def __init__(self, step: float, scope: trio.CancelScope) -> None:
        self.steps = 0
        self._step = step
        self._scope = scope

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.steps == self._step:
            self._scope.cancel()
        self.steps += 1
