"""Data: envelopes from clients become batches, batches from others become ready (L-7, L-9, L-11 to L-16).

Nothing here waits for consensus, and nothing in consensus waits for this but the judgement of a header:
batches flow beside the ordering.
"""

from __future__ import annotations

from typing import Final

from protocol import limits
from protocol.codec import decode, encode
from protocol.crypto.contexts import Context
from protocol.dissemination import Held, State
from protocol.errors import DISK_FULL, INTERNAL_ERROR, NOT_VALIDATOR, POOL_FULL, TOO_LARGE
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

OWN_SHARE_PERCENT: Final = 50
"""A node seals while its own unordered batches fill less than this of what others grant it (L-13)."""
RELAY_CHUNK: Final = 64


# -- Envelopes --------------------------------------------------------------------------------------


def submit(body: Body, given: Submit) -> None:
    """A client's envelopes: refuse at once what needs no look, have the rest checked."""
    busy = _refuses_all(body, given.envelopes)
    if busy is not None:
        body.emit(Answer(given.ticket, (busy,) * len(given.envelopes)))
        return
    check_envelopes(body, given.envelopes, given.ticket)


def relayed(body: Body, envelopes: tuple[bytes, ...]) -> None:
    """What an observer passes on, within the same bounds as a client's (L-31); it passes the rest on again later."""
    if _refuses_all(body, envelopes) is not None:
        body.count("relays_passed_over")
        return
    check_envelopes(body, envelopes, None)


def _refuses_all(body: Body, envelopes: tuple[bytes, ...]) -> Refusal | None:
    if body.disk_full:
        return Refusal(DISK_FULL, "the disk of this node is nearly full; it accepts nothing until there is room")
    waiting = len(body.pool.waiting) + body.checking_envelopes
    full = body.pool.waiting_bytes + body.checking_bytes + sum(map(len, envelopes)) > limits.POOL_BYTES_MAX
    if full or waiting + len(envelopes) > limits.POOL_ENVELOPES_MAX:
        return Refusal(POOL_FULL, f"{waiting} envelopes wait here; try again in a second, or another node")
    if body.machine.core.me is None and not body.neighbours.validators():
        return Refusal(NOT_VALIDATOR, "this observer has no channel to a validator just now")
    return None


def check_envelopes(body: Body, envelopes: tuple[bytes, ...], ticket: int | None) -> None:
    """Have form, signatures and admission checked; too large ones are not even looked at."""
    small = tuple(data if len(data) <= limits.ENVELOPE_BYTES_MAX else b"" for data in envelopes)
    body.checking_envelopes += len(small)
    body.checking_bytes += sum(map(len, small))
    body.emit(CheckEnvelopes(body.job(("envelopes", ticket, small)), small))


def envelopes_checked(
    body: Body, ticket: int | None, envelopes: tuple[bytes, ...], verdicts: tuple[Admitted | Refusal, ...]
) -> None:
    """Good ones go to the pool; the client is told."""
    body.checking_envelopes -= len(envelopes)
    body.checking_bytes -= sum(map(len, envelopes))
    results: list[Admitted | Refusal] = []
    for data, verdict in zip(envelopes, verdicts, strict=True):
        result = verdict
        if not data:
            result = Refusal(TOO_LARGE, f"an envelope has at most {limits.ENVELOPE_BYTES_MAX} bytes")
        elif isinstance(verdict, Admitted):
            result = _pool(body, data, verdict)
        if isinstance(result, Refusal):
            _refused(body, result)
        results.append(result)
    if ticket is not None:
        body.emit(Answer(ticket, tuple(results)))
    if body.machine.core.me is None:
        pass_on_envelopes(body)


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


def pass_on_envelopes(body: Body) -> None:
    """L-16: an observer passes what waits on to a validator, and to the next whenever it takes too long."""
    validators = sorted(body.neighbours.validators())
    if not validators:
        return
    now, chunks = body.now.monotonic_ms, dict[bytes, list[bytes]]()
    for transaction, entry in body.pool.waiting.items():
        last, times = body.relays.get(transaction, (None, 0))
        if last is not None and now - last < body.parameters.relay_delay_ms:
            continue
        body.relays[transaction] = (now, times + 1)
        chunks.setdefault(validators[(body.setup.seed + times) % len(validators)], []).append(entry.data)
    for transaction in [transaction for transaction in body.relays if transaction not in body.pool.waiting]:
        del body.relays[transaction]
    for peer, envelopes in chunks.items():
        for group in _groups(envelopes):
            body.send((peer,), Priority.BATCHES, encode(EnvelopesRelayed(group)))


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
    key = body.setup.voting_key
    if key is None or body.machine.core.me is None or body.disk_full or body.amnesiac:
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
    if body.pool.waiting_bytes >= body.parameters.batch_bytes:
        return body.now.monotonic_ms
    return oldest + body.parameters.batch_wait_ms


