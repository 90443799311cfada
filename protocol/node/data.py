"""Data: envelopes from clients become batches, batches from others become ready (L-7, L-9, L-11 to L-16).

Nothing here waits for consensus, and nothing in consensus waits for this but the judgement of a header:
batches flow beside the ordering.
"""

from __future__ import annotations

from typing import Any, Final

from protocol import limits
from protocol.codec import decode, encode
from protocol.crypto.contexts import Context
from protocol.dissemination import Held, State
from protocol.errors import (
    BAD_SIGNATURE,
    BROKEN_INVARIANT,
    DISK_FULL,
    INTERNAL_ERROR,
    MALFORMED,
    NOT_VALIDATOR,
    POOL_FULL,
    TOO_LARGE,
)
from protocol.ledger.genesis import members_decide
from protocol.ledger.records import Batch, BatchBody, Reference, batch_digest
from protocol.node.body import JOBS_MAX, Body, message_hash
from protocol.node.interface import (
    Admitted,
    Answer,
    BatchAccepted,
    BlockExecuted,
    CheckBatch,
    CheckEnvelopes,
    Fate,
    JournalKind,
    Priority,
    Refusal,
    Submit,
)
from protocol.node.ordering import advance, build, judge
from protocol.pool import Entry
from protocol.wire.messages import Announcement, EnvelopesRelayed

BATCH_OVERHEAD_BYTES: Final = 1_024
"""What a batch holds beside its envelopes, and more."""
ENVELOPE_JOBS_MAX: Final = 8
"""Checks of relayed envelopes in flight for one peer."""
OWN_SHARE_PERCENT: Final = 50
"""A node seals while its own unordered batches fill less than this of what others grant it (L-13)."""
RELAY_CHUNK: Final = 64
RELAYED_AT_ONCE_MAX: Final = 1_024
"""Envelopes that an observer passes on again at one time."""
RELAY_BACKOFF_STEPS: Final = 5
"""Doublings of the time until an envelope is passed on once more."""


# -- Envelopes --------------------------------------------------------------------------------------


def submit(body: Body, given: Submit) -> None:
    """A client's envelopes: refuse at once what needs no look, have the rest checked."""
    busy = _refuses_all(body, given.envelopes)
    if busy is not None:
        body.emit(Answer(given.ticket, (busy,) * len(given.envelopes)))
        return
    check_envelopes(body, given.envelopes, given.ticket)


def relayed(body: Body, envelopes: tuple[bytes, ...], peer: bytes) -> None:
    """What an observer passes on, within a part of a client's bounds (L-31); it passes the rest on again later."""
    checks = sum(1 for purpose in body.jobs.values() if purpose[0] == "envelopes" and purpose[3] == peer)
    waiting = len(body.pool.waiting) + body.checking_envelopes + len(envelopes)
    # Half of the pool is for this node's own clients, whatever observers pass on.
    crowded = checks >= ENVELOPE_JOBS_MAX or waiting > limits.POOL_ENVELOPES_MAX // 2
    if crowded or _refuses_all(body, envelopes) is not None:
        body.count("relays_passed_over")
        return
    check_envelopes(body, envelopes, None, peer)


def _refuses_all(body: Body, envelopes: tuple[bytes, ...]) -> Refusal | None:
    if body.disk_full:
        return Refusal(DISK_FULL, "this node's disk is nearly full or takes no writes; it accepts nothing now")
    waiting = len(body.pool.waiting) + body.checking_envelopes
    full = body.pool.waiting_bytes + body.checking_bytes + sum(map(len, envelopes)) > limits.POOL_BYTES_MAX
    if full or waiting + len(envelopes) > limits.POOL_ENVELOPES_MAX:
        return Refusal(POOL_FULL, f"{waiting} envelopes wait here; try again in a second, or another node")
    if not authors(body) and not body.neighbours.validators():
        return Refusal(NOT_VALIDATOR, "this node seals nothing itself and has no channel to a validator just now")
    return None


def authors(body: Body) -> bool:
    """Whether this node seals batches itself; an observer and an amnesiac pass envelopes on (L-16)."""
    return body.machine.core.me is not None and not body.amnesiac


def check_envelopes(body: Body, envelopes: tuple[bytes, ...], ticket: int | None, peer: bytes | None = None) -> None:
    """Have form, signatures and admission checked; too large ones are not even looked at."""
    small = tuple(data if len(data) <= limits.ENVELOPE_BYTES_MAX else b"" for data in envelopes)
    body.checking_envelopes += len(small)
    body.checking_bytes += sum(map(len, small))
    body.emit(CheckEnvelopes(body.job(("envelopes", ticket, small, peer)), small))


