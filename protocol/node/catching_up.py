"""Catching up: asking one peer for the final blocks that this node missed (block sync).

Range by range: blocks come, the first finalization among them is checked here (with the signatures of the
batches' authors, which no digest covers), and the blocks that it covers are journaled and appended, each range
with its finalization. The next range is asked for when the last is appended and execution has room. Nothing
of it goes through what consensus knows, so neither the distance nor a peer's lies reach that.
"""

from __future__ import annotations

from protocol.codec import decode, encode
from protocol.consensus import inputs as agree
from protocol.consensus.certificates import certificate_items, well_formed
from protocol.consensus.statements import Certificate, VoteKind
from protocol.crypto.contexts import Context
from protocol.crypto.signing import signing_message
from protocol.errors import BROKEN_INVARIANT, Malformed
from protocol.ledger.closings import closes
from protocol.ledger.records import Batch, BatchBody
from protocol.node.body import Body
from protocol.node.interface import JournalKind, Priority
from protocol.node.ordering import SYNC_GAP, advance, append, backlog_full
from protocol.sync import FetchedBlock
from protocol.wire.messages import BlockPart

Item = tuple[bytes, bytes, bytes]


def look(body: Body) -> None:
    """Begin when a peer is far ahead, or ahead for long; with the one that is furthest."""
    now, height = body.now.monotonic_ms, body.chain.final.height
    ahead = [
        (neighbour.final_height, peer)
        for peer, neighbour in body.neighbours.peers.items()
        if neighbour.final_height > height and body.sync.usable(peer, now)
    ]
    if not ahead:
        body.behind_since_ms = None
        return
    if body.behind_since_ms is None:
        body.behind_since_ms = now
    best, peer = max(ahead)
    patient = now - body.behind_since_ms >= 2 * body.parameters.retry_interval_ms
    if body.sync.peer is None and (best - height >= SYNC_GAP or patient):
        asked = body.sync.begin(peer, height + 1, body.chain.final.hash, best, now)
        body.note("sync_begins", peer=peer, height=height, target=best)
        body.send((peer,), Priority.CONSENSUS, encode(asked))


def block_part(body: Body, part: BlockPart, _data: bytes, peer: bytes) -> None:
    """A part of the answer."""
    if peer != body.sync.peer:
        return
    try:
        body.sync.take(part, body.now.monotonic_ms)
    except Malformed as fault:
        _fail(body, fault.words)
        return
    go_on(body)


def go_on(body: Body) -> None:
    """Have the next finalization checked, or ask for the next range, or end."""
    sync = body.sync
    if sync.peer is None or sync.checking or body.halted or body.closed is not None:
        return
    covered = sync.finalized()
    while covered and sync.pending[covered - 1].header.epoch < body.epoch:
        sync.release(covered)  # of an epoch that has ended here meanwhile: nothing of it is news, or believed
        covered = sync.finalized()
    if covered:
        if not backlog_full(body):
            _check(body, covered)
        return
    if not sync.answered():
        return
    if sync.progress and sync.next_height <= sync.target_height:
        body.send((sync.peer,), Priority.CONSENSUS, encode(sync.ask(body.now.monotonic_ms)))
        return
    _end(body, failed=not sync.progress or bool(sync.pending))


def _check(body: Body, covered: int) -> None:
    blocks = body.sync.pending[:covered]
    try:
        certificate = decode(Certificate, blocks[-1].finalization)
        items = [item for block in blocks for item in author_items(body, block)]
    except Malformed as fault:
        _fail(body, fault.words)
        return
    proposal = certificate.proposal
    if (
        not well_formed(body.roster.validators, certificate, body.epoch)
        or any(closes(block.header) for block in blocks[:-1])
        or certificate.kind != VoteKind.FINALIZE
        or proposal is None
        or proposal.payload != blocks[-1].hash
    ):
        _fail(body, "a finalization of something else")
        return
    items.extend(certificate_items(body.network_id, body.roster.validators, certificate))
    body.sync.checking = True
    body.check(("sync", body.sync.session, covered, certificate), tuple(items))


