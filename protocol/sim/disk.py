"""The disk of one simulated node: what survives a crash, and what does not.

Three things stand on it, as in a real directory (L-24 to L-26): the journal, the segments, the state. Each has
a part that was synced and a tail that was not. At a crash the generator decides how much of each tail the
platter has: nothing, some (torn), or all. A tail that was written out of order looks the same to a reader
that cuts at the first record that does not check, so only beginnings of the tail are kept.

Segments and state are synced apart, so after a crash either may be ahead. What the state lacks is executed
again from the segments before the node starts; what the segments lack the node appends again from its journal,
and does not execute again.

A node that joins by a snapshot first keeps what it gathers (`staging`), then gets tables and blocks from it at once:
both begin above the first height then, as blocks do after a pruning.

A rotation of the journal (L-24: truncated only behind synced segments) ends with a rename. A crash before
the rename is durable finds either file, whole.

Deliberately absent: bytes, offsets and checksums, which the real store's own tests crash at every write. Here
a record is there or not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from protocol.codec import decode, encode
from protocol.ledger.closings import Closing, closings
from protocol.ledger.index import read_roots
from protocol.ledger.memory import MemoryTables
from protocol.ledger.records import Block, Executed, Header
from protocol.ledger.tables import Writes
from protocol.node.interface import JournalKind, JournalRecord
from protocol.proofs.build import closed_by
from protocol.proofs.records import ClosedEpoch
from protocol.sim.events import chance
from protocol.sim.heights import Heights
from protocol.sim.snapshots import MadeSnapshot
from protocol.sim.staging import Staging


@dataclass(frozen=True, slots=True)
class DiskModel:
    """How a disk behaves. Times in microseconds."""

    sync_us: tuple[int, int] = (300, 700)
    """Shortest and longest sync."""
    maintenance_us: tuple[int, int] = (20_000, 400_000)
    """Time from a block's arrival in the segments to their sync, when nothing else asks for it."""
    rotate_records: int = 80
    """The journal is rotated when it holds so many records."""
    keep_nothing_per_mille: int = 400
    """How often a crash takes the whole un-synced tail; otherwise a random part of it stays."""


@dataclass(slots=True)
class StoredBlock:
    """One final block in the segments: its bytes; the same without batches; whether it carries a finalization."""

    data: bytes
    short: bytes
    finalized: bool


def stored_block(data: bytes) -> StoredBlock:
    """Of an encoded block."""
    block = decode(Block, data)
    return StoredBlock(data, encode(Block(block.header, (), block.finalization)), block.finalization is not None)


@dataclass(slots=True)
class Lost:
    """What a crash took, and left."""

    records: int = 0
    blocks: int = 0
    states: int = 0
    torn: bool = False
    """A tail was kept in part."""


