"""What a joiner still lacks: from the offer down to the last piece, each step naming the next.

    offer -> headers below its chain, downwards by their parents' hashes, to the lowest that is needed
          -> blocks of these headers, in runs of `BLOCKS_RUN`
          -> receipts of these blocks, in runs of `RECEIPTS_RUN`
          -> the state, from the root's hash through branches to pairs

`Gathering` holds wants (those of the trie last in, first out, so they stay few) and takes answers: each is checked
against what is known, becomes something to keep, and brings the wants that follow from it. It knows nothing of peers.
What is wrong raises `Malformed`, and nothing has changed.

Made from what is staged, it lacks exactly what is not there: that is how a joiner goes on after a crash.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from protocol.codec import decode, encode
from protocol.crypto.contexts import Context, Domain
from protocol.crypto.hashing import digest
from protocol.crypto.log_ranges import leaf_hash, verify_range
from protocol.crypto.signing import signing_message, verify_message
from protocol.crypto.trie import EMPTY_ROOT
from protocol.errors import Malformed
from protocol.ledger.closings import closes
from protocol.ledger.genesis import Genesis, network_id
from protocol.ledger.records import Batch, BatchBody, Block, Header, Receipt, batch_digest
from protocol.snapshot import pieces, staging
from protocol.snapshot.offers import Offered
from protocol.snapshot.pieces import Below
from protocol.snapshot.staging import Staged, staged_receipts
from protocol.snapshot.window import Window, is_needed, window_of
from protocol.wire.snapshot import PIECES_ASKED_MAX, FoundPiece, HeadersBelow, ReceiptsFound

BLOCKS_RUN: Final = 64
RECEIPTS_RUN: Final = 2_048

Kept = tuple[bytes, bytes]
"""A staging key and its value."""


class HeadersWant(NamedTuple):
    """Headers from this height downwards; the hash of the first."""

    height: int
    hash: bytes


class BlocksWant(NamedTuple):
    """Blocks [first, end)."""

    first: int
    end: int


class ReceiptsWant(NamedTuple):
    """Receipts [first, end) of the log."""

    first: int
    end: int


class PiecesWant(NamedTuple):
    """Pieces of the state."""

    below: tuple[Below, ...]


Want = HeadersWant | BlocksWant | ReceiptsWant | PiecesWant


@dataclass(slots=True)
class Progress:
    """How much of each is staged, less what is asked for again: pieces, blocks, receipts."""

    pieces: int = 0
    blocks: int = 0
    receipts: int = 0


@dataclass(slots=True)
class Gathering:
    """See the essay. Made by `begin`."""

    genesis: Genesis
    staged: Staged
    offered: Offered
    done: Progress = field(default_factory=Progress)
    window: Window | None = None
    _wants: deque[Want] = field(default_factory=deque)
    _pieces: list[Below] = field(default_factory=list)
    _state_time_ms: int | None = None
    _network_id: bytes = b""

    @staticmethod
    def begin(genesis: Genesis, staged: Staged, offered: Offered) -> Gathering:
        """What is lacking of this offer, given what is staged."""
        gathering = Gathering(genesis, staged, offered, _network_id=network_id(genesis))
        gathering._walk_headers()
        gathering._walk_pieces()
        return gathering

    # -- Wants --------------------------------------------------------------------------------------

    def next(self) -> Want | None:
        """Something to ask for, which now is the caller's to answer or to give back."""
        if self._wants:
            return self._wants.popleft()
        if self._pieces:
            asked = tuple(self._pieces[-PIECES_ASKED_MAX:])
            del self._pieces[-PIECES_ASKED_MAX:]
            return PiecesWant(asked)
        return None

    def give_back(self, want: Want) -> None:
        """It was not answered."""
        if isinstance(want, PiecesWant):
            self._pieces.extend(want.below)
        else:
            self._wants.appendleft(want)

    @property
    def lacking(self) -> bool:
        """Whether anything waits to be asked for."""
        return bool(self._wants or self._pieces)

    # -- Headers ------------------------------------------------------------------------------------

    def header(self, height: int) -> Header:
        """A header of the window, which is known."""
        chain = self.offered.headers
        if height >= chain[0].height:
            return chain[height - chain[0].height]
        data = self.staged.get(staging.header_key(height))
        assert data is not None, "headers are gathered downwards"
        return decode(Header, data)

    def _walk_headers(self) -> None:
        """Go down what is staged; ask for what is below, or go on to blocks and receipts."""
        below = self.offered.named_by
        while True:
            if self._is_lowest(below):
                self._lowest_found(below)
                return
            data = self.staged.get(staging.header_key(below.height - 1))
            if data is None or digest(Domain.HEADER, data) != below.parent:
                self._wants.append(HeadersWant(below.height - 1, below.parent))
                return
            below = decode(Header, data)
            self._note_time(below)

    def _note_time(self, header: Header) -> None:
        if header.height == self.offered.height:
            self._state_time_ms = header.time_ms

    def _is_lowest(self, header: Header) -> bool:
        """Whether nothing below this header is needed: it is the first of all, or the one before is not."""
        return header.height == 1 or not is_needed(self.offered, self.genesis.parameters, self._state_time_ms, header)

    def headers_found(self, want: HeadersWant, answer: HeadersBelow) -> list[Kept]:
        """Headers downwards, each the parent of the one above."""
        if answer.height != want.height:
            raise Malformed("height", "headers that were not asked for")
        hashed, height = want.hash, want.height
        kept: list[Kept] = []
        found: list[Header] = []
        for data in answer.headers:
            if digest(Domain.HEADER, data) != hashed:
                raise Malformed("headers", f"header {height} is not the parent of the one above it")
            header = decode(Header, data)
            if header.height != height:
                raise Malformed("headers", f"header {height} calls itself {header.height}")
            if height > self.offered.height and closes(header):
                raise Malformed("headers", "an epoch ends between the snapshot and its finalization")
            kept.append((staging.header_key(height), data))
            found.append(header)
            hashed, height = header.parent, height - 1
        for header in found:
            self._note_time(header)
            if self._is_lowest(header):
                self._lowest_found(header)
                return kept
        if found:
            self._wants.append(HeadersWant(height, hashed))
        else:
            self.give_back(want)
        return kept

    def _lowest_found(self, header: Header) -> None:
        """All headers are here: what they name can be asked for."""
        self.window = window = window_of(self.offered, header)
        for first in range(window.lowest, window.tip + 1, BLOCKS_RUN):
            self._want_blocks(first, min(first + BLOCKS_RUN, window.tip + 1))
        for first in range(window.first_receipt, window.log_size, RECEIPTS_RUN):
            self._want_receipts(first, min(first + RECEIPTS_RUN, window.log_size))

    def _want_blocks(self, first: int, end: int) -> None:
        """Ask for what is missing of a run, from the first to the last of it."""
        self.done.blocks += end - first
        missing = [at for at in range(first, end) if not self.staged.has(staging.block_key(at))]
        if missing:
            want = BlocksWant(missing[0], missing[-1] + 1)
            self._wants.append(want)
            self.done.blocks -= want.end - want.first

    def _want_receipts(self, first: int, end: int) -> None:
        lacking = first + sum(len(run.receipts) for run in staged_receipts(self.staged, first, end))
        self.done.receipts += lacking - first
        if lacking < end:
            self._wants.append(ReceiptsWant(lacking, end))

    # -- Blocks -------------------------------------------------------------------------------------

    def block_found(self, height: int, header_bytes: bytes, batches: Sequence[bytes]) -> Kept:
        """A block whose header is known: its batches, and their authors' signatures, which no digest covers."""
        header = self.header(height)
        if header_bytes != encode(header):
            raise Malformed("header", f"block {height} has another header than the final one")
        if len(batches) != len(header.references):
            raise Malformed("batches", f"block {height}: not as many batches as referenced")
        for reference, data in zip(header.references, batches, strict=True):
            batch = decode(Batch, data)
            if batch_digest(batch.body) != reference.digest or len(data) != reference.bytes:
                raise Malformed("batches", f"block {height}: a batch with another digest than referenced")
            if decode(BatchBody, batch.body).author != reference.author:
                raise Malformed("batches", f"block {height}: a batch by another author than referenced")
            message = signing_message(Context.BATCH, self._network_id, batch.body)
            if not verify_message(reference.author, message, batch.signature):
                raise Malformed("batches", f"block {height}: a bad signature of a batch's author")
        self.done.blocks += 1
        return staging.block_key(height), encode(Block(header_bytes, tuple(batches), None))

    def blocks_ended(self, want: BlocksWant, following: int) -> None:
        """The answer ended before the block `following`."""
        if following < want.end:
            self._wants.appendleft(BlocksWant(following, want.end))

    # -- Receipts -----------------------------------------------------------------------------------

    def receipts_found(self, want: ReceiptsWant, answer: ReceiptsFound) -> Kept | None:
        """A run of receipts under the log root of the offer; None if the answer has none."""
        size = self.offered.executed.log_size
        end = answer.first + len(answer.receipts)
        if answer.first != want.first or answer.size != size or end > want.end:
            raise Malformed("first", "receipts that were not asked for")
        if not answer.receipts:
            self.give_back(want)
            return None
        for data in answer.receipts:
            decode(Receipt, data)
        leaves = [leaf_hash(data) for data in answer.receipts]
        if verify_range(leaves, answer.first, size, answer.path, self.offered.executed.log_root) is None:
            raise Malformed("path", f"receipts from {answer.first} on that are not in the network's log")
        self.done.receipts += len(answer.receipts)
        if end < want.end:
            self._wants.appendleft(ReceiptsWant(end, want.end))
        return staging.receipts_key(answer.first), encode(answer)

    # -- State --------------------------------------------------------------------------------------

    def _walk_pieces(self) -> None:
        """Ask for what is missing of the trie, from the root down."""
        root = self.offered.executed.state_root
        stack = [] if root == EMPTY_ROOT else [Below(b"", root)]
        while stack:
            piece = stack.pop()
            data = self.staged.get(staging.piece_key(piece.prefix))
            if data is None:
                self._pieces.append(piece)
            else:
                self.done.pieces += 1
                stack.extend(pieces.children_of(piece.prefix, data))

    def pieces_found(self, want: PiecesWant, found: Sequence[FoundPiece]) -> list[Kept]:
        """Pieces in the order in which they were asked for, from the first on; the rest waits to be asked for again."""
        kept: list[Kept] = []
        below: list[Below] = []
        for piece, answered in zip(want.below, found, strict=False):
            if answered.prefix != piece.prefix:
                raise Malformed("pieces", "a piece that was not asked for")
            below += pieces.check(piece.prefix, piece.hash, answered.data)
            kept.append((staging.piece_key(piece.prefix), answered.data))
        if len(found) > len(want.below):
            raise Malformed("pieces", "more pieces than were asked for")
        self._pieces.extend(want.below[len(kept) :])
        self._pieces.extend(below)
        self.done.pieces += len(kept)
        return kept
