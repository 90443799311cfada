"""What a node's workers do for it: check signatures, envelopes and batches, execute blocks.

In the daemon worker processes do this; here it is a call, carried out by the host after a delay. The
functions are the product's own, from `protocol.ledger`; only the verification of signatures goes through the
run's scheme. A test of the simulator itself brings other services and a scripted node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from protocol.ledger.genesis import Genesis
from protocol.ledger.members import Governed
from protocol.ledger.memory import MemoryTables
from protocol.ledger.records import Executed
from protocol.ledger.tables import Writes
from protocol.node.interface import (
    Admitted,
    BatchAccepted,
    Effect,
    Input,
    JournalRecord,
    Now,
    Outcome,
    Refusal,
    SignatureItem,
)
from protocol.node.setup import NodeSetup, NodeStatus, Recovered
from protocol.sim.signatures import Scheme


@dataclass(frozen=True, slots=True)
class Result:
    """What executing one block gives: what to write, the roots, and what became of each envelope."""

    writes: Writes
    executed: Executed
    outcomes: tuple[Outcome, ...]
    governed: Governed | None = None


class Services(Protocol):
    """The work of workers, for one network."""

    def new_tables(self, genesis: Genesis) -> tuple[MemoryTables, Executed]:
        """The state before the first block, and its roots."""
        ...

    def check_signature(self, item: SignatureItem) -> bool:
        """L-3, or its stand-in."""
        ...

    def check_envelopes(
        self, tables: MemoryTables, envelopes: tuple[bytes, ...], clock_ms: int, member: str | None
    ) -> tuple[Admitted | Refusal, ...]:
        """L-7, at the newest executed state, this clock (wall, ms) and the member whose node asks."""
        ...

    def check_batch(self, data: bytes) -> BatchAccepted | Refusal:
        """L-13."""
        ...

    def execute(self, tables: MemoryTables, height: int, header: bytes, batches: tuple[bytes, ...]) -> Result:
        """L-19: pure; the caller applies the writes."""
        ...


class AnyNode(Protocol):
    """What a host drives: the product's `Node`, a byzantine wrapper of one, or a test's script."""

    @property
    def wake_at_ms(self) -> int | None:
        """Monotonic time of the next tick, or None."""
        ...

    def start(self, now: Now) -> list[Effect]:
        """Once, first."""
        ...

    def step(self, given: Input, now: Now) -> list[Effect]:
        """The door."""
        ...

    def status(self) -> NodeStatus:
        """A snapshot."""
        ...

    def live_records(self) -> list[JournalRecord]:
        """What a truncated journal must begin with."""
        ...


class NodeFactory(Protocol):
    """Makes a node from its configuration and what its disk holds."""

    def __call__(self, setup: NodeSetup, recovered: Recovered) -> AnyNode:
        """A node that was not started yet."""
        ...


class MakeServices(Protocol):
    """Makes the services of one network."""

    def __call__(self, genesis: Genesis, scheme: Scheme) -> Services:
        """For a run with these signatures."""
        ...
