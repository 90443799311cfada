"""Peers that lie, each in one way: what they answer is what an honest one would, but for that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from protocol.codec import decode, encode, kind_of
from protocol.ledger.records import Header
from protocol.wire import messages, snapshot
from protocol.wire.messages import BlockPart
from protocol.wire.snapshot import (
    FoundPiece,
    HeadersBelow,
    PiecesFound,
    ReceiptsFound,
    SnapshotOffer,
    StatePair,
    TrieBranch,
    TriePairs,
)
from tests.snapshot.world import History, Speaker


def flipped(data: bytes, at: int = -1) -> bytes:
    """One bit of it is another."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def liar(history: History, kind: type[Any], lie: Callable[[Any], Any | bytes | None]) -> Speaker:
    """Answers of this kind are what `lie` makes of them: a record, bytes as they are, or None for silence."""

    def speak(question: bytes) -> list[bytes]:
        said: list[bytes] = []
        for data in history.answer(question):
            message = messages.read(data)
            told = lie(message) if isinstance(message, kind) else message
            if told is not None:
                said.append(told if isinstance(told, bytes) else encode(told))
        return said

    return speak


def _piece(change: Callable[[bytes], bytes]) -> Callable[[PiecesFound], PiecesFound]:
    def lie(found: PiecesFound) -> PiecesFound:
        pieces = tuple(FoundPiece(piece.prefix, change(piece.data)) for piece in found.pieces)
        return replace(found, pieces=pieces)

    return lie


def _pairs(change: Callable[[tuple[StatePair, ...]], tuple[StatePair, ...]]) -> Callable[[PiecesFound], PiecesFound]:
    def altered(data: bytes) -> bytes:
        if kind_of(data) != 91:
            return data
        pairs = decode(TriePairs, data).pairs
        return encode(TriePairs(change(pairs)))

    return _piece(altered)


def _other_piece(found: PiecesFound) -> PiecesFound:
    """The first one is right: otherwise it would be the answer to an earlier question."""
    rest = tuple(FoundPiece(piece.prefix + b"\x00", piece.data) for piece in found.pieces[1:])
    return replace(found, pieces=(*found.pieces[:1], *rest))


def _branch(data: bytes) -> bytes:
    if kind_of(data) != 90:
        return data
    branch = decode(TrieBranch, data)
    return encode(replace(branch, hashes=(flipped(branch.hashes[0]), *branch.hashes[1:])))


def _receipts(found: ReceiptsFound) -> ReceiptsFound:
    return replace(found, receipts=(*found.receipts[:-1], flipped(found.receipts[-1], -40)))


def _path(found: ReceiptsFound) -> ReceiptsFound:
    return replace(found, path=(*found.path, bytes(32)))


def _headers(found: HeadersBelow) -> HeadersBelow:
    if len(found.headers) < 2:
        return found
    header = decode(Header, found.headers[1])
    return replace(found, headers=(found.headers[0], encode(replace(header, time_ms=header.time_ms + 1))))


def _other_heights(found: HeadersBelow) -> HeadersBelow:
    return replace(found, headers=found.headers[1:])


def _block(part: BlockPart) -> BlockPart:
    return replace(part, batches=tuple(flipped(batch, 60) for batch in part.batches))


def _authors_signature(part: BlockPart) -> BlockPart:
    """The one thing that no digest covers."""
    return replace(part, batches=tuple(flipped(batch) for batch in part.batches))


def _other_block(part: BlockPart) -> BlockPart:
    return replace(part, header=b"") if part.count and not part.index else part


def _forged_finalization(offer: SnapshotOffer) -> SnapshotOffer:
    if offer.finalization is None:
        return offer
    signatures = tuple(flipped(signature) for signature in offer.finalization.signatures)
    return replace(offer, finalization=replace(offer.finalization, signatures=signatures))


def _made_up_state(offer: SnapshotOffer) -> SnapshotOffer:
    """Results that no quorum signed: a header of its own making on top."""
    if not offer.chain:
        return offer
    header = decode(Header, offer.chain[0])
    executed = replace(header.executed, state_root=flipped(header.executed.state_root))
    return replace(offer, chain=(encode(replace(header, executed=executed)), *offer.chain[1:]))


def _other_height(offer: SnapshotOffer) -> SnapshotOffer:
    return replace(offer, height=offer.height + 1) if offer.height else offer


def _garbage(_message: Any) -> bytes:
    return b"\x95\x55\x01garbage"


LIES: dict[str, tuple[type[Any], Callable[[Any], Any | bytes | None], str]] = {
    "a value that is not the state's": (
        PiecesFound,
        _pairs(lambda pairs: (*pairs[:-1], StatePair(pairs[-1].key, flipped(pairs[-1].value)))),
        "others than the branch above them names",
    ),
    "a pair left out": (PiecesFound, _pairs(lambda pairs: pairs[1:]), "others than the branch above them names"),
    "a pair twice": (PiecesFound, _pairs(lambda pairs: (pairs[0], *pairs)), "do not ascend by path"),
    "a pair of another place": (
        PiecesFound,
        _pairs(lambda pairs: (*pairs, StatePair(b"\x91\xa1x", b"\x00"))),
        "a pair that does not stand below",
    ),
    "a branch with another child": (PiecesFound, _piece(_branch), "another than the one above it names"),
    "pieces that are garbage": (PiecesFound, _piece(lambda _data: b"\x00\x01"), "neither a branch nor pairs"),
    "more pieces than asked for": (
        PiecesFound,
        lambda found: replace(found, pieces=(*found.pieces, *found.pieces)[: snapshot.PIECES_ASKED_MAX]),
        "more pieces than were asked for",
    ),
    "another piece than asked for": (PiecesFound, _other_piece, "a piece that was not asked for"),
    "messages that are garbage": (PiecesFound, _garbage, "not msgpack"),
    "receipts that are not in the log": (ReceiptsFound, _receipts, "not in the network's log"),
    "a path that is longer": (ReceiptsFound, _path, "not in the network's log"),
    "a header of its own making": (HeadersBelow, _headers, "not the parent of the one above it"),
    "headers of other heights": (HeadersBelow, _other_heights, "not the parent of the one above it"),
    "a batch with another content": (BlockPart, _block, "a batch with another digest than referenced"),
    "a batch with another author's signature": (BlockPart, _authors_signature, "bad signature of a batch's author"),
    "blocks without headers": (BlockPart, _other_block, "Header: not msgpack"),
    "a forged finalization": (SnapshotOffer, _forged_finalization, "signature"),
    "an offer of a made-up state": (SnapshotOffer, _made_up_state, "the certificate is of another header"),
    "an offer of another height": (SnapshotOffer, _other_height, "names the results of height"),
}
"""What is said -> (in which answers, how, what the joiner says about it)."""
