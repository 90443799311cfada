"""The snapshot liar: offers snapshots to who joins, and lies once it is relied on.

Most of what it says is true, so that it is asked on. Now and then it answers with what is nearly right: a state that no
quorum signed, pieces, receipts, headers, blocks or ends of epochs with something changed, or that it has nothing of
what it offered. A joiner believes only what proves itself under a final header, knows the liar by its first lie, and
goes on with others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from protocol.codec import decode, encode, kind_of
from protocol.ledger.genesis import ValidatorPower, ValidatorSet
from protocol.ledger.records import Header
from protocol.node.interface import Effect, PeerDown, Send
from protocol.node.setup import NodeSetup
from protocol.sim.byzantine.actor import Actor, Stage, Wrapper, plays
from protocol.sim.services import AnyNode
from protocol.wire import messages, snapshot
from protocol.wire.messages import BlockPart
from protocol.wire.snapshot import (
    EpochsFound,
    FoundPiece,
    HeadersBelow,
    PiecesFound,
    ReceiptsFound,
    SnapshotOffer,
    SnapshotsWanted,
    TrieBranch,
    TriePairs,
)

OLD_LIES = 8
"""One answer in so many is a lie, where each lie that it can be was told before."""


class SnapshotLiar(Wrapper):
    """Lies to who joins."""

    def __init__(self, inner: AnyNode, setup: NodeSetup, stage: Stage) -> None:
        super().__init__(inner, setup, stage)
        self.joiners: dict[bytes, None] = {}
        """Peers that join."""

    def step(self, given: Any, now: Any) -> list[Effect]:
        """A peer that leaves may come back as somebody who joins no more."""
        if type(given) is PeerDown:
            self.joiners.pop(given.peer, None)
        return super().step(given, now)

    def heard(self, peer: bytes, data: bytes) -> list[Effect]:
        """Whoever asks for snapshots joins."""
        if kind_of(data) == _ASKS:
            self.joiners[peer] = None
        return []

    def lie(self, send: Send) -> list[Effect]:
        """An answer to a joiner, now and then with a lie that can be told in it: sooner one that was not told yet."""
        told = messages.MESSAGES.get(kind_of(send.data) or 0)
        lies = {deed: change for deed, (about, change) in LIES.items() if about is told}
        if not lies or send.to[0] not in self.joiners:
            return [send]
        fresh = not all(self.stage.deeds.get(deed) for deed in lies)
        if self.generator.randrange(2 if fresh else OLD_LIES):
            return [send]
        picked = self.pick(lies, messages.read(send.data))
        if picked is None:
            return [send]
        self.did(picked[0])
        return [replace(send, data=encode(picked[1]))]


_ASKS = kind_of(encode(SnapshotsWanted(0)))


def _flipped(data: bytes, at: int = -1) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def _made_up_state(offer: SnapshotOffer) -> SnapshotOffer | None:
    """Results that no quorum signed."""
    if not offer.chain:
        return None
    header = decode(Header, offer.chain[0])
    executed = replace(header.executed, state_root=_flipped(header.executed.state_root))
    return replace(offer, chain=(encode(replace(header, executed=executed)), *offer.chain[1:]))


def _forged_finalization(offer: SnapshotOffer) -> SnapshotOffer | None:
    if offer.finalization is None:
        return None
    signatures = tuple(_flipped(signature) for signature in offer.finalization.signatures)
    return replace(offer, finalization=replace(offer.finalization, signatures=signatures))


def _another_end(found: EpochsFound) -> EpochsFound | None:
    """The epoch ended, and all power is somebody else's."""
    if not found.closed:
        return None
    last = found.closed[-1]
    mine = ValidatorSet((ValidatorPower(bytes(31) + b"\x01", 1),))
    return replace(found, closed=(*found.closed[:-1], replace(last, validators=mine)))


def _pieces(found: PiecesFound, change: Callable[[bytes], bytes]) -> PiecesFound | None:
    pieces = tuple(FoundPiece(piece.prefix, change(piece.data)) for piece in found.pieces)
    return None if pieces == found.pieces else replace(found, pieces=pieces)


def _pair_changed(found: PiecesFound) -> PiecesFound | None:
    def change(data: bytes) -> bytes:
        if kind_of(data) != _PAIRS:
            return data
        pairs = decode(TriePairs, data).pairs
        return encode(TriePairs((*pairs[:-1], replace(pairs[-1], value=_flipped(pairs[-1].value)))))

    return _pieces(found, change)


def _branch_changed(found: PiecesFound) -> PiecesFound | None:
    def change(data: bytes) -> bytes:
        if kind_of(data) == _PAIRS:
            return data
        branch = decode(TrieBranch, data)
        return encode(replace(branch, hashes=(_flipped(branch.hashes[0]), *branch.hashes[1:])))

    return _pieces(found, change)


_PAIRS = kind_of(encode(TriePairs(())))


def _no_pieces(found: PiecesFound) -> PiecesFound | None:
    return replace(found, pieces=()) if found.pieces else None


def _header_changed(found: HeadersBelow) -> HeadersBelow | None:
    if not found.headers:
        return None
    header = decode(Header, found.headers[-1])
    return replace(found, headers=(*found.headers[:-1], encode(replace(header, time_ms=header.time_ms + 1))))


def _receipt_changed(found: ReceiptsFound) -> ReceiptsFound | None:
    return replace(found, receipts=(*found.receipts[:-1], _flipped(found.receipts[-1]))) if found.receipts else None


def _signature_changed(part: BlockPart) -> BlockPart | None:
    """Of a batch's author, which no digest covers."""
    return replace(part, batches=tuple(_flipped(batch) for batch in part.batches)) if part.batches else None


Lie = tuple[type[Any], Callable[[Any], Any | None]]

LIES: dict[str, Lie] = {
    "a made-up state": (SnapshotOffer, _made_up_state),
    "a forged finalization": (SnapshotOffer, _forged_finalization),
    "another end of an epoch": (EpochsFound, _another_end),
    "a pair changed": (PiecesFound, _pair_changed),
    "a branch changed": (PiecesFound, _branch_changed),
    "no pieces": (PiecesFound, _no_pieces),
    "a header changed": (HeadersBelow, _header_changed),
    "a receipt changed": (ReceiptsFound, _receipt_changed),
    "a batch's signature changed": (BlockPart, _signature_changed),
}
"""What is said in place of the truth -> the answer that it is about, and how."""

assert set(snapshot.ANSWERS) < {about for about, _ in LIES.values()}, "there is a lie for every answer"

SNAPSHOT_LIAR = Actor("lies to who joins by a snapshot", plays(SnapshotLiar), tuple(LIES))
