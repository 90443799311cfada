"""What a node is made from: its configuration, and what it finds on its disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.crypto.signing import SigningKey
from protocol.ledger.genesis import Genesis
from protocol.ledger.records import Executed
from protocol.node.interface import JournalRecord


@dataclass(frozen=True, slots=True)
class NodeSetup:
    """Who this node is. `voting_key` is None for an observer; `seed` decides ties in gossip, nothing else.

    life: 16 random bytes, drawn anew at each start of the process (C-24). Empty: nothing is asked of others at the
    start, and the caller vouches for the journal; for tools that step a node by hand.
    """

    genesis: Genesis
    node_key: bytes
    voting_key: SigningKey | None = None
    seed: int = 0
    life: bytes = b""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the disk holds at a start. A new node has no journal records and no blocks, and of `executed`
    the genesis state's result at height 0.

    journal: its records, oldest first (L-24).
    blocks: the newest final blocks of the segments (encoded `Block`, without batches where they are long:
        only header and finalization are read), ascending by height, at least the last `batch_ttl_max` + 1
        and down to the newest one with a finalization.
    executed: results of the newest executed heights, ascending, at least one; the last one is the state's height.
    """

    journal: tuple[JournalRecord, ...] = ()
    blocks: tuple[bytes, ...] = ()
    executed: tuple[Executed, ...] = ()
    genesis_executed: Executed | None = None
    """The genesis state's result (height 0); needed where `executed` does not begin with it and `blocks` is empty."""
    amnesiac: bool = False
    """The journal is absent, of another id, or damaged (C-24): follow, sign nothing until the others have answered.
    A `RESTORED` record in `journal` was written after that loss; whoever begins a journal anew leaves older ones out.
    """
    forced: bool = False
    """The operator commands an amnesiac to vote without a quorum of answers (C-24). Nothing for who remembers."""


@dataclass(slots=True)
class NodeStatus:
    """A snapshot for operators, the API and metrics."""

    epoch: int = 1
    view: int = 1
    leader: int = 0
    final_view: int = 0
    final_height: int = 0
    final_hash: bytes = b""
    final_time_ms: int = 0
    executed_height: int = 0
    state_root: bytes = b""
    log_size: int = 0
    log_root: bytes = b""
    covered_height: int = 0
    """Highest height that a final header's *executed* covers: receipts up to it are provable."""
    covering_height: int = 0
    """Height of that header, the newest with its own finalization."""
    pool_envelopes: int = 0
    pool_bytes: int = 0
    unordered_batches: int = 0
    peers: tuple[bytes, ...] = ()
    hears: tuple[bytes, ...] = ()
    syncing_to_height: int = 0
    voting: bool = False
    memory: str = "known"
    """C-24, of a validator: known, asking, amnesiac, or probation."""
    vote_floor: int = 0
    memory_missing: tuple[bytes, ...] = ()
    """Voting keys of validators whose answer is waited for; empty once a quorum has answered, or nothing is asked."""
    disk_full: bool = False
    """L-28: nothing is accepted until there is room."""
    counters: dict[str, int] = field(default_factory=dict)
