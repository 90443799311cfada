"""From what was gathered to tables and blocks: what a node begins with that joins by a snapshot (L-7, L-20, L-21).

The tables then hold what executing all blocks would have left, as far as later execution, admission and proofs of new
things need it:

* STATE and TRIE whole, their root the offer's; PLACE and ALSO, which follow from the pages of added records;
* LOG: the complete subtrees that appending needs, and those of the window's receipts; its root the offer's;
* RECEIPT, TRANSACTION, HISTORY, SEEN, SEEN_EXPIRY of the window's blocks. Which envelopes became final, the receipts
  say; whose they are and until when they are remembered, the blocks;
* ROOTS of genesis and of the heights that the window's headers name: no later header names another one (L-17);
* META: height, ended epochs, from which block time on everything is indexed (L-9), and the *base*:
  below which height there is nothing.

What is missing is told by the base: older receipts, roots and blocks. Undo begins with the next block (L-20).

Everything is computed again from what is staged, and compared with the offer. A difference is damage on this disk
(`Malformed`): what is staged is then of no use, and is gathered anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from protocol.apps.registry import rules_at
from protocol.codec import decode, encode
from protocol.crypto import log
from protocol.crypto.log_ranges import leaf_hash, verify_range
from protocol.errors import BrokenInvariant, Malformed
from protocol.ledger.added import place_rows
from protocol.ledger.closings import closing_key, pack_closing
from protocol.ledger.envelope import ParsedEnvelope
from protocol.ledger.execution import parse_batch_of_block
from protocol.ledger.genesis import Genesis, network_id
from protocol.ledger.genesis_state import genesis_state
from protocol.ledger.index import (
    BASE_KEY,
    EXPIRING_TOGETHER,
    HEIGHT_KEY,
    INDEXED_FROM_KEY,
    PEAKS_KEY,
    Base,
    Roots,
    Seen,
    expiry_rows,
    history_key,
    log_key,
    log_rows,
    number_key,
    pack_base,
    pack_peaks,
    pack_roots,
    seen_key,
    seen_name,
    transaction_key,
    trie_key,
)
from protocol.ledger.records import Block, Header, Receipt, header_hash
from protocol.ledger.tables import Table, Writes
from protocol.proofs.records import ClosedEpoch
from protocol.snapshot import pieces, staging
from protocol.snapshot.gathering import Gathering
from protocol.snapshot.offers import EpochChain
from protocol.snapshot.staging import staged_epochs, staged_receipts
from protocol.wire.snapshot import SnapshotOffer

WRITES_IN_ONE: Final = 20_000
"""Rows given away at once."""


@dataclass(slots=True)
class Installing:
    """Fills tables and blocks from a complete gathering. put: takes writes, in order, to be applied one by one."""

    genesis: Genesis
    gathering: Gathering
    offer: SnapshotOffer
    epochs: EpochChain
    put: Callable[[Writes], None]
    _writes: Writes = field(default_factory=dict)
    _remembered: list[tuple[bytes, Seen]] = field(default_factory=list)

    # -- Tables -------------------------------------------------------------------------------------

    def tables(self) -> int:
        """Give all rows to `put`; the height of the state. Raises Malformed if what is staged is damaged."""
        self._state()
        self._window()
        self._facts()
        self._flush()
        return self.gathering.offered.height

    def _write(self, table: Table, key: bytes, value: bytes) -> None:
        self._writes[table, key] = value
        if len(self._writes) >= WRITES_IN_ONE:
            self._flush()

    def _flush(self) -> None:
        if self._writes:
            self.put(self._writes)
            self._writes = {}

    def _state(self) -> None:
        staged, root = self.gathering.staged, self.gathering.offered.executed.state_root
        spaces = rules_at(self.genesis, self.gathering.offered.height).spaces

        def put_pairs(found: list[pieces.Pair]) -> None:
            for pair in found:
                self._write(Table.STATE, pair.key, pair.value)
                for table, row in place_rows(spaces, pair.key, pair.value):
                    self._write(table, row, b"")

        def put_nodes(nodes: dict[bytes, bytes]) -> None:
            for position, node in nodes.items():
                self._write(Table.TRIE, trie_key(position), node)

        if pieces.raise_trie(lambda prefix: staged.get(staging.piece_key(prefix)), put_pairs, put_nodes) != root:
            raise Malformed("pieces", "the state has another root than its snapshot's")

    def _window(self) -> None:
        """Receipts with their leaves, beside the envelopes that they are of."""
        window, offered = self.gathering.window, self.gathering.offered
        assert window is not None, "the gathering is complete"
        state_time_ms = self.gathering.header(offered.height).time_ms
        envelopes: dict[int, tuple[ParsedEnvelope, ...]] = {}
        for index, data in self._receipts(window.first_receipt):
            receipt = decode(Receipt, data)
            self._write(Table.RECEIPT, number_key(index), data)
            self._write(Table.TRANSACTION, transaction_key(receipt.transaction, index), b"")
            if receipt.height < window.lowest:
                continue
            if receipt.height not in envelopes:
                envelopes = {receipt.height: self._envelopes(receipt.height)}
            there = envelopes[receipt.height]
            envelope = there[receipt.position] if receipt.position < len(there) else None
            if envelope is None or envelope.transaction != receipt.transaction:
                raise BrokenInvariant(
                    f"receipt {index} of the network's log is of no envelope of block {receipt.height}"
                )
            self._remember(index, envelope, state_time_ms)
        self._expiring()

    def _remember(self, index: int, envelope: ParsedEnvelope, state_time_ms: int) -> None:
        body = envelope.body
        self._write(Table.HISTORY, history_key(body.account, index), b"")
        seen = Seen(body.valid_until_ms, index)
        if seen.holds(state_time_ms):
            name = seen_name(body.account, body.id)
            self._write(Table.SEEN, seen_key(name, seen), b"")
            self._remembered.append((name, seen))
            if len(self._remembered) >= EXPIRING_TOGETHER:
                self._expiring()

    def _expiring(self) -> None:
        """When what was remembered last is forgotten again."""
        for (table, key), names in expiry_rows(self._remembered).items():
            self._write(table, key, names)
        self._remembered = []

    def _envelopes(self, height: int) -> tuple[ParsedEnvelope, ...]:
        block = self.block(height)
        header, network = decode(Header, block.header), network_id(self.genesis)
        parsed = [parse_batch_of_block(network, header, index, data) for index, data in enumerate(block.batches)]
        return tuple(envelope for batch in parsed for envelope in batch.envelopes)

    def _receipts(self, first: int) -> Iterator[tuple[int, bytes]]:
        """(log index, encoded receipt), ascending; the log's subtrees are written on the way."""
        executed = self.gathering.offered.executed
        newest: dict[int, tuple[int, bytes]] = {}
        """Level -> the newest complete subtree: all that appending reads."""

        def get(level: int, index: int) -> bytes | None:
            at, hashed = newest.get(level, (-1, b""))
            return hashed if at == index else None

        def keep(subtrees: dict[tuple[int, int], bytes], rows: dict[tuple[Table, bytes], bytes]) -> None:
            for (table, key), hashed in rows.items():
                self._write(table, key, hashed)
            newest.update({level: (index, hashed) for (level, index), hashed in subtrees.items()})

        size = first
        for run in staged_receipts(self.gathering.staged, first, executed.log_size):
            leaves = [leaf_hash(data) for data in run.receipts]
            before = verify_range(leaves, run.first, run.size, run.path, executed.log_root)
            if before is None or run.first != size or run.size != executed.log_size:
                raise Malformed("receipts", "a run of receipts is damaged")
            if size == first:
                # Of these no receipt comes along.
                keep(before, {(Table.LOG, log_key(*place)): hashed for place, hashed in before.items()})
            size, complete = log.append(get, size, leaves)
            keep(complete, log_rows(complete))
            yield from enumerate(run.receipts, run.first)
        if size != executed.log_size or log.root(get, size) != executed.log_root:
            raise Malformed("receipts", "receipts are missing")
        subtrees = {(level, index): hashed for level, (index, hashed) in newest.items()}
        self._write(Table.META, PEAKS_KEY, pack_peaks(subtrees, size))

    def _facts(self) -> None:
        window, offered = self.gathering.window, self.gathering.offered
        assert window is not None, "the gathering is complete"
        beginning = genesis_state(self.genesis, rules_at(self.genesis, 0)).writes
        zero = beginning[Table.ROOTS, number_key(0)]
        assert zero is not None
        self._write(Table.ROOTS, number_key(0), zero)
        for height in range(window.lowest, offered.named_by.height + 1):
            named = self.gathering.header(height).executed
            if named.height >= window.lowest:
                header = self.gathering.header(named.height)
                value = pack_roots(Roots(named, header_hash(header), header.time_ms))
                self._write(Table.ROOTS, number_key(named.height), value)
        for closing in self.epochs.closings:
            if closing.height <= offered.height:
                self._write(Table.META, closing_key(closing.epoch), pack_closing(closing))
        lowest = self.gathering.header(window.lowest)
        base = Base(offered.height, window.lowest, window.first_receipt, lowest.parent)
        self._write(Table.META, BASE_KEY, pack_base(base))
        indexed_from_ms = 0 if window.lowest == 1 else lowest.time_ms
        self._write(Table.META, INDEXED_FROM_KEY, number_key(indexed_from_ms))
        self._write(Table.META, HEIGHT_KEY, number_key(offered.height))

    def ended(self) -> Iterator[tuple[int, ClosedEpoch]]:
        """(epoch, how it ended) of every epoch before the state's: their blocks do not come along, but for the last."""
        for closing, closed in zip(self.epochs.closings, staged_epochs(self.gathering.staged), strict=False):
            if closing.height <= self.gathering.offered.height:
                yield closing.epoch, closed

    # -- Blocks -------------------------------------------------------------------------------------

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """(height, encoded `Block`) of the window, ascending, with the finalizations that were verified."""
        window, offered = self.gathering.window, self.gathering.offered
        assert window is not None, "the gathering is complete"
        closed = zip(self.epochs.closings, staged_epochs(self.gathering.staged), strict=False)
        finalizations = {closing.height: encode(ended.finalization) for closing, ended in closed}
        assert self.offer.finalization is not None, "the offer was verified"
        finalizations[offered.tip.height] = encode(self.offer.finalization)
        for height in range(window.lowest, window.tip + 1):
            block = self.block(height)
            yield height, encode(Block(block.header, block.batches, finalizations.get(height)))

    def block(self, height: int) -> Block:
        """A block of the window. Raises Malformed if it is damaged."""
        data = self.gathering.staged.get(staging.block_key(height))
        if data is None:
            raise Malformed("blocks", f"block {height} is missing")
        block = decode(Block, data)
        if decode(Header, block.header) != self.gathering.header(height):
            raise Malformed("blocks", f"block {height} has another header than the final one")
        return block