def envelopes_checked(body: Body, purpose: Any, verdicts: tuple[Admitted | Refusal, ...]) -> None:
    """Good ones go to the pool; the client is told."""
    _, ticket, envelopes, peer = purpose
    body.checking_envelopes -= len(envelopes)
    fresh: list[bytes] = []
    body.checking_bytes -= sum(map(len, envelopes))
    results: list[Admitted | Refusal] = []
    for data, verdict in zip(envelopes, verdicts, strict=True):
        result = verdict
        if not data:
            result = Refusal(TOO_LARGE, f"an envelope has at most {limits.ENVELOPE_BYTES_MAX} bytes")
        elif isinstance(verdict, Admitted):
            result = _pool(body, data, verdict)
            fresh.append(verdict.transaction)
        if isinstance(result, Refusal):
            _refused(body, result)
            if peer is not None and result.code in (MALFORMED, BAD_SIGNATURE):
                body.charge(peer, f"relayed an envelope that is refused as {result.code}")
        results.append(result)
    if ticket is not None:
        body.emit(Answer(ticket, tuple(results)))
    body.seal_after_ms = None
    if not authors(body):
        pass_on(body, fresh)


def _pool(body: Body, data: bytes, admitted: Admitted) -> Admitted | Refusal:
    entry = Entry(
        data,
        admitted.transaction,
        admitted.account,
        admitted.id,
        admitted.valid_until_ms,
        admitted.operations,
        admitted.signatures,
        body.now.monotonic_ms,
    )
    refused = body.pool.admit(entry)
    return admitted if refused is None else Refusal(refused[0], refused[1], admitted.transaction)


def _refused(body: Body, refusal: Refusal) -> None:
    body.note("envelope_refused", code=refusal.code, words=refusal.words, transaction=refusal.transaction)
    if refusal.transaction is not None and not body.pool.holds(refusal.transaction):
        body.pool.remember_refusal(refusal.transaction, refusal.code, refusal.words)


def pass_on_waiting(body: Body) -> None:
    """L-16: what an observer passed on and is not final goes to the next validator, ever more rarely."""
    if authors(body):
        return
    now, delay = body.now.monotonic_ms, body.parameters.relay_delay_ms
    for transaction in [transaction for transaction in body.relays if transaction not in body.pool.waiting]:
        del body.relays[transaction]
    due = [
        transaction
        for transaction, (last, times) in body.relays.items()
        if now - last >= delay * 2 ** min(times - 1, RELAY_BACKOFF_STEPS)
    ]
    pass_on(body, due[:RELAYED_AT_ONCE_MAX])


def pass_on(body: Body, transactions: list[bytes]) -> None:
    """Pass these waiting envelopes on to a validator that accepts."""
    peers = body.neighbours.peers
    validators = sorted(peer for peer in body.neighbours.validators() if peers[peer].accepting)
    chunks: dict[bytes, list[bytes]] = {}
    for transaction in transactions if validators else ():
        entry = body.pool.waiting.get(transaction)
        if entry is not None:
            _, times = body.relays.get(transaction, (0, 0))
            body.relays[transaction] = (body.now.monotonic_ms, times + 1)
            chunks.setdefault(validators[(body.setup.seed + times) % len(validators)], []).append(entry.data)
    for peer, envelopes in chunks.items():
        for group in _groups(envelopes):
            body.send((peer,), Priority.BATCHES, encode(EnvelopesRelayed(group)))
    if not validators:
        for transaction in transactions:
            body.relays.setdefault(transaction, (body.now.monotonic_ms, 1))


def _groups(envelopes: list[bytes]) -> list[tuple[bytes, ...]]:
    groups: list[list[bytes]] = [[]]
    size = 0
    for data in envelopes:
        if groups[-1] and (len(groups[-1]) >= RELAY_CHUNK or size + len(data) > limits.BATCH_BYTES_MAX):
            groups.append([])
            size = 0
        groups[-1].append(data)
        size += len(data)
    return [tuple(group) for group in groups]


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
    body.send(body.neighbours.validators(), Priority.BATCHES, data)
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
    if not in_time or (not needed and (body.disk_full or not body.batches.fits(account, len(data)))):
        body.count("batches_passed_over")
        return
    if len(body.jobs) >= JOBS_MAX:
        return
    reference = Reference(content.author, digest, len(data), len(content.envelopes))
    held = Held(reference, data, content.expiry_height, State.CHECKING, body.now.monotonic_ms, account=account)
    body.batches.add(held)
    body.emit(CheckBatch(body.job(("batch", digest, peer)), data))


