"""Between the network and the node: events become inputs, and who is let in is decided (L-16, L-29).

Messages of consensus go to the urgent line of the inbox, all others to the bulk line, and each waits there for room:
the network then reads that peer's stream no further. Sync answers wait besides while many final blocks are still to
be written: a node that catches up takes in what its disk takes.

Who is let in: validators' and observers' nodes as the newest state says (genesis at first), those of the present
epoch's validators until it ends, observers that the operator named, and, for sync only, nodes whose address the
operator configured though this node does not know their key (its knowledge may be old).

**For sync only** means: of such a peer only the messages in `SYNC_MESSAGES` go on to the node, which prove themselves
or answer what was asked. Its votes and proposals are left out, not charged: it may be a validator of a set that this
node has yet to hear of, and would be cut off for statements that are good there. Envelopes that it passes on are left
out too: that is what observers may do, and nobody named it one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import asdict
from random import SystemRandom
from typing import Any, Final

import trio

from daemon.net.interface import NetConfig, PeerConnected, PeerDisconnected, PeerStatus
from daemon.net.network import Network
from daemon.net.opening import PeerRole
from daemon.observe.lines import Limiter
from daemon.runtime.edges import Running
from daemon.runtime.inbox import Inbox
from protocol.codec import kind_of
from protocol.consensus.statements import Certificate
from protocol.crypto.signing import SigningKey
from protocol.errors import CONNECTION_REPLACED
from protocol.ledger.genesis import Genesis, network_id
from protocol.ledger.records import Batch
from protocol.node.interface import PeerDown, PeerUp, Priority, Received
from protocol.wire import messages as wire
from protocol.wire import snapshot

SYNC_MESSAGES: Final = frozenset(
    {
        wire.Keepalive,
        wire.BlocksWanted,
        wire.BlockPart,
        wire.HeadersWanted,
        wire.HeaderFound,
        wire.BatchesWanted,
        Batch,
        wire.CertificatesWanted,
        Certificate,
        *snapshot.QUESTIONS,
        *snapshot.ANSWERS,
    }
)
"""What a peer for sync only may say."""
_SYNC_KINDS: Final = frozenset(kind for kind, cls in wire.MESSAGES.items() if cls in SYNC_MESSAGES)


class Admission:
    """Who is let in, and as what; words for who is not. It follows the state: `take_part` says what that says.

    observers: let follow by the operator, whatever the state says. configured: those whose address the operator gave.
    """

    def __init__(self, genesis: Genesis, observers: Collection[bytes], configured: Collection[bytes]) -> None:
        self._named = frozenset(observers)
        self._configured = frozenset(configured)
        self._validators = frozenset(validator.node_key for validator in genesis.validators)
        self._following = frozenset(observer.node_key for observer in genesis.observers)
        self._removed: frozenset[bytes] = frozenset()

    def take_part(self, validators: Collection[bytes], following: Collection[bytes]) -> None:
        """From now on these node keys are validators', and these may follow; who could and cannot is removed."""
        before = self._validators | self._following | self._removed
        self._validators, self._following = frozenset(validators), frozenset(following)
        self._removed = before - self._validators - self._following

    def __call__(self, node_key: bytes) -> PeerRole | str:
        """Its role, or why it is refused."""
        if node_key in self._validators:
            return PeerRole.VALIDATOR
        if node_key in self._following or node_key in self._named:
            return PeerRole.OBSERVER
        if node_key in self._removed:
            return "the members have removed this node key"
        if node_key in self._configured:
            return PeerRole.SYNC_ONLY
        return "this node key is of no validator or observer that this node knows"


class Receiver:
    """Turns what the network tells into inputs."""

    def __init__(self, inbox: Inbox, room: Callable[[], Awaitable[object]]) -> None:
        self._inbox = inbox
        self._room = room
        self._sync_only: set[bytes] = set()
        self.left_out = 0
        """Messages of peers for sync only that are not about sync."""

    def connected(self, event: PeerConnected) -> None:
        """A peer is there."""
        if event.role is PeerRole.SYNC_ONLY:
            self._sync_only.add(event.node_key)
        self._inbox.put_nowait(PeerUp(event.node_key))

    def disconnected(self, event: PeerDisconnected) -> None:
        """A peer is gone."""
        self._sync_only.discard(event.node_key)
        self._inbox.put_nowait(PeerDown(event.node_key, replaced=event.code == CONNECTION_REPLACED))

    async def message(self, peer: bytes, priority: Priority, data: bytes) -> None:
        """One message; returns when there is room for more."""
        if peer in self._sync_only and kind_of(data) not in _SYNC_KINDS:
            self.left_out += 1
            return
        if priority is Priority.SYNC:
            await self._room()
        await self._inbox.put(Received(peer, data), urgent=priority is Priority.CONSENSUS)


class Peers:
    """The network as the runtime sees it: an edge that also sends (`PeerNetwork`).

    observers: node keys that the operator lets follow. configured: those whose address the operator gave.
    """

    def __init__(
        self,
        config: NetConfig,
        identity: SigningKey,
        genesis: Genesis,
        limiter: Limiter,
        *,
        observers: Collection[bytes] = (),
        configured: Collection[bytes] = (),
    ) -> None:
        self._config = config
        self._identity = identity
        self._genesis = genesis
        self.policy = Admission(genesis, observers, configured)
        self._limiter = limiter
        self._network: Network | None = None
        self._receiver: Receiver | None = None
        self.addresses: list[tuple[str, int]] = []
        """Where it listens, once it does."""

    async def __call__(
        self, running: Running, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Listen, dial and serve until `stop`."""
        await self.serve(running.inbox, running.finals.room, task_status=task_status)

    async def serve(
        self,
        inbox: Inbox,
        room: Callable[[], Awaitable[object]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """The same for whoever takes what comes from `inbox`; `room` is awaited before sync answers are taken in."""
        self._receiver = Receiver(inbox, room)
        network = Network(
            self._config,
            self._identity,
            network_id(self._genesis),
            self.policy,
            self._receiver,
            random=SystemRandom(),
            limiter=self._limiter,
        )
        self._network = network
        async with trio.open_nursery() as nursery:
            self.addresses = await nursery.start(network.run)
            task_status.started()

    def send(self, peer: bytes, priority: Any, data: bytes) -> bool:
        """Queue one message; False if the peer is gone or has no room."""
        return self._network is not None and self._network.send(peer, priority, data)

    def take_part(self, validators: Collection[bytes], following: Collection[bytes]) -> None:
        """From now on these are let in; who is not any more is disconnected (L-29)."""
        self.policy.take_part(validators, following)
        if self._network is not None:
            self._network.recheck()

    def disconnect(self, peer: bytes, words: str) -> None:
        """The peer broke the protocol."""
        if self._network is not None:
            self._network.disconnect(peer, words)

    def stop(self) -> None:
        """A goodbye to each peer, and no new ones."""
        if self._network is not None:
            self._network.stop()

    def status(self) -> list[PeerStatus]:
        """Everyone connected."""
        return [] if self._network is None else self._network.peers()

    def numbers(self) -> dict[str, int]:
        """Counters by name: traffic, and what was refused."""
        if self._network is None or self._receiver is None:
            return {}
        numbers = {f"net_{name}": value for name, value in asdict(self._network.traffic()).items()}
        plain = {name: value for name, value in numbers.items() if isinstance(value, int)}
        return plain | {"net_sync_only_left_out": self._receiver.left_out}

    @property
    def network(self) -> Network | None:
        """For counters and dials."""
        return self._network
