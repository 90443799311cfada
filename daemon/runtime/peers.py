"""Between the network and the node: events become inputs, and who is let in is decided (L-16, L-29).

Messages of consensus go to the urgent line of the inbox, all others to the bulk line, and each waits there for room:
the network then reads that peer's stream no further. Sync answers wait besides while many final blocks are still to
be written: a node that catches up takes in what its disk takes.

Who is let in: validators and observers of genesis, observers that the operator named, and, for sync only, nodes whose
address the operator configured though this node does not know their key (its knowledge may be old).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from random import SystemRandom
from typing import Any

import trio

from daemon.net.interface import NetConfig, PeerConnected, PeerDisconnected, PeerStatus, Policy
from daemon.net.network import Network
from daemon.net.opening import PeerRole
from daemon.observe.lines import Limiter
from daemon.runtime.edges import Running
from daemon.runtime.finals import Finals
from daemon.runtime.inbox import Inbox
from protocol.crypto.signing import SigningKey
from protocol.ledger.genesis import Genesis, network_id
from protocol.node.interface import PeerDown, PeerUp, Priority, Received


def policy_of(genesis: Genesis, observers: Collection[bytes], configured: Collection[bytes]) -> Policy:
    """Who is let in, and as what; words for who is not."""
    validators = {validator.node_key for validator in genesis.validators}
    following = {observer.node_key for observer in genesis.observers} | set(observers)

    def judge(node_key: bytes) -> PeerRole | str:
        if node_key in validators:
            return PeerRole.VALIDATOR
        if node_key in following:
            return PeerRole.OBSERVER
        if node_key in configured:
            return PeerRole.SYNC_ONLY
        return "this node key is of no validator or observer that this node knows"

    return judge


class Receiver:
    """Turns what the network tells into inputs."""

    def __init__(self, inbox: Inbox, finals: Finals) -> None:
        self._inbox = inbox
        self._finals = finals

    def connected(self, event: PeerConnected) -> None:
        """A peer is there."""
        self._inbox.put_nowait(PeerUp(event.node_key))

    def disconnected(self, event: PeerDisconnected) -> None:
        """A peer is gone."""
        self._inbox.put_nowait(PeerDown(event.node_key))

    async def message(self, peer: bytes, priority: Priority, data: bytes) -> None:
        """One message; returns when there is room for more."""
        if priority is Priority.SYNC:
            await self._finals.room()
        await self._inbox.put(Received(peer, data), urgent=priority is Priority.CONSENSUS)


class Peers:
    """The network as the runtime sees it: an edge that also sends (`PeerNetwork`)."""

    def __init__(
        self, config: NetConfig, identity: SigningKey, genesis: Genesis, observers: Collection[bytes], limiter: Limiter
    ) -> None:
        self._config = config
        self._identity = identity
        self._genesis = genesis
        self._policy = policy_of(genesis, observers, {address.node_key for address in config.dial})
        self._limiter = limiter
        self._network: Network | None = None
        self.addresses: list[tuple[str, int]] = []
        """Where it listens, once it does."""

    async def __call__(
        self, running: Running, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Listen, dial and serve until `stop`."""
        network = Network(
            self._config,
            self._identity,
            network_id(self._genesis),
            self._policy,
            Receiver(running.inbox, running.finals),
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
        if self._network is None:
            return {}
        numbers = {f"net_{name}": value for name, value in asdict(self._network.traffic()).items()}
        return {name: value for name, value in numbers.items() if isinstance(value, int)}

    @property
    def network(self) -> Network | None:
        """For counters and dials."""
        return self._network
