"""What a node answers about snapshots: from its snapshots, its blocks and its tables, each answer within a message.

A question is answered from what stands still: pieces lie in files of their own, blocks, receipts and the log's
complete subtrees never change. So nothing is pinned while a joiner takes its time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol

from protocol import limits
from protocol.codec import encode
from protocol.crypto.log_ranges import range_proof
from protocol.ledger.index import log_getter, read_head, read_receipt
from protocol.ledger.tables import Reader
from protocol.proofs.records import ClosedEpoch
from protocol.snapshot.pieces import piece_at
from protocol.wire import snapshot as wire
from protocol.wire.snapshot import FoundPiece, SnapshotOffer

ANSWER_BYTES_MAX: Final = limits.MESSAGE_BYTES_MAX - 64 * limits.KIB
OFFERS_MAX: Final = 3
"""Snapshots that one node offers."""


class Source(Protocol):
    """Where answers come from; consistent for one answer."""

    @property
    def reader(self) -> Reader:
        """The newest executed state."""
        ...

    def offers(self) -> Sequence[SnapshotOffer]:
        """Of the snapshots that are complete here, ascending by height."""
        ...

    def piece(self, height: int, prefix: bytes) -> bytes | None:
        """A piece of one of them, as it was cut."""
        ...

    def header(self, height: int) -> bytes | None:
        """A final header, encoded."""
        ...

    def closed(self, first_epoch: int, count: int) -> Sequence[ClosedEpoch]:
        """How epochs ended, from this one on."""
        ...


def answer(source: Source, question: Any) -> list[bytes]:
    """The encoded messages that answer one of `wire.snapshot.QUESTIONS`."""
    return _ANSWERS[type(question)](source, question)


def _offers(source: Source, question: wire.SnapshotsWanted) -> list[bytes]:
    found = [offer for offer in source.offers() if offer.height > question.above_height][-OFFERS_MAX:]
    # The newest first: a joiner that waits for nobody else looks at what comes first, and an old one is soon dropped.
    return [encode(offer) for offer in reversed(found)] or [encode(SnapshotOffer(0, (), None, 0))]


def _epochs(source: Source, question: wire.EpochsWanted) -> list[bytes]:
    found: list[ClosedEpoch] = []
    left = ANSWER_BYTES_MAX
    for closed in source.closed(question.first_epoch, wire.EPOCHS_ASKED_MAX):
        left -= len(closed.header) + 72 * len(closed.finalization.signatures) + 72 * len(closed.validators.validators)
        left -= 512
        if left < 0:
            break
        found.append(closed)
    return [encode(wire.EpochsFound(question.first_epoch, tuple(found)))]


def _pieces(source: Source, question: wire.PiecesWanted) -> list[bytes]:
    found: list[FoundPiece] = []
    left = ANSWER_BYTES_MAX
    for prefix in question.prefixes:
        data = piece_at(partial(source.piece, question.height), prefix)
        left -= 0 if data is None else len(data) + len(prefix) + 16
        if data is None or left < 0:
            break
        found.append(FoundPiece(prefix, data))
    return [encode(wire.PiecesFound(question.height, tuple(found)))]


def _headers(source: Source, question: wire.HeadersBelowWanted) -> list[bytes]:
    found: list[bytes] = []
    left, height = ANSWER_BYTES_MAX, question.height
    while height >= 1 and len(found) < wire.HEADERS_ASKED_MAX:
        data = source.header(height)
        left -= 0 if data is None else len(data) + 8
        if data is None or left < 0:
            break
        found.append(data)
        height -= 1
    return [encode(wire.HeadersBelow(question.height, tuple(found)))]


def _receipts(source: Source, question: wire.ReceiptsWanted) -> list[bytes]:
    reader = source.reader
    found: list[bytes] = []
    left = ANSWER_BYTES_MAX - 2 * limits.LOG_PATH_MAX * 40
    end = min(question.end, question.size, question.first + wire.RECEIPTS_ASKED_MAX)
    if question.size <= read_head(reader).executed.log_size:
        for index in range(question.first, end):
            data = read_receipt(reader, index)
            left -= 0 if data is None else len(data) + 8
            if data is None or (left < 0 and found):
                break
            found.append(data)
    path: tuple[bytes, ...] = ()
    if found:
        path = range_proof(log_getter(reader), question.first, question.first + len(found), question.size)
    return [encode(wire.ReceiptsFound(question.first, question.size, tuple(found), path))]


_ANSWERS: Final[dict[type[Any], Callable[[Source, Any], list[bytes]]]] = {
    wire.SnapshotsWanted: _offers,
    wire.EpochsWanted: _epochs,
    wire.PiecesWanted: _pieces,
    wire.HeadersBelowWanted: _headers,
    wire.ReceiptsWanted: _receipts,
}
assert set(_ANSWERS) == set(wire.QUESTIONS), "every question has an answer"