@dataclass(slots=True)
class Disk:
    """Journal, segments and state of one node. Only the host that owns it writes."""

    model: DiskModel
    tables: MemoryTables
    genesis: Executed
    """The result at height 0, which `tables` begins with."""
    journal: list[JournalRecord] = field(default_factory=list)
    journal_synced: int = 0
    blocks: Heights[StoredBlock] = field(default_factory=Heights)
    """Final blocks; those below the first were pruned, or never came along with a snapshot."""
    blocks_synced: int = 0
    """Up to this height they are durable."""
    executed: Heights[Executed] = field(default_factory=Heights)
    """Results, up to the state's height; where the state came with a snapshot, from its height on."""
    executed_synced: int = 0
    ended: dict[int, ClosedEpoch] = field(default_factory=dict)
    """How epochs ended whose closing blocks are not in the segments: kept beside, by epoch."""
    made: dict[int, MadeSnapshot] = field(default_factory=dict)
    """Snapshots that are served, by the height of their state."""
    staged: Staging = field(default_factory=Staging)
    """What was gathered of a snapshot that is not installed yet."""
    failing: bool = False
    """Syncs fail: whoever asks for one learns that nothing is certain any more."""
    slow_factor: int = 1
    full: int = 0
    """So many faults keep it full."""
    unreadable: int = 0
    """So many faults keep blocks from being read."""
    damaged: dict[int, None] = field(default_factory=dict)
    """Heights whose block has a flipped bit: its checksum does not hold, so it is not served."""
    forget_certificates: bool = False
    """A planted bug for the checkers' tests: certificates do not reach the journal. Never set otherwise."""
    forgotten: bool = False
    """What the header of a real journal says when it was begun anew: memory was lost (C-24)."""
    rotating: list[JournalRecord] | None = None
    """The journal to come, while its rename may or may not be durable."""
    _undo: list[Writes] = field(default_factory=list)

    # -- Writing ------------------------------------------------------------------------------------

    def write(self, record: JournalRecord) -> None:
        """Add a record to the journal's un-synced tail."""
        self.journal.append(record)

    def append(self, data: bytes, block: Block) -> int:
        """Add a block (encoded, and decoded) to the un-synced tail of the segments; its height."""
        short = encode(Block(block.header, (), block.finalization))
        return self.blocks.add(StoredBlock(data, short, block.finalization is not None))

    def apply(self, writes: Writes, executed: Executed) -> None:
        """Take over the results of one block, not synced yet."""
        assert executed.height == self.executed.last + 1 <= self.blocks.last, "blocks are appended, then executed"
        get = self.tables.get
        self._undo.append({(table, key): get(table, key) for (table, key) in writes})
        self.tables.apply(writes)
        self.executed.add(executed)

    def sync_time_us(self, generator: Random) -> int:
        """How long the next sync takes."""
        low, high = self.model.sync_us
        return generator.randint(low, high) * self.slow_factor

    def segments_synced(self, blocks: int, states: int) -> None:
        """Blocks up to the height `blocks`, then states up to `states`, are durable from now on."""
        assert blocks <= self.blocks.last, "only what was written is synced"
        self.blocks_synced = max(self.blocks_synced, blocks)
        gained = states - self.executed_synced
        if gained > 0:
            del self._undo[:gained]
            self.executed_synced = states

    def sync_all(self) -> None:
        """All that was written is durable: a node that is stopped in order ends so."""
        self.journal_synced = len(self.journal)
        self.rotating = None
        self.segments_synced(self.blocks.last, self.executed.last)

    def rotated(self, written_since: int) -> None:
        """The new journal is durable; it goes on with the last `written_since` records of the old one, not synced."""
        assert self.rotating is not None
        tail = self.journal[len(self.journal) - written_since :]
        self.journal_synced = len(self.rotating)
        self.journal = self.rotating + tail
        self.rotating = None

    def begin(
        self,
        tables: MemoryTables,
        blocks: Heights[StoredBlock],
        executed: Heights[Executed],
        ended: dict[int, ClosedEpoch],
    ) -> None:
        """What a snapshot gave takes the place of what was here, durable at once."""
        assert not self.blocks, "only who has no blocks begins so"
        self.tables, self.blocks, self.executed, self.ended = tables, blocks, executed, ended
        self.blocks_synced, self.executed_synced = blocks.last, executed.last
        self.staged = Staging()
        self._undo.clear()

    # -- Losing and restoring all of it -------------------------------------------------------------

    def image(self) -> Disk:
        """A copy of what is durable, as a snapshot of the machine takes it; this disk goes on."""
        tables = self.tables.copy()
        copy = Disk(self.model, tables, self.genesis, forgotten=self.forgotten)
        copy.journal = self.journal[: self.journal_synced]
        copy.blocks = self.blocks.copy(self.blocks_synced)
        copy.ended, copy.made, copy.staged = dict(self.ended), dict(self.made), self.staged.image()
        for writes in reversed(self._undo):
            tables.apply(writes)
        copy.executed = self.executed.copy(self.executed_synced)
        copy.journal_synced = len(copy.journal)
        copy.blocks_synced, copy.executed_synced = copy.blocks.last, copy.executed.last
        return copy

    # -- Crashing and reading -----------------------------------------------------------------------

    def crash(self, generator: Random) -> Lost:
        """Keep what is durable, and of each tail as much as chance has it."""
        lost = Lost()
        self._crash_journal(generator, lost)
        blocks = self._kept(generator, self.blocks_synced, self.blocks.last, lost)
        lost.blocks = self.blocks.last - blocks
        self.blocks.cut_above(blocks)
        self.blocks_synced = blocks
        states = self._kept(generator, self.executed_synced, self.executed.last, lost)
        lost.states = self.executed.last - states
        for _ in range(lost.states):
            self.tables.apply(self._undo.pop())
        self.executed.cut_above(states)
        self._undo.clear()
        self.executed_synced = states
        self.staged.crash()
        return lost

    def _crash_journal(self, generator: Random, lost: Lost) -> None:
        renamed = self.rotating is not None and generator.randrange(2) == 1
        if renamed:
            assert self.rotating is not None
            lost.records = len(self.journal) - self.journal_synced
            self.journal = self.rotating
        else:
            kept = self._kept(generator, self.journal_synced, len(self.journal), lost)
            lost.records = len(self.journal) - kept
            del self.journal[kept:]
        self.rotating = None
        if self.forget_certificates:
            self.journal = [record for record in self.journal if record.kind != JournalKind.CERTIFICATE]
        self.journal_synced = len(self.journal)

    def _kept(self, generator: Random, synced: int, written: int, lost: Lost) -> int:
        assert synced <= written
        if written == synced or chance(generator, self.model.keep_nothing_per_mille):
            return synced
        kept = generator.randint(synced, written)
        lost.torn = lost.torn or synced < kept < written
        return kept

    def newest_blocks(self, count: int) -> tuple[bytes, ...]:
        """At least the newest `count` blocks, and down to the newest one with a finalization; without their batches."""
        first = max(self.blocks.first, self.blocks.last - count + 1)
        while first > self.blocks.first and not any(block.finalized for _, block in self.blocks.numbered(first)):
            first -= 1
        return tuple(block.short for _, block in self.blocks.numbered(first))

    def newest_results(self, blocks: tuple[bytes, ...]) -> tuple[Executed, ...]:
        """Results from the height on that the lowest of these blocks names as executed, up to the state's.

        Below the state of a snapshot those that headers name: the tables have them.
        """
        lowest = decode(Header, decode(Block, blocks[0]).header).executed.height if blocks else 0
        named = [read_roots(self.tables, at) for at in range(max(1, lowest), self.executed.first)]
        below = [roots.executed for roots in named if roots is not None]
        genesis = (self.genesis,) if lowest == 0 else ()
        return (*genesis, *below, *(result for _, result in self.executed.numbered(lowest)))

    def closed(self, closing: Closing) -> ClosedEpoch | None:
        """How an epoch ended, from its closing block or from what is kept beside."""
        stored = self.blocks.at(closing.height)
        return self.ended.get(closing.epoch) if stored is None else closed_by(stored.short, closing)

    def drop_below(self, height: int) -> None:
        """Old blocks go (pruning). How the epochs ended that they closed is kept beside, durable first."""
        for closing in closings(self.tables):
            closed = self.closed(closing) if closing.height < height else None
            if closed is not None:
                self.ended[closing.epoch] = closed
        self.blocks.drop_below(height)

    def read(self, first_height: int, count: int, bytes_max: int) -> tuple[bytes, ...]:
        """Up to `count` blocks from `first_height` on, as many as fit `bytes_max`, at least one if there is one.

        None from one on that cannot be read, or is not here.
        """
        found: list[bytes] = []
        size = 0
        for height in range(first_height, first_height + count):
            block = self.blocks.at(height)
            size += 0 if block is None else len(block.data)
            if block is None or self.unreadable or height in self.damaged or (found and size > bytes_max):
                break
            found.append(block.data)
        return tuple(found)