def seal(body: Body) -> None:
    """L-11: seal a batch, make it durable, send it to every validator."""
    key = body.setup.voting_key
    now = body.now.monotonic_ms
    due = seal_due_ms(body)
    if key is None or due is None or due > now:
        return
    entries = body.pool.take(body.parameters.batch_bytes, lambda transaction: _held_back(body, transaction))
    if not entries:
        return
    expiry = body.chain.final.height + body.parameters.batch_ttl_max
    content = encode(BatchBody(body.network_id, key.public, expiry, tuple(entry.data for entry in entries)))
    data = encode(Batch(content, key.sign(Context.BATCH, body.network_id, content)))
    reference = Reference(key.public, batch_digest(content), len(data), len(entries))
    transactions = tuple(entry.transaction for entry in entries)
    body.batches.add(Held(reference, data, expiry, State.STORING, now, transactions))
    body.persist(JournalKind.BATCH, data, ("batch", reference.digest))
    body.send(body.neighbours.validators(), Priority.BATCHES, data)
    body.count("batches_sealed")


def _held_back(body: Body, transaction: bytes) -> bool:
    since = body.batches.sealed_elsewhere.get(transaction)
    return since is not None and body.now.monotonic_ms - since < body.parameters.relay_delay_ms


# -- Batches of others ------------------------------------------------------------------------------


def batch_received(body: Body, batch: Batch, data: bytes, peer: bytes) -> None:
    """Take a batch in for checking, if it is of use and within its author's bound (L-13)."""
    digest = batch_digest(batch.body)
    if digest in body.batches.held or digest in body.batches.recent or digest in body.chain.used:
        _pass_on_batch(body, digest, data, peer)
        return
    content = decode(BatchBody, batch.body)
    if content.network_id != body.network_id or content.author not in body.roster.keys:
        body.charge(peer, "a batch of another network, or by no validator")
        return
    wanted = digest in body.batch_wants.missing
    height = body.chain.final.height
    # A node that is behind sees batches from the future: they are of use when it has caught up.
    in_time = height < content.expiry_height <= height + 2 * body.parameters.batch_ttl_max
    if not wanted and (not in_time or not body.batches.fits(content.author, len(data))):
        body.count("batches_passed_over")
        return
    if len(body.jobs) >= JOBS_MAX:
        return
    reference = Reference(content.author, digest, len(data), len(content.envelopes))
    body.batches.add(Held(reference, data, content.expiry_height, State.CHECKING, body.now.monotonic_ms))
    body.emit(CheckBatch(body.job(("batch", digest, peer)), data))


def batch_checked(body: Body, digest: bytes, peer: bytes, verdict: BatchAccepted | Refusal) -> None:
    """Good: make it durable, pass it on. Bad: drop it whole, charge its author (L-13)."""
    held = body.batches.held.get(digest)
    if held is None:
        return
    if isinstance(verdict, Refusal):
        body.batches.drop(digest)
        if verdict.code == INTERNAL_ERROR:
            body.count("batches_unchecked")  # this node failed, and nobody else did
            return
        author = body.roster.node_of[held.reference.author]
        # Whoever passes a batch on has verified it first: the one who sent it answers for it.
        body.charge(peer, f"a batch of {author.hex()[:16]} with {verdict.words}")
        return
    held.state = State.STORING
    held.transactions = tuple(envelope.transaction for envelope in verdict.envelopes)
    body.persist(JournalKind.BATCH, held.data, ("batch", digest))
    _pass_on_batch(body, digest, held.data, peer)


def _pass_on_batch(body: Body, digest: bytes, data: bytes, sender: bytes) -> None:
    held = body.batches.held.get(digest)
    if held is None or held.state is State.CHECKING:
        return
    origin = body.roster.node_of[held.reference.author]
    to = body.neighbours.pass_on(message_hash(digest), origin, sender, body.now.monotonic_ms)
    validators = set(body.neighbours.validators())
    body.send(tuple(peer for peer in to if peer in validators), Priority.BATCHES, data)


def batch_durable(body: Body, digest: bytes) -> None:
    """L-13: it is ready. What waited for it is looked at again."""
    held = body.batches.held.get(digest)
    if held is None:
        return
    held.state = State.READY
    body.batch_wants.settle(digest)
    key = body.setup.voting_key
    if key is None or held.reference.author != key.public:
        for transaction in held.transactions:
            body.batches.sealed_elsewhere.setdefault(transaction, body.now.monotonic_ms)
    body.work_stale = True
    judge(body)
    advance(body)


def announced(body: Body, announcement: Announcement, peer: bytes) -> None:
    """L-15: a batch known only from announcements for longer than relay_delay_ms is asked for."""
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
    body.chain.executed(given.executed)
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