def _may_author(body: Body, author: bytes) -> bool:
    """Whether an honest node may send a batch of this author: who is in a later epoch knows others than this node."""
    return members_decide(body.setup.genesis) or author in body.roster.keys


def batch_checked(body: Body, digest: bytes, peer: bytes, verdict: BatchAccepted | Refusal) -> None:
    """Good: store it, pass it on; it is ready. Bad: drop it whole, charge its author (L-13)."""
    held = body.batches.held.get(digest)
    if held is None:
        return
    if isinstance(verdict, Refusal):
        body.batches.drop(digest)
        if verdict.code == INTERNAL_ERROR:
            body.count("batches_unchecked")  # this node failed, and nobody else did
            return
        author = body.roster.node_of.get(held.reference.author, held.reference.author)
        # Whoever passes a batch on has verified it first: the one who sent it answers for it.
        body.charge(peer, f"a batch of {author.hex()[:16]} with {verdict.words}")
        return
    held.state = State.READY
    body.batches.charge_author(held)
    held.transactions = verdict.transactions
    body.persist(JournalKind.BATCH, held.data, patient=True)
    _pass_on_batch(body, digest, held.data, peer)
    key = body.key
    if key is None or held.reference.author != key.public:
        for transaction in held.transactions:
            body.batches.sealed_elsewhere.setdefault(transaction, body.now.monotonic_ms)
    _ready(body, digest)


def _pass_on_batch(body: Body, digest: bytes, data: bytes, sender: bytes) -> None:
    held = body.batches.held.get(digest)
    if held is None or held.state is State.CHECKING:
        return
    origin = body.roster.node_of.get(held.reference.author, sender)
    to = body.neighbours.pass_on(message_hash(digest), origin, sender, body.now.monotonic_ms)
    validators = set(body.neighbours.validators())
    body.send(tuple(peer for peer in to if peer in validators), Priority.BATCHES, data)


def _ready(body: Body, digest: bytes) -> None:
    """L-13: it is ready: what waited for it is looked at again.

    Its record is durable with whatever comes to rest on it: a vote, a proposal, or the block in the segments.
    """
    body.batch_wants.settle(digest)
    body.work_stale = True
    judge(body)
    advance(body)


def announced(body: Body, announcement: Announcement, peer: bytes) -> None:
    """L-15: a batch known only from announcements for longer than relay_delay_ms is asked for."""
    if peer not in body.roster.signer_of:
        return
    for reference in announcement.references:
        held = body.batches.held.get(reference.digest)
        if held is not None:
            held.announced_by.add(peer)
        elif _would_take(body, reference):
            since = body.now.monotonic_ms + body.parameters.relay_delay_ms
            body.batch_wants.add(reference.digest, [peer], since)


def _would_take(body: Body, reference: Reference) -> bool:
    known = reference.digest in body.chain.used or reference.author not in body.roster.keys
    return not known and body.batches.fits(reference.author, reference.bytes)


def announce(body: Body) -> None:
    """C-15: who has batches that are not in the ancestry says so to every validator."""
    since = body.now.monotonic_ms - body.parameters.retry_interval_ms
    old = [held.reference for held in body.batches.unordered() if held.since_ms <= since]
    if old:
        chosen = tuple(old[: limits.REFERENCES_MAX])
        body.send(body.neighbours.validators(), Priority.BATCHES, encode(Announcement(chosen)))


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
    words = body.chain.executed(given.executed)
    if words is not None:
        body.halt(BROKEN_INVARIANT, words)
        return
    again: list[bytes] = []
    for outcome in given.outcomes:
        entry = body.pool.settle(outcome.transaction)
        body.relays.pop(outcome.transaction, None)
        if entry is not None and outcome.fate is Fate.SKIPPED:
            again.append(entry.data)
    if again:
        check_envelopes(body, tuple(again), None)
    body.count("envelopes_final", sum(1 for outcome in given.outcomes if outcome.fate is Fate.FINAL))
    body.work_stale = True
    advance(body)
    judge(body)
    build(body)
