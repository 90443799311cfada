"""What a node is made from: its configuration, and what it finds on its disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from protocol.codec import decode
from protocol.crypto.signing import SigningKey
from protocol.ledger.closings import Closing, closings, sets_since
from protocol.ledger.genesis import Genesis, ValidatorSet, validator_set
from protocol.ledger.index import executed_height
from protocol.ledger.members import VALIDATORS, ValidatorNode
from protocol.ledger.records import Block, Executed, Header
from protocol.ledger.state import StateReader
from protocol.ledger.tables import Reader
from protocol.node.interface import JournalRecord

EPOCHS_RECALLED: Final = 64
"""Ended epochs that a node knows again after a start: for peers that are behind, and for keys to be erased."""


@dataclass(frozen=True, slots=True)
class NodeSetup:
    """Who this node is. `voting_key` is None for an observer; `seed` decides ties in gossip, nothing else.

    more_voting_keys: to be used in the epochs whose set has them, as `voting_key` is.
    pinned: (height, hash of the closing header there) that the operator knows for certain (C-23).
    life: 16 random bytes, drawn anew at each start of the process (C-24). Empty: nothing is asked of others at the
    start, and the caller vouches for the journal; for tools that step a node by hand.
    """

    genesis: Genesis
    node_key: bytes
    voting_key: SigningKey | None = None
    seed: int = 0
    more_voting_keys: tuple[SigningKey, ...] = ()
    pinned: tuple[int, bytes] | None = None
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
    sets: tuple[tuple[int, ValidatorSet], ...] = ()
    """What the state says of the next set: at the height that the newest block's header names as executed, then at each
    later height that changed it. None of these fields is needed while no epoch has ended and no set has changed."""
    nodes: tuple[ValidatorNode, ...] = ()
    """Whose the validators of `sets` and of the present epoch are."""
    closings: tuple[Closing, ...] = ()
    """Ended epochs, ascending, at least the newest of them."""
    closing_finalizations: tuple[bytes, ...] = ()
    """Encoded finalizations of blocks that closed them, as far as they are at hand."""
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
    validators: tuple[tuple[ValidatorNode, int], ...] = ()
    """Of the present epoch, in the order of its set, with their powers."""
    counters: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Epochs:
    """What the tables say of epochs, for the fields of `Recovered` of these names."""

    sets: tuple[tuple[int, ValidatorSet], ...]
    nodes: tuple[ValidatorNode, ...]
    closings: tuple[Closing, ...]


def recall_epochs(genesis: Genesis, reader: Reader, newest_block: bytes | None) -> Epochs:
    """From the tables of a state at or above `newest_block`: the last of the segments, encoded, or None."""
    if executed_height(reader) is None:
        return Epochs((), (), ())
    tip = None if newest_block is None else decode(Header, decode(Block, newest_block).header)
    sets = tuple(sets_since(reader, 0 if tip is None else tip.executed.height))
    ended = closings(reader, max(1, (1 if tip is None else tip.epoch) - EPOCHS_RECALLED))
    every = [validator_set(genesis), *(validators for _, validators in sets), *(one.validators for one in ended)]
    keys = sorted({entry.voting_key for validators in every for entry in validators.validators})
    state = StateReader(reader)
    known = [(key, state.get(VALIDATORS, (key,))) for key in keys]
    nodes = tuple(ValidatorNode(key, found.member, found.node_key) for key, found in known if found is not None)
    return Epochs(sets, nodes, tuple(ended))
