"""Data: envelopes that wait become batches, batches from others become ready (L-11 to L-15).

Nothing here waits for consensus, and nothing in consensus waits for this but the judgement of a header:
batches flow beside the ordering.
"""

from __future__ import annotations

from typing import Final

from protocol import limits
from protocol.codec import decode, encode
from protocol.consensus import inputs as agree
from protocol.crypto.contexts import Context
from protocol.dissemination import NEEDED_TIMES, Held, State
from protocol.errors import BROKEN_INVARIANT, INTERNAL_ERROR
from protocol.ledger.genesis import members_decide
from protocol.ledger.records import Batch, BatchBody, Reference, batch_digest
from protocol.node.body import JOBS_MAX, Body, message_hash
from protocol.node.envelopes import check_envelopes
from protocol.node.interface import BatchAccepted, BlockExecuted, CheckBatch, Fate, JournalKind, Priority, Refusal
from protocol.node.ordering import advance
from protocol.node.proposing import build, judge
from protocol.node.shedding import live_references
from protocol.wire.messages import Announcement

BATCH_OVERHEAD_BYTES: Final = 1_024
"""What a batch holds beside its envelopes, and more."""
OWN_SHARE_PERCENT: Final = 50
"""A node seals while its own unordered batches fill less than this of what others grant it (L-13)."""


# -- Sealing ----------------------------------------------------------------------------------------


def may_seal(body: Body) -> bool:
    """Whether this node authors batches, and others would take one more."""
    key = body.key
    if key is None or body.machine.core.me is None or body.disk_full or body.amnesiac or body.closed is not None:
        return False
    share = OWN_SHARE_PERCENT
    count, size = body.batches.count_of.get(key.public, 0), body.batches.bytes_of.get(key.public, 0)
    return (
        count * 100 < limits.UNORDERED_BATCHES_PER_AUTHOR_MAX * share
        and size * 100 < limits.UNORDERED_BYTES_PER_AUTHOR_MAX * share
    )


def seal_due_ms(body: Body) -> int | None:
    """When the next batch is to be sealed: now if it is full, else when its oldest envelope has waited enough."""
    oldest = body.pool.oldest_ms()
    if oldest is None or not may_seal(body):
        return None
    full = body.pool.waiting_bytes >= body.parameters.batch_bytes
    due = body.now.monotonic_ms if full else oldest + body.parameters.batch_wait_ms
    return due if body.seal_after_ms is None else max(due, body.seal_after_ms)


