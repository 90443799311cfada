"""A stopped node's disk: locked, read, and its state brought to a height."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from daemon.config.node import Node
from daemon.runtime.recovery import lost_its_end, newest_blocks, without_earlier_returns
from daemon.runtime.workers.inherit import inherit
from daemon.runtime.workers.overlay import Overlay
from daemon.store.directory import StateAccess, Store, inherited_directory, open_directory
from daemon.store.history import read_ended
from daemon.store.journal import JournalState
from daemon.store.tables import StateStore
from protocol.apps.registry import rules_at
from protocol.codec import decode
from protocol.consensus.statements import Certificate
from protocol.errors import OperatorFault
from protocol.ledger.closings import Closing, closings
from protocol.ledger.execution import execute_block
from protocol.ledger.genesis import Genesis, network_id
from protocol.ledger.genesis_state import genesis_state
from protocol.ledger.records import Block, Header
from protocol.ledger.succession import Succession, beginning_height
from protocol.ledger.tables import Writes
from protocol.node.interface import JournalRecord
from protocol.node.setup import recall_epochs
from protocol.proofs.records import ClosedEpoch
from protocol.restart.reporting import Held

BLOCKS_AT_ONCE: Final = 64
ReadBlock = Callable[[int], bytes | None]
Tell = Callable[[str, int, int], None]
"""(what is done, how far, of how much)."""


def untold(_what: str, _done: int, _total: int) -> None:
    """For those who want no progress."""


@dataclass(frozen=True, slots=True)
class StoppedNode:
    """A node that does not run, and what its disk holds."""

    node: Node
    store: Store
    held: Held

    @property
    def last_height(self) -> int:
        """The last block in its segments."""
        return self.store.segments.last_height


@contextmanager
def stopped_node(node: Node, tell: Tell = untold) -> Iterator[StoppedNode]:
    """Lock and read the directory of `node`, its state brought up to its blocks.

    Raises InUse while it runs, OperatorFault, StoreFailed, SegmentDamaged.
    """
    genesis = node.network.genesis
    store = open_directory(node.data_directory, node.network.network_id, node.journal_id, state=StateAccess.WRITE)
    try:
        assert store.state is not None, "opened to write"
        inherited = inherited_directory(node.data_directory) / "state"
        bring_up(store.state, genesis, inherited, store.segments.read, store.segments.last_height, tell)
        yield StoppedNode(node, store, _held(genesis, store))
    finally:
        store.close()


def _held(genesis: Genesis, store: Store) -> Held:
    journal = tuple(JournalRecord(kind, data) for kind, data in store.recovered)
    short = newest_blocks(store.segments, 1)
    heights = [decode(Header, decode(Block, data).header).height for data in short]
    blocks = tuple(data for data in map(store.segments.read, heights) if data is not None)
    assert store.state is not None, "opened to write"
    with store.state.reader() as reader:
        epochs = recall_epochs(genesis, reader, short[-1] if short else None)
        closed = tuple(_ended(store, closing) for closing in closings(reader))
        lost = lost_its_end(store, reader, journal, beginning_height(genesis))
    if lost or store.health.state is not JournalState.WHOLE:
        journal = without_earlier_returns(journal)
    sets = tuple(validators for _, validators in epochs.sets)
    return Held(closed, blocks, journal, sets, store.health.remembers and not lost)


def _ended(store: Store, closing: Closing) -> ClosedEpoch:
    """How an epoch ended: kept beside the segments where these do not reach down to its closing block."""
    kept = read_ended(store.directory, closing.epoch)
    if kept is not None:
        return kept
    data = store.segments.read(closing.height)
    block = None if data is None else decode(Block, data)
    if block is None or block.finalization is None:
        words = f"block {closing.height} closed epoch {closing.epoch} and is not here with its finalization"
        raise OperatorFault(f"{words}: papilio store check")
    return ClosedEpoch(block.header, decode(Certificate, block.finalization), closing.validators)


def bring_up(
    state: StateStore, genesis: Genesis, inherited: Path, read: ReadBlock, height: int, tell: Tell = untold
) -> None:
    """Execute blocks until the state stands at `height`, or above it already.

    inherited: the state that a network began with, if it goes on from another. Raises OperatorFault where a block is
    missing, BrokenInvariant where one does not execute, Diverged, StateDamaged, DiskFull, StoreFailed.
    """
    network = network_id(genesis)
    if state.height is None and isinstance(genesis, Succession):
        inherit(state, genesis, inherited)
    elif state.height is None:
        state.commit([genesis_state(genesis, rules_at(genesis, 0)).writes], 0)
    while (at := state.height or 0) < height:
        last = min(height, at + BLOCKS_AT_ONCE)
        writes: list[Writes] = []
        with state.reader() as reader:
            overlay = Overlay(reader)
            for number in range(at + 1, last + 1):
                data = read(number)
                if data is None:
                    raise OperatorFault(f"block {number} is on none of the disks given: take another member's")
                block = decode(Block, data)
                header = decode(Header, block.header)
                rules = rules_at(genesis, number)
                done = execute_block(network, genesis.parameters, rules, overlay, header, block.batches)
                overlay.apply(done.writes)
                writes.append(done.writes)
        state.commit(writes, last)
        tell("executed", last, height)
