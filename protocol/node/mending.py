"""Mending: asking peers for single final blocks whose copy on this disk is damaged (L-25).

The daemon says which (`MendBlocks`: height, parent, hash and validators, as its state has them); blocks are asked for
one at a time, of one peer at a time, with the same messages as block sync. What comes has to be that very block: its
header has the hash, each batch the digest that the header names and its author's signature, and a finalization is a
quorum's of the block's own epoch. Then it goes to the disk (`Mended`). A peer that gives something else is charged, one
that has nothing or is silent is left alone for a while, and another is asked; so a damaged peer costs time and never
truth.

It waits while block sync runs: that matters more, and answers of one peer are told apart by it.
"""

from __future__ import annotations

from protocol import limits
from protocol.codec import decode, encode
from protocol.consensus.certificates import certificate_items, well_formed
from protocol.consensus.statements import Certificate, VoteKind
from protocol.errors import BrokenInvariant, Malformed
from protocol.ledger.genesis import validators_hash
from protocol.ledger.records import Block
from protocol.node.body import Body
from protocol.node.catching_up import Item, author_items
from protocol.node.interface import MendBlocks, Mended, Priority
from protocol.proofs.finality import voters_of
from protocol.sync import BlockSync, FetchedBlock
from protocol.wire.messages import BlockPart, BlocksWanted


def mend(body: Body, given: MendBlocks) -> None:
    """Blocks are damaged here; what is beyond the bound is told again by the daemon later."""
    for height, parent, hashed, validators in given.blocks:
        if len(body.mending.wanted) < limits.MEND_WANTED_MAX:
            body.mending.wanted.setdefault(height, (parent, hashed, validators))
    watch(body)


def watch(body: Body) -> None:
    """Ask the next peer, or give up one that is silent."""
    mending, now = body.mending, body.now.monotonic_ms
    if mending.checking:
        return
    if mending.fetch is not None:
        if now < mending.fetch.deadline_ms:
            return
        _leave(body)
    if not mending.wanted or body.sync.peer is not None or body.disk_full:
        return
    mending.height = next(iter(mending.wanted))
    mending.wanted.move_to_end(mending.height)
    peer = _choose(body, mending.height)
    if peer is None:
        return
    parent, _, _ = mending.wanted[mending.height]
    mending.session += 1
    mending.fetch = BlockSync(body.parameters.retry_interval_ms)
    mending.fetch.begin(peer, mending.height, parent, mending.height, now)
    body.send((peer,), Priority.CONSENSUS, encode(BlocksWanted(mending.height, 1)))


def _choose(body: Body, height: int) -> bytes | None:
    """A peer that has come so far and has not failed of late."""
    now = body.now.monotonic_ms
    usable = [
        peer
        for peer, neighbour in body.neighbours.peers.items()
        if neighbour.final_height >= height and body.mending.avoid.get(peer, 0) <= now
    ]
    return usable[(height + body.mending.session) % len(usable)] if usable else None


def takes(body: Body, part: BlockPart, peer: bytes) -> bool:
    """Whether a part answers this question, and not block sync's."""
    fetch = body.mending.fetch
    return fetch is not None and fetch.peer == peer and body.sync.peer != peer and part.height >= fetch.next_height


def block_part(body: Body, part: BlockPart) -> None:
    """A part of the answer."""
    mending = body.mending
    fetch = mending.fetch
    assert fetch is not None, "somebody was asked"
    if mending.checking:
        return
    if part.count == 0:
        _leave(body)  # it does not have it
        return
    try:
        fetch.take(part, body.now.monotonic_ms)
        if fetch.pending:
            _check(body, fetch.pending[0])
    except Malformed as fault:
        _fail(body, fault.words)


def _check(body: Body, block: FetchedBlock) -> None:
    """Have all signatures of the block checked. Raises Malformed if it is not the one that was asked for."""
    mending = body.mending
    _, wanted, entries = mending.wanted[mending.height]
    if block.hash != wanted:
        raise Malformed("header", f"block {mending.height}: another block than the final one")
    items: list[Item] = author_items(body, block)
    if block.finalization:
        certificate = decode(Certificate, block.finalization)
        proposal = certificate.proposal
        fits = proposal is not None and proposal.payload == block.hash and certificate.kind == VoteKind.FINALIZE
        if block.header.validators_hash != validators_hash(entries):
            raise BrokenInvariant(f"block {mending.height} is by another set than the state has for its epoch")
        validators = voters_of(entries)
        if not fits or not well_formed(validators, certificate, block.header.epoch):
            raise Malformed("finalization", f"block {mending.height}: a finalization of something else")
        items += certificate_items(body.network_id, validators, certificate)
    mending.checking = True
    if items:
        body.check(("mend", mending.session, block), tuple(items))
    else:
        checked(body, mending.session, block, ())


def checked(body: Body, session: int, block: FetchedBlock, good: tuple[bool, ...]) -> None:
    """The signatures of a block were checked: hand it to the disk."""
    mending = body.mending
    if session != mending.session or not mending.checking:
        return
    mending.checking = False
    if not all(good):
        _fail(body, "a bad signature in a final block")
        return
    height, mending.fetch = mending.height, None
    mending.wanted.pop(height, None)
    body.count("blocks_mended")
    whole = Block(block.header_bytes, tuple(block.batches), block.finalization or None)
    body.emit(Mended(height, encode(whole)))
    watch(body)


def left(body: Body, peer: bytes) -> None:
    """The channel is gone."""
    fetch = body.mending.fetch
    if fetch is not None and fetch.peer == peer and not body.mending.checking:
        body.mending.fetch = None


def _fail(body: Body, words: str) -> None:
    fetch = body.mending.fetch
    assert fetch is not None, "somebody was asked"
    body.charge(fetch.peer, f"mending: {words}")
    _leave(body)


def _leave(body: Body) -> None:
    """The peer that was asked gave nothing good: others first, for a while."""
    mending = body.mending
    if mending.fetch is not None and mending.fetch.peer is not None:
        mending.avoid[mending.fetch.peer] = body.now.monotonic_ms + 10 * body.parameters.retry_interval_ms
        while len(mending.avoid) > limits.PEERS_MAX:
            del mending.avoid[next(iter(mending.avoid))]
    mending.fetch = None
