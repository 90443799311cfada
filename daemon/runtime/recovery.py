"""What the disk holds at a start, and the state brought up to it (L-24, L-26).

Order: the store is opened (journal read, torn tails cut and reported), the execute worker opens the state and writes
genesis into a new one, then blocks that the segments hold and the state does not are executed again, with a line of
progress every few seconds. Only then is the node made: its `Recovered` is a journal, the tail of the segments, and the
roots at the newest heights.

The state may also be *ahead* of the segments: they need not be synced when a block is executed. Then the node appends
those blocks again from its journal, and does not execute them again.

A journal that is not whole (absent, another id, damaged) makes a validator amnesiac (C-24): it is begun anew, keeps the
mark in its header over any number of restarts, and the node is told to follow and sign nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import structlog
import trio

from daemon.runtime.workers.executor import Executor
from daemon.store.directory import Store
from daemon.store.errors import SegmentDamaged
from daemon.store.history import HISTORY_NAME
from daemon.store.journal import JournalHealth, JournalState
from daemon.store.rows import StateReader
from daemon.store.segments import Segments
from protocol.codec import decode, encode
from protocol.errors import BrokenInvariant, OperatorFault
from protocol.ledger.closings import Closing
from protocol.ledger.genesis import Genesis
from protocol.ledger.index import read_base, read_roots
from protocol.ledger.records import Block, Header
from protocol.ledger.succession import beginning_height
from protocol.node.interface import Execute, JournalKind, JournalRecord
from protocol.node.recovery import journal_reaches
from protocol.node.setup import Recovered, recall_epochs

REPLAY_AHEAD_BLOCKS = 32
"""Blocks read before those in front of them are executed."""
_OF_AN_EARLIER_LOSS = frozenset({JournalKind.RESTORED, JournalKind.FORGOTTEN})
PROGRESS_SECONDS = 5.0


def read_execute(segments: Segments, height: int) -> Execute:
    """The `Execute` of a block in the segments. Raises BrokenInvariant if it is not there, SegmentDamaged."""
    data = segments.read(height)
    if data is None:
        raise BrokenInvariant(f"block {height} is to be executed and not in the segments")
    block = decode(Block, data)
    return Execute(height, block.header, block.batches)


def state_lost_words(directory: Path) -> str:
    """What to do where the blocks that the state is made from are not kept, in words."""
    return (
        f"move {directory / 'segments'}, {directory / 'state'} and {directory / HISTORY_NAME} away and start with"
        ' sync = "snapshot" in the [storage] of node.toml, or restore a backup; leave the journal where it is'
    )


async def replay(executor: Executor, segments: Segments, told: Callable[[int, int], None]) -> int:
    """Execute what the segments hold above the state; how many blocks that were. `told(height, last)` now and then."""
    height, last = await executor.opened(), segments.last_height
    first = height + 1
    if first < segments.first_height:
        words = f"the state is at height {height} and has to be made anew, and blocks below {segments.first_height}"
        raise OperatorFault(f"{words} are not kept here: {state_lost_words(segments.directory.parent)}")
    next_told = trio.current_time() + PROGRESS_SECONDS
    while height < last:
        height += 1
        executor.put(await trio.to_thread.run_sync(read_execute, segments, height))
        await executor.room(REPLAY_AHEAD_BLOCKS)
        if trio.current_time() >= next_told:
            next_told = trio.current_time() + PROGRESS_SECONDS
            told(height, last)
    await executor.drained()
    return max(0, last - first + 1)


def recovered(
    store: Store, reader: StateReader, genesis: Genesis, journal: tuple[JournalRecord, ...], *, forced: bool = False
) -> Recovered:
    """What the node is made from. The state is at or above the segments' last height. `forced` as in `Recovered`."""
    blocks = newest_blocks(store.segments, genesis.parameters.batch_ttl_max + 1)
    height = reader.height
    if height is None or height < store.segments.last_height:
        raise BrokenInvariant("the state was not brought up to the segments")
    first = beginning_height(genesis)
    lowest = min([decode(Header, decode(Block, data).header).executed.height for data in blocks[:1]], default=first)
    base = read_base(reader)
    whole_from = first if base is None else base.height  # below, a snapshot brings those that headers name (L-17)
    found = [(at, read_roots(reader, at)) for at in range(lowest, height + 1)]
    executed = tuple(roots.executed for _, roots in found if roots is not None)
    if any(roots is None and at >= whole_from for at, roots in found):
        raise BrokenInvariant(f"the state lacks roots between heights {lowest} and {height}")
    if would_vote(store.health, journal) and lost_its_end(store, reader, journal, first):
        journal = forget(store, journal)
    beginning = read_roots(reader, first)
    assert beginning is not None, "what the network begins with was written first"
    epochs = recall_epochs(genesis, reader, blocks[-1] if blocks else None)
    return Recovered(
        journal,
        tuple(blocks),
        executed,
        beginning.executed,
        epochs.sets,
        epochs.nodes,
        epochs.closings,
        tuple(_finalizations(store.segments, epochs.closings)),
        amnesiac=not store.health.remembers,
        forced=forced,
    )


