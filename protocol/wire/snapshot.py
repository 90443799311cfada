"""What nodes say to each other about snapshots (kinds 80 to 91): questions, answers, and what a piece of state is.

Nothing here is believed because of who sent it: each answer is checked against what was verified before it
(`protocol.snapshot`), so it may come from any peer and in any order. An answer without content says that the peer
does not have what was asked for.
"""

from __future__ import annotations

from typing import Annotated, Final

from protocol import limits
from protocol.codec import U53, U63, Hash, Items, Octets, Range, record, structure
from protocol.consensus.statements import Certificate
from protocol.proofs.records import ClosedEpoch, HeaderBytes

CHAIN_MAX: Final = 64
"""Headers from the one that names a snapshot's results up to one with a finalization of its own."""
CHAIN_BYTES_MAX: Final = 512 * limits.KIB
"""...and their bytes: a peer's offers are kept while joining lasts."""
PIECES_ASKED_MAX: Final = 8
HEADERS_ASKED_MAX: Final = 256
RECEIPTS_ASKED_MAX: Final = 4_096
EPOCHS_ASKED_MAX: Final = 256
PIECE_BYTES: Final = 96 * limits.KIB
"""Keys and values of one piece: more, and it is split at the next nibble."""
PIECE_PAIRS: Final = 4_096
PIECE_DATA_MAX: Final = PIECE_BYTES + 8 * PIECE_PAIRS + limits.STATE_KEY_BYTES_MAX + limits.STATE_VALUE_BYTES_MAX
"""An encoded piece; a single pair is never split."""

Nibbles = Annotated[bytes, Octets(0, limits.TRIE_DEPTH_MAX)]
"""A prefix of paths in the state trie, one nibble a byte."""


@record(kind=80, bytes_max=64)
class SnapshotsWanted:
    """Which snapshots of the state do you serve?"""

    above_height: U53
    """Only those of greater heights."""


@record(kind=81)
class SnapshotOffer:
    """A snapshot of the state at `height`, and why to believe that this was the network's state.

    chain: headers, each the parent of the next: the first names the results at `height` (L-17), the last has the
    finalization. height 0: there is none here, `chain` is empty. pieces: how many there are, a hint for progress.
    """

    height: U53
    chain: Annotated[tuple[HeaderBytes, ...], Items(0, CHAIN_MAX)]
    finalization: Certificate | None
    pieces: U53


@record(kind=82, bytes_max=64)
class EpochsWanted:
    """How did the epochs from this one on end (C-22)?"""

    first_epoch: Annotated[int, Range(1, limits.U53_MAX)]


@record(kind=83)
class EpochsFound:
    """How epochs ended, ascending from `first_epoch`: as many as fit."""

    first_epoch: Annotated[int, Range(1, limits.U53_MAX)]
    closed: Annotated[tuple[ClosedEpoch, ...], Items(0, EPOCHS_ASKED_MAX)]


@record(kind=84, bytes_max=1024)
class PiecesWanted:
    """Send me these pieces of the snapshot at `height`, by the nibbles that their paths begin with."""

    height: U53
    prefixes: Annotated[tuple[Nibbles, ...], Items(1, PIECES_ASKED_MAX)]


@structure
class FoundPiece:
    """A piece: an encoded `TrieBranch` or `TriePairs`."""

    prefix: Nibbles
    data: Annotated[bytes, Octets(1, PIECE_DATA_MAX)]


@record(kind=85)
class PiecesFound:
    """The pieces asked for, in their order, as many as fit."""

    height: U53
    pieces: Annotated[tuple[FoundPiece, ...], Items(0, PIECES_ASKED_MAX)]


@record(kind=86, bytes_max=64)
class HeadersBelowWanted:
    """Send me final headers from this height downwards."""

    height: Annotated[int, Range(1, limits.U53_MAX)]


@record(kind=87)
class HeadersBelow:
    """Final headers from `height` downwards, as many as fit."""

    height: Annotated[int, Range(1, limits.U53_MAX)]
    headers: Annotated[tuple[HeaderBytes, ...], Items(0, HEADERS_ASKED_MAX)]


@record(kind=88, bytes_max=64)
class ReceiptsWanted:
    """Send me receipts of the log from `first` on, below `end`, proven in the log of `size` receipts."""

    first: U63
    end: U63
    size: U63


@record(kind=89)
class ReceiptsFound:
    """Receipts from `first` on, as many as fit, and the proof of that run (`crypto.log_ranges`)."""

    first: U63
    size: U63
    receipts: Annotated[tuple[Annotated[bytes, Octets(1, limits.MESSAGE_BYTES_MAX)], ...], Items(0, RECEIPTS_ASKED_MAX)]
    path: Annotated[tuple[Hash, ...], Items(0, 2 * limits.LOG_PATH_MAX)]


@record(kind=90, bytes_max=1024)
class TrieBranch:
    """A branch of the state trie: which children it has, and their hashes, by nibble."""

    bitmap: Annotated[int, Range(1, 0xFFFF)]
    hashes: Annotated[tuple[Hash, ...], Items(1, 16)]


@structure
class StatePair:
    """A key of the state and its value, encoded."""

    key: Annotated[bytes, Octets(1, limits.STATE_KEY_BYTES_MAX)]
    value: Annotated[bytes, Octets(0, limits.STATE_VALUE_BYTES_MAX)]


@record(kind=91, bytes_max=PIECE_DATA_MAX)
class TriePairs:
    """All pairs of a subtree of the state trie, ascending by path."""

    pairs: Annotated[tuple[StatePair, ...], Items(0, PIECE_PAIRS)]


QUESTIONS: Final = (SnapshotsWanted, EpochsWanted, PiecesWanted, HeadersBelowWanted, ReceiptsWanted)
ANSWERS: Final = (SnapshotOffer, EpochsFound, PiecesFound, HeadersBelow, ReceiptsFound)

assert 3 * PIECE_DATA_MAX < limits.MESSAGE_BYTES_MAX, "several pieces travel in one message"
