"""What faces the outside, as the runtime sees it: the network of peers, and whatever serves clients.

An edge is started once the node runs, gets everything it may use as `Running`, says when it listens, and ends by itself
once `service.stopping()` returns; after `SHUTDOWN_SECONDS` it is cancelled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import trio

from daemon.config.voting_keys import VotingKeys
from daemon.net.interface import PeerStatus
from daemon.observe.cpu import CpuClock
from daemon.observe.lines import Lines
from daemon.runtime.finals import Finals
from daemon.runtime.hands import Sender
from daemon.runtime.inbox import Inbox
from daemon.runtime.mender import Mender
from daemon.runtime.proving import Prover
from daemon.runtime.service import NodeService
from protocol.crypto.signing import SigningKey
from protocol.ledger.genesis import Genesis
from protocol.snapshot.keeping import Keep


class Edge(Protocol):
    """Something that faces the outside: started once the node runs, ends by itself once the service stops."""

    async def __call__(self, running: Running, *, task_status: trio.TaskStatus[None] = ...) -> None:
        """Run; call `task_status.started()` when it listens."""
        ...


class PeerNetwork(Sender, Edge, Protocol):
    """The channels to other nodes: an edge that also sends, and ends when it is told to."""

    async def serve(
        self,
        inbox: Inbox,
        room: Callable[[], Awaitable[object]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run for whoever takes what comes from `inbox`, before there is a node; `room` delays sync answers."""
        ...

    def stop(self) -> None:
        """End in order: a goodbye to each peer."""
        ...

    def take_part(self, validators: Collection[bytes], following: Collection[bytes]) -> None:
        """Node keys that are let in from now on: validators', and those that may follow."""
        ...

    def status(self) -> Sequence[PeerStatus]:
        """Everyone connected."""
        ...

    def numbers(self) -> dict[str, int]:
        """Counters by name."""
        ...


@dataclass(frozen=True, slots=True)
class RuntimeSetup:
    """Who runs, and where.

    node_key: public key of the channel. journal_id: as created with the node's key (C-24). member: whose node it is,
    None for an observer. verify_workers: processes, at least 1. voting_keys: where its keys are, to find the next and
    to erase the last (C-23). pinned: (height, hash) of a closing header that is known for certain.
    cpu: counts CPU time by part, if that is wanted.
    """

    directory: Path
    genesis: Genesis
    node_key: bytes
    voting_key: SigningKey | None
    journal_id: bytes | None
    member: str | None
    verify_workers: int = 1
    voting_keys: VotingKeys | None = None
    pinned: tuple[int, bytes] | None = None
    cpu: CpuClock | None = None
    join_by_snapshot: bool = False
    """Whether a directory without blocks gets a snapshot of the state first."""
    snapshot_slot_ms: int = 0
    """Of block time; a snapshot is made for each. 0: none are made."""
    keep: Keep = field(default_factory=Keep)
    """How many old blocks; everything by default."""

    @property
    def author_member(self) -> str | None:
        """Whose state quota is charged with what this node seals; None for a node that seals nothing."""
        return None if self.voting_key is None else self.member


@dataclass(slots=True)
class Running:
    """What edges are given of a node that runs."""

    setup: RuntimeSetup
    service: NodeService
    prover: Prover
    inbox: Inbox
    finals: Finals
    lines: Lines
    mender: Mender