def seal(body: Body) -> None:
    """L-11: seal a batch, store it, send it to every validator."""
    key = body.key
    now = body.now.monotonic_ms
    due = seal_due_ms(body)
    if key is None or due is None or due > now:
        return
    size = min(body.parameters.batch_bytes, limits.BATCH_BYTES_MAX - BATCH_OVERHEAD_BYTES)
    entries = body.pool.take(size, lambda transaction: _held_back(body, transaction))
    if not entries:
        # All that waits stands in others' batches: look again in a while, or when something new comes.
        body.seal_after_ms = now + max(1, body.parameters.relay_delay_ms // 8)
        return
    body.seal_after_ms = None
    expiry = body.chain.final.height + body.parameters.batch_ttl_max
    content = encode(BatchBody(body.network_id, key.public, expiry, tuple(entry.data for entry in entries)))
    data = encode(Batch(content, key.sign(Context.BATCH, body.network_id, content)))
    reference = Reference(key.public, batch_digest(content), len(data), len(entries))
    transactions = tuple(entry.transaction for entry in entries)
    body.batches.add(Held(reference, data, expiry, State.READY, now, transactions))
    body.persist(JournalKind.BATCH, data, patient=True)
    body.send(_carriers(body), Priority.BATCHES, data)
    body.count("batches_sealed")
    _ready(body, reference.digest)


def _held_back(body: Body, transaction: bytes) -> bool:
    since = body.batches.sealed_elsewhere.get(transaction)
    return since is not None and body.now.monotonic_ms - since < body.parameters.relay_delay_ms


# -- Batches of others ------------------------------------------------------------------------------


def batch_received(body: Body, batch: Batch, data: bytes, peer: bytes) -> None:
    """Take a batch in for checking, if it is of use and within its author's bound (L-13)."""
    digest = batch_digest(batch.body)
    held = body.batches.held.get(digest)
    if held is not None and held.state is State.CHECKING and held.data != data:
        # The digest does not cover the author's signature: a bad copy must not push the good one aside.
        if held.other is None or peer == body.roster.node_of.get(held.reference.author):
            held.other = (data, peer)
        return
    if held is not None or digest in body.batches.recent or digest in body.chain.used:
        _pass_on_batch(body, digest, data, peer)
        return
    content = decode(BatchBody, batch.body)
    if content.network_id != body.network_id or not _may_author(body, content.author):
        body.charge(peer, "a batch of another network, or by no validator")
        return
    if content.author not in body.roster.keys:
        body.count("batches_passed_over")  # of a validator of another epoch
        return
    want = body.batch_wants.missing.get(digest)
    needed = want is not None and want.needed
    height = body.chain.final.height
    # A node that is behind sees batches from the future: they are of use when it has caught up.
    in_time = height < content.expiry_height <= height + 2 * body.parameters.batch_ttl_max
    # Until it is checked, whoever sent it answers for it: nobody fills another's share with junk.
    direct = body.roster.node_of[content.author] == peer
    account = content.author if direct else peer
    fits = body.batches.fits(account, len(data), NEEDED_TIMES if needed else 1)
    # Half of the jobs are for messages of consensus, whatever batches come.
    if not in_time or not fits or (body.disk_full and not needed) or len(body.jobs) >= JOBS_MAX // 2:
        body.count("batches_passed_over")
        return
    reference = Reference(content.author, digest, len(data), len(content.envelopes))
    held = Held(reference, data, content.expiry_height, State.CHECKING, body.now.monotonic_ms, account=account)
    body.batches.add(held)
    body.emit(CheckBatch(body.job(("batch", held, peer)), data))


def _is_needed(body: Body, digest: bytes) -> bool:
    """Whether a block that can still become final holds it."""
    want = body.batch_wants.missing.get(digest)
    return (want is not None and want.needed) or digest in live_references(body)


def _may_author(body: Body, author: bytes) -> bool:
    """Whether an honest node may send a batch of this author: who is in a later epoch knows others than this node."""
    return author in body.roster.keys or members_decide(body.setup.genesis)


def batch_checked(body: Body, held: Held, peer: bytes, verdict: BatchAccepted | Refusal) -> None:
    """Good: store it, pass it on; it is ready. Bad: drop it whole, charge its author, look at another copy (L-13)."""
    digest = held.reference.digest
    if isinstance(verdict, Refusal):
        body.batches.bad(held)
        if held.other is not None:
            data, other = held.other
            batch_received(body, decode(Batch, data), data, other)
        if verdict.code == INTERNAL_ERROR:
            body.count("batches_unchecked")  # this node failed, and nobody else did
            return
        author = body.roster.node_of.get(held.reference.author, held.reference.author)
        # Whoever passes a batch on has verified it first: the one who sent it answers for it.
        body.charge(peer, f"a batch of {author.hex()[:16]} with {verdict.words}")
        return
    if not body.batches.good(held, verdict.transactions, lambda: _is_needed(body, digest)):
        body.count("batches_passed_over")
        return
    body.persist(JournalKind.BATCH, held.data, patient=True)
    _pass_on_batch(body, digest, held.data, peer)
    key = body.key
    if key is None or held.reference.author != key.public:
        for transaction in held.transactions:
            body.batches.sealed_elsewhere.setdefault(transaction, body.now.monotonic_ms)
    _ready(body, digest)


def _carriers(body: Body) -> tuple[bytes, ...]:
    return body.neighbours.carriers(body.setup.node_key)


def _pass_on_batch(body: Body, digest: bytes, data: bytes, sender: bytes) -> None:
    held = body.batches.held.get(digest)
    if held is None or held.state is State.CHECKING:
        return
    origin = body.roster.node_of.get(held.reference.author, sender)
    to = body.neighbours.pass_on(message_hash(digest), origin, sender, body.now.monotonic_ms)
    carriers = set(_carriers(body))
    body.send(tuple(peer for peer in to if peer in carriers), Priority.BATCHES, data)


def _ready(body: Body, digest: bytes) -> None:
    """L-13: it is ready: what waited for it is looked at again.

    Its record is durable with whatever comes to rest on it: a vote, a proposal, or the block in the segments.
    """
    body.batch_wants.settle(digest)
    body.work_stale = True
    judge(body)
    advance(body)


def announced(body: Body, announcement: Announcement, peer: bytes) -> None:
    """L-15: a batch known only from announcements for longer than relay_delay_ms is asked for.

    Where observers stand between validators theirs count too: what was lost on its way came no further than to them.
    """
    validator = peer in body.roster.signer_of
    if not validator and peer not in _carriers(body):
        return
    for reference in announcement.references:
        held = body.batches.held.get(reference.digest)
        if held is not None:
            held.announced_by.update({peer} if validator else ())
        elif _would_take(body, reference):
            since = body.now.monotonic_ms + body.parameters.relay_delay_ms
            body.batch_wants.add(reference.digest, [peer], since)


def _would_take(body: Body, reference: Reference) -> bool:
    known = reference.digest in body.chain.used or reference.author not in body.roster.keys
    return not known and body.batches.fits(reference.author, reference.bytes)


def announce(body: Body) -> None:
    """C-15: who has batches that are not in the ancestry says so to every validator, and to who stands between."""
    since = body.now.monotonic_ms - body.parameters.retry_interval_ms
    old = [held.reference for held in body.batches.unordered() if held.since_ms <= since]
    if old:
        chosen = tuple(old[: limits.REFERENCES_MAX])
        body.send(_carriers(body), Priority.BATCHES, encode(Announcement(chosen)))


def drop_expired(body: Body) -> None:
    """L-11: batches that can't be referenced any more; what they held and is not final waits again."""
    for digest in body.batches.expired(body.chain.final.height):
        held = body.batches.drop(digest)
        body.batch_wants.settle(digest)
        if held is not None:
            body.pool.give_back(list(held.transactions))
            body.count("batches_expired")


# -- After execution --------------------------------------------------------------------------------


def executed(body: Body, given: BlockExecuted) -> None:
    """A final block's result: envelopes leave the pool, or are judged anew after a skip (L-7)."""
    if body.chain.executing:
        body.inbox.append(agree.PayloadExecuted(body.now.monotonic_ms - body.chain.executing[0].since_ms))
    words = body.chain.executed(given.executed)
    if words is not None:
        body.halt(BROKEN_INVARIANT, words)
        return
    again: list[bytes] = []
    ours = 0
    for outcome in given.outcomes:
        entry = body.pool.settle(outcome.transaction)
        body.relays.pop(outcome.transaction, None)
        if outcome.fate is Fate.FINAL:
            body.pool.remember_final(outcome.transaction)
        if entry is None:
            continue
        ours += 1
        if outcome.fate is Fate.SKIPPED:
            again.append(entry.data)
    pending = len(body.pool.waiting) + len(body.pool.sealed) + body.checking_envelopes
    body.pool.pace.settled(body.now.monotonic_ms, ours, pending)
    if again:
        check_envelopes(body, tuple(again), None)
    body.count("envelopes_final", sum(1 for outcome in given.outcomes if outcome.fate is Fate.FINAL))
    body.work_stale = True
    advance(body)
    judge(body)
    build(body)
