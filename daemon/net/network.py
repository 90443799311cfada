"""The network: the listener, the dialers, and which channel stands for each node.

Two nurseries, one inside the other. The inner one holds what leads to channels: accept loops, dialers, openings. The
outer one holds the channels. `stop` ends the inner one at once and lets the channels say goodbye; cancelling `run` cuts
all.

A channel that came about is *admitted* in one piece of code without an await: which of two stays (standing.py),
the table, the receiver's `connected` and `disconnected`. Everything else only leads there or from there.

Both sides of a pair dial, each for itself with growing pauses, and only while no channel stands: so a network heals
from whichever side can reach the other, and a node that starts finds all that are there in one round.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import trio

from daemon import limits
from daemon.net.budget import Budget
from daemon.net.connection import Connection
from daemon.net.counters import Counters, Traffic
from daemon.net.dialing import Backoff, dial
from daemon.net.doors import Doors, Place
from daemon.net.interface import (
    DialStatus,
    NetConfig,
    PeerAddress,
    PeerConnected,
    PeerDisconnected,
    PeerStatus,
    Policy,
    Receiver,
    address_text,
)
from daemon.net.opening import CHANNEL_KEY_BYTES, Channel, Identity, Judge, Opening, OpeningFailed, PeerRole, Remote
from daemon.net.session import open_channel
from daemon.net.standing import Changes, stays
from daemon.net.telling import Telling
from daemon.observe.lines import Limiter
from protocol import errors
from protocol.crypto.signing import SigningKey
from protocol.errors import OperatorFault, Refused
from protocol.node.interface import Priority
from protocol.wire.channel import Side


@dataclass(slots=True)
class _Standing:
    """A channel in the table."""

    connection: Connection
    event: PeerConnected
    since: float


@dataclass(slots=True)
class _Dialing:
    """How it goes with one dialed node."""

    address: PeerAddress
    attempts: int = 0
    failure: str = ""


class Network:
    """Channels with other nodes.

    identity: the node key, which every channel proves. policy: who is let in, and as what.
    receiver: told of peers and given their messages. random: for the pauses between dials.
    """

    def __init__(
        self,
        config: NetConfig,
        identity: SigningKey,
        network_id: bytes,
        policy: Policy,
        receiver: Receiver,
        *,
        random: Random,
        limiter: Limiter,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.counters = Counters()
        self._config = config
        self._identity = Identity(identity, network_id, random_bytes(CHANNEL_KEY_BYTES))
        self._own_key = identity.public
        self._policy = policy
        self._receiver = receiver
        self._random = random
        self._random_bytes = random_bytes
        self._telling = Telling(limiter, self.counters)
        self._doors = Doors(per_address_max=config.connections_per_address_max, half_open_max=config.half_open_max)
        self._table: dict[bytes, _Standing] = {}
        self._changes = Changes()
        self._penalties: dict[bytes, float] = {}
        self._dialing = {address.node_key: _Dialing(address) for address in config.dial}
        self._stopping = trio.Event()
        self._numbers = 0
        self._channels: trio.Nursery | None = None
        self._leading: trio.Nursery | None = None

    # -- Life ---------------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[list[tuple[str, int]]] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen, dial and serve until `stop`. Starts with the (host, port) pairs that it listens on.

        Raises OperatorFault if an address cannot be listened on.
        """
        listeners = await self._listen()
        async with trio.open_nursery() as self._channels:
            async with trio.open_nursery() as self._leading:
                for listener in listeners:
                    self._leading.start_soon(self._accept, listener)
                for target in self._config.dial:
                    if target.node_key != self._own_key:
                        self._leading.start_soon(self._dial_on, target)
                bound = [listener.socket.getsockname()[:2] for listener in listeners]
                self._telling.listening([address_text(*address) for address in bound])
                task_status.started(bound)
                await self._stopping.wait()
                self._leading.cancel_scope.cancel()
            for standing in list(self._table.values()):
                standing.connection.close(errors.STOPPING, "this node is shutting down")

    def stop(self) -> None:
        """End in order: no new channels, a goodbye on each that stands; `run` then returns."""
        self._stopping.set()

    async def _listen(self) -> list[trio.SocketListener]:
        listeners: list[trio.SocketListener] = []
        try:
            for host, port in self._config.listen:
                try:
                    listeners += await trio.open_tcp_listeners(port, host=host)
                except OSError as error:
                    words = f"cannot listen for other nodes at {host}:{port}: {(error.strerror or str(error)).lower()}"
                    raise OperatorFault(f"{words}; node.toml says where, as [peers] listen") from error
        except BaseException:
            for listener in listeners:
                listener.socket.close()
            raise
        return listeners

    # -- What others ask ----------------------------------------------------------------------------

    def send(self, peer: bytes, priority: Priority, data: bytes) -> bool:
        """Queue one message for a node. False if it is not connected or has no room; never waits."""
        standing = self._table.get(peer)
        return standing is not None and standing.connection.send(priority, data)

    def disconnect(self, peer: bytes, words: str) -> None:
        """The node broke the protocol: tell it so and end the channel; it may come back after a pause."""
        standing = self._table.get(peer)
        if standing is not None:
            standing.connection.close(errors.PEER_FAULT, words)

    def recheck(self) -> None:
        """Ask the policy again about everyone connected: keys may have been removed.

        A role that merely changed is told with the node's next channel.
        """
        for peer, standing in list(self._table.items()):
            verdict = self._policy(peer)
            if isinstance(verdict, str):
                standing.connection.close(errors.UNKNOWN_PEER, verdict)

    def peers(self) -> list[PeerStatus]:
        """Everyone connected."""
        now = trio.current_time()
        return [
            PeerStatus(each.event, now - each.since, tuple(each.connection.waiting_bytes), each.connection.traffic)
            for each in self._table.values()
        ]

    def dials(self) -> list[DialStatus]:
        """Every node that this one dials."""
        return [
            DialStatus(dialing.address, key in self._table, dialing.attempts, dialing.failure)
            for key, dialing in self._dialing.items()
        ]

    def traffic(self) -> Traffic:
        """All traffic since the start."""
        total = Traffic()
        total.add(self.counters.traffic)
        for standing in self._table.values():
            total.add(standing.connection.traffic)
        return total

    @property
    def half_open(self) -> int:
        """Accepted connections that have not proven a key."""
        return self._doors.half_open

    # -- Towards a channel --------------------------------------------------------------------------

    async def _accept(self, listener: trio.SocketListener) -> None:
        budget = Budget(limits.NET_ACCEPTS_PER_SECOND, limits.NET_ACCEPTS_BURST, trio.current_time())
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as fault:
                    self._telling.accept_failed(str(fault))
                    await trio.sleep(limits.NET_ACCEPT_PAUSE_SECONDS)
                    continue
                self.counters.accepted += 1
                self._at_the_door(stream)
                pause = budget.take(1, trio.current_time())
                if pause:
                    await trio.sleep(pause)

    def _at_the_door(self, stream: trio.SocketStream) -> None:
        assert self._leading is not None
        try:
            host, port = stream.socket.getpeername()[:2]
        except OSError:  # gone already
            stream.socket.close()
            return
        try:
            place = self._doors.enter(host, trio.current_time())
        except Refused as refusal:
            stream.socket.close()
            self._telling.turned_away(refusal.code, refusal.words, address_text(host, port))
        else:
            self._leading.start_soon(self._let_in, stream, place, address_text(host, port))

    async def _let_in(self, stream: trio.SocketStream, place: Place, address: str) -> None:
        """Open a channel on a connection that somebody made."""
        channel = None
        try:
            channel = await self._open(stream, Side.RESPONDER, self._judge, lambda: place.pause(trio.current_time()))
        except OpeningFailed as failure:
            self._telling.refused(failure, address)
        finally:
            if channel is None:
                place.leave()
                await trio.aclose_forcefully(stream)
        if channel is not None:
            place.proven()
            self._admit(stream, channel, address, place)

    async def _dial_on(self, target: PeerAddress) -> None:
        """Dial one node whenever no channel with it stands."""
        backoff = Backoff(self._random)
        pause = 0.0
        while True:
            await trio.sleep(pause)
            if target.node_key not in self._table:
                await self._attempt(self._dialing[target.node_key])
            if await self._stood(target.node_key) >= limits.NET_STEADY_SECONDS:
                backoff.reset()
            pause = backoff.pause()

    async def _stood(self, peer: bytes) -> float:
        """Wait while channels with a node stand; seconds since the first of them."""
        first = self._table.get(peer)
        while peer in self._table:
            await self._changes.wait()
        return 0.0 if first is None else trio.current_time() - first.since

    async def _attempt(self, dialing: _Dialing) -> None:
        target = dialing.address
        dialing.attempts += 1
        self.counters.dialed += 1

        def judge(remote: Remote) -> PeerRole:
            if remote.node_key != target.node_key:
                words = f"{target} answers as {remote.node_key.hex()}, configured is {target.node_key.hex()}"
                raise Refused(errors.UNEXPECTED_PEER, words)
            return self._judge(remote)

        try:
            stream = await dial(target.host, target.port)
            channel = None
            try:
                channel = await self._open(stream, Side.INITIATOR, judge)
            finally:
                if channel is None:
                    await trio.aclose_forcefully(stream)
        except OpeningFailed as failure:
            dialing.failure = f"{failure.code}: {failure.words}"
            if failure.code != errors.DUPLICATE_CONNECTION:
                self._telling.dial_failed(failure, target)
        else:
            dialing.failure = ""
            self._admit(stream, channel, str(target), None)

    async def _open(
        self, stream: trio.SocketStream, side: Side, judge: Judge, pause: Callable[[], float] = lambda: 0.0
    ) -> Channel:
        opening = Opening(self._identity, side, judge, random_bytes=self._random_bytes)
        try:
            return await open_channel(stream, opening, seconds=self._config.handshake_seconds, pause=pause)
        except OpeningFailed:
            raise
        except Exception as fault:  # strangers' bytes: a mistake of ours with them ends this connection and no more
            self._telling.opening_bug(fault)
            raise OpeningFailed(errors.INTERNAL_ERROR, "this node failed; its log says why") from fault

    def _judge(self, remote: Remote) -> PeerRole:
        """Whether a node may come in, as things stand. Raises Refused."""
        peer = remote.node_key
        if trio.current_time() < self._penalties.get(peer, 0.0):
            raise Refused(errors.PEER_FAULT, "you were disconnected for a fault a moment ago; come back later")
        role = self._policy(peer)
        if isinstance(role, str):
            raise Refused(errors.UNKNOWN_PEER, role)
        standing = self._table.get(peer)
        if standing is not None and stays(self._own_key, standing.connection.channel.remote, remote) is not remote:
            raise Refused(errors.DUPLICATE_CONNECTION, "a channel between us stands already")
        full = len(self._table) >= self._config.connections_max
        if standing is None and full and role is not PeerRole.VALIDATOR:
            raise Refused(errors.TOO_MANY_CONNECTIONS, f"{len(self._table)} nodes are connected")
        return role

    # -- The table ----------------------------------------------------------------------------------

    def _admit(self, stream: trio.SocketStream, channel: Channel, address: str, place: Place | None) -> None:
        """Put an open channel into the table, or say goodbye to it if another stays meanwhile; serve it in any case."""
        assert self._channels is not None
        remote = channel.remote
        connection = Connection(
            stream, channel, self._receiver, receive_bytes_per_second=self._config.receive_bytes_per_second
        )
        self._numbers += 1
        dialed = remote.side is Side.RESPONDER
        event = PeerConnected(remote.node_key, channel.role, self._numbers, address, dialed, channel.version)
        standing = _Standing(connection, event, trio.current_time())
        self._channels.start_soon(self._serve, standing, place)
        old = self._table.get(remote.node_key)
        if old is not None and stays(self._own_key, old.connection.channel.remote, remote) is not remote:
            connection.close(errors.DUPLICATE_CONNECTION, "a channel between us stands already")
            return
        if old is not None:
            old.connection.close(errors.CONNECTION_REPLACED, "a newer channel has taken its place")
            self._leave_table(old)
        self._table[remote.node_key] = standing
        self._telling.connected(event)
        self._receiver.connected(event)
        self._changes.happened()

    async def _serve(self, standing: _Standing, place: Place | None) -> None:
        try:
            await standing.connection.run()
        finally:
            if place is not None:
                place.leave()
            self._leave_table(standing)
            self.counters.traffic.add(standing.connection.traffic)

    def _leave_table(self, standing: _Standing) -> None:
        """A channel is over: if it was the one that stood, say so."""
        peer = standing.event.node_key
        if self._table.get(peer) is not standing:
            return
        del self._table[peer]
        ending = standing.connection.ending
        assert ending is not None, "a channel leaves the table when it ends"
        self.counters.ended[ending.code] += 1
        now = trio.current_time()
        if ending.code == errors.PEER_FAULT and not ending.by_peer:
            self._penalties = {key: until for key, until in self._penalties.items() if until > now}
            self._penalties[peer] = now + limits.NET_PENALTY_SECONDS
        event = PeerDisconnected(peer, standing.event.number, ending.code, ending.words, ending.by_peer)
        self._telling.disconnected(event, now - standing.since)
        self._receiver.disconnected(event)
        self._changes.happened()