def author_items(body: Body, block: FetchedBlock) -> list[Item]:
    """The signatures of a block's batches, which no digest covers. Raises Malformed for another author's batch."""
    items: list[Item] = []
    for reference, data in zip(block.header.references, block.batches, strict=True):
        batch = decode(Batch, data)
        if decode(BatchBody, batch.body).author != reference.author:
            raise Malformed("batches", f"block {block.header.height}: a batch by another author than referenced")
        message = signing_message(Context.BATCH, body.network_id, batch.body)
        items.append((reference.author, message, batch.signature))
    return items


def checked(body: Body, session: int, covered: int, certificate: Certificate, good: tuple[bool, ...]) -> None:
    """The signatures of a range were checked: append it."""
    sync = body.sync
    if session != sync.session or sync.peer is None:
        return
    sync.checking = False
    if not all(good):
        _fail(body, "a bad signature in final blocks")
        return
    blocks = sync.release(covered)
    body.persist(JournalKind.CERTIFICATE, encode(certificate))
    for block in blocks:
        _append(body, block, certificate if block is blocks[-1] else None)
        if body.halted:
            return
    if body.closed is None and certificate.epoch == body.epoch:
        body.inbox.append(agree.CertificateReceived(certificate, sync.peer))
    advance(body)
    go_on(body)


def _append(body: Body, block: FetchedBlock, finalization: Certificate | None) -> None:
    header, chain = block.header, body.chain
    if header.height <= chain.final.height:
        if chain.final_hashes.get(header.height, block.hash) != block.hash:
            body.halt(BROKEN_INVARIANT, f"two final blocks at height {header.height}: a fork")
        return
    if header.parent != chain.final.hash:
        body.halt(BROKEN_INVARIANT, f"block {header.height} is final and does not stand on the final tip: a fork")
        return
    chain.learn(header, body.now.monotonic_ms)
    known = chain.known[block.hash]
    if not known.journaled:
        body.persist(JournalKind.HEADER, known.data)
        known.journaled = True
    for reference, data in zip(header.references, block.batches, strict=True):
        if body.batches.data(reference.digest) is None:
            body.persist(JournalKind.BATCH, data)
    body.count("blocks_fetched")
    append(body, block.hash, block.batches, finalization)


def watch(body: Body) -> None:
    """A peer that was asked and says nothing more is asked for the rest, or left for another; so is a slow one."""
    sync = body.sync
    go_on(body)
    if body.closed is not None:
        return
    if sync.peer is not None and not sync.checking and sync.measure(_highest_of_others(body), body.now.monotonic_ms):
        _end(body, failed=True)
        return
    if sync.peer is None or sync.checking or sync.finalized() or body.now.monotonic_ms < sync.deadline_ms:
        return
    if sync.progress:
        sync.forget_parts()
        body.send((sync.peer,), Priority.CONSENSUS, encode(sync.ask(body.now.monotonic_ms)))
    else:
        _end(body, failed=True)


def _highest_of_others(body: Body) -> int:
    """The highest final height that a peer tells which is not the one asked, and might be asked."""
    sync, now = body.sync, body.now.monotonic_ms
    others = [
        neighbour.final_height
        for peer, neighbour in body.neighbours.peers.items()
        if peer != sync.peer and sync.usable(peer, now)
    ]
    return max(others, default=0)


def left(body: Body, peer: bytes) -> None:
    """The channel is gone."""
    if peer == body.sync.peer:
        _end(body, failed=False)


def _fail(body: Body, words: str) -> None:
    body.charge(body.sync.peer, f"block sync: {words}")
    _end(body, failed=True)


def _end(body: Body, *, failed: bool) -> None:
    body.sync.end(body.now.monotonic_ms, failed=failed)
    body.note("sync_ends", height=body.chain.final.height, failed=failed)