def _finalizations(segments: Segments, closings: Sequence[Closing]) -> Iterator[bytes]:
    """Of closing blocks that are here and can be read: what peers in an ended epoch are answered with (C-21)."""
    for closing in closings:
        try:
            data = segments.read(closing.height)
        except SegmentDamaged:
            continue  # only answers are lost; what is damaged is told elsewhere
        finalization = None if data is None else decode(Block, data).finalization
        if finalization is not None:
            yield finalization


LOST_END: Final = "the journal lacks what was durable: a block that this node has executed, and its segments lack"


def lost_its_end(store: Store, reader: StateReader, journal: tuple[JournalRecord, ...], beginning: int = 0) -> bool:
    """Whether the journal was cut where it cannot tell by itself: see `journal_reaches`."""
    height, last = reader.height or 0, max(store.segments.last_height, beginning)
    if height <= last:
        return False
    hashes = {roots.header_hash for at in range(max(1, last), height + 1) if (roots := read_roots(reader, at))}
    newest = read_roots(reader, height)
    assert newest is not None, "the state has roots at its height"
    return not journal_reaches(journal, hashes, newest.header_hash)


def would_vote(health: JournalHealth, journal: Iterable[tuple[int, bytes]]) -> bool:
    """Whether a validator believes in this journal: nothing was ever lost, or it has come back from that (C-24)."""
    return health.remembers or any(kind == JournalKind.RESTORED for kind, _ in journal)


def without_earlier_returns(journal: Iterable[tuple[int, bytes]]) -> tuple[JournalRecord, ...]:
    """These records without what an earlier loss and return left: they spoke of a memory that is lost again (C-24)."""
    return tuple(JournalRecord(kind, data) for kind, data in journal if kind not in _OF_AN_EARLIER_LOSS)


def forget(store: Store, journal: tuple[JournalRecord, ...]) -> tuple[JournalRecord, ...]:
    """Begin the journal anew with the mark that it has a hole, before anything is signed (C-24); gives its records."""
    structlog.get_logger().error("journal_not_whole", words=LOST_END, records=len(journal))
    kept = without_earlier_returns(journal)
    store.journal.forget(LOST_END)
    store.journal.rotate(kept)
    store.journal.sync()
    store.health = store.journal.health
    return kept


def newest_blocks(segments: Segments, count: int) -> list[bytes]:
    """The last `count` blocks and down to one with a finalization, ascending, without their batches."""
    found: list[bytes] = []
    certified = False
    height = segments.last_height
    while height >= max(1, segments.first_height) and (len(found) < count or not certified):
        data = segments.read(height)
        assert data is not None, "heights are contiguous"
        block = decode(Block, data)
        found.append(encode(Block(block.header, (), block.finalization)))
        certified = certified or block.finalization is not None
        height -= 1
    return found[::-1]


def journal_records(store: Store) -> tuple[JournalRecord, ...]:
    """The journal's records. One that is not whole is reported, and begun anew with what of it still checks.

    But for what an earlier return from amnesia left there: it spoke of a memory that has been lost again since (C-24).
    """
    records = tuple(JournalRecord(kind, data) for kind, data in store.recovered)
    if store.health.remembers:
        return records
    begun_anew = store.health.state is not JournalState.WHOLE
    if begun_anew:
        records = without_earlier_returns(records)
    if not any(record.kind == JournalKind.RESTORED for record in records):
        log = structlog.get_logger()
        log.error("journal_not_whole", words=store.health.words, records=len(records))
    if begun_anew:
        store.journal.rotate(records)
        store.journal.sync()
    return records
