"""What a simulated machine stands in: who looks on, who carries its messages, how long its workers take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from protocol.ledger.records import Block
from protocol.node.interface import Admitted, Outcome, Priority, Refusal
from protocol.sim.events import Schedule
from protocol.sim.services import NodeFactory, Services
from protocol.sim.upkeep import StoragePlan

if TYPE_CHECKING:
    from protocol.sim.host import Host

WALL_START_MS = 1_800_000_000_000
"""Wall clock at the beginning of every run."""


@dataclass(frozen=True, slots=True)
class WorkModel:
    """How long workers take, in microseconds: a base for each job, and so much for each item."""

    check_us: int = 60
    signature_us: int = 55
    execute_us: int = 200
    envelope_us: int = 40
    read_us: int = 150
    replay_us: int = 300
    slow_factor: int = 1


class Watcher(Protocol):
    """Who looks on: told before others can see it."""

    def booted(self, host: Host) -> None:
        """A life begins; the disk is as the node will find it."""
        ...

    def installed(self, host: Host) -> None:
        """A snapshot has become this disk's state and blocks; the node starts next."""
        ...

    def started(self, host: Host) -> None:
        """All that `start` gave has been carried out."""
        ...

    def said(self, host: Host, data: bytes) -> None:
        """A message leaves."""
        ...

    def appended(self, host: Host, height: int, block: Block) -> None:
        """A final block has reached the segments, not synced."""
        ...

    def executed(self, host: Host, height: int, outcomes: tuple[Outcome, ...]) -> None:
        """A final block has been executed: clients may now be told."""
        ...

    def answered(self, host: Host, ticket: int, results: tuple[Admitted | Refusal, ...]) -> None:
        """A client's envelopes were accepted or refused."""
        ...

    def broken(self, host: Host, words: str) -> None:
        """The node halted or failed."""
        ...


class Postman(Protocol):
    """The host's way to the network."""

    def send(self, source: int, to: tuple[bytes, ...], priority: Priority, data: bytes) -> None:
        """Carry one message to these nodes."""
        ...

    def disconnect(self, index: int, peer: bytes) -> None:
        """Close the connection between this host and a peer; it may be made again after a while."""
        ...

    def host_up(self, index: int) -> None:
        """Connect this host to those it can reach."""
        ...

    def host_down(self, index: int) -> None:
        """All connections of this host are gone."""
        ...


@dataclass(slots=True)
class Surroundings:
    """What all hosts of a run share."""

    schedule: Schedule
    services: Services
    factory: NodeFactory
    watcher: Watcher
    postman: Postman
    work: WorkModel
    blocks_at_start: int
    """How many of the newest blocks a node is given when it starts."""
    storage: StoragePlan = field(default_factory=StoragePlan)
