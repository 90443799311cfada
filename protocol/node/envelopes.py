"""Envelopes: from a client, or from an observer that passes them on, into the pool (L-7, L-9, L-16).

What can be refused without a look is refused at once; the rest is checked elsewhere, waits in the pool, and the client
is told. A node that seals no batches itself passes on what waits here to a validator, again and again, ever more
rarely, until it is final; where it has a channel to none, to an observer that has one. `data` makes batches of what
waits.
"""

from __future__ import annotations

from typing import Any, Final

from protocol import limits
from protocol.codec import encode
from protocol.errors import BAD_SIGNATURE, DISK_FULL, MALFORMED, NOT_VALIDATOR, POOL_FULL, TOO_LARGE
from protocol.node.body import Body
from protocol.node.interface import Admitted, Answer, CheckEnvelopes, Priority, Refusal, Submit
from protocol.pool import Entry
from protocol.wire.messages import EnvelopesRelayed

ENVELOPE_JOBS_MAX: Final = 8
"""Checks of relayed envelopes in flight for one peer."""
WAIT_MS: Final = 4_000
WAIT_DELTAS: Final = 16
"""A node that would need longer, and longer than so many Δ, for what it holds takes nothing more."""
RELAY_CHUNK: Final = 64
RELAYED_AT_ONCE_MAX: Final = 1_024
"""Envelopes that an observer passes on again at one time."""
RELAY_BACKOFF_STEPS: Final = 5
"""Doublings of the time until an envelope is passed on once more."""


def submit(body: Body, given: Submit) -> None:
    """A client's envelopes: refuse at once what needs no look, have the rest checked."""
    busy = _refuses_all(body, given.envelopes)
    if busy is not None:
        body.emit(Answer(given.ticket, (busy,) * len(given.envelopes)))
        return
    check_envelopes(body, given.envelopes, given.ticket)


def relayed(body: Body, envelopes: tuple[bytes, ...], peer: bytes) -> None:
    """What an observer passes on, within a part of a client's bounds (L-31); it passes the rest on again later.

    An observer takes it too where it has a channel to a validator: then it never goes from observer to observer twice.
    A validator without its memory does not: it is a validator to others, so two of them would pass it to and fro.
    """
    if not authors(body) and (body.machine.core.me is not None or not body.neighbours.validators()):
        return
    checks = sum(1 for purpose in body.jobs.values() if purpose[0] == "envelopes" and purpose[3] == peer)
    # Half of the pool is for this node's own clients, whatever observers pass on.
    if checks >= ENVELOPE_JOBS_MAX or _refuses_all(body, envelopes, parts=2) is not None:
        body.count("relays_passed_over")
        return
    check_envelopes(body, envelopes, None, peer)


def _refuses_all(body: Body, envelopes: tuple[bytes, ...], parts: int = 1) -> Refusal | None:
    """Why none of these is even looked at, if so. They may fill one of so many parts of the pool."""
    if body.disk_full:
        return Refusal(DISK_FULL, "this node's disk is nearly full or takes no writes; it accepts nothing now")
    waiting = len(body.pool.waiting) + body.checking_envelopes
    full = body.pool.waiting_bytes + body.checking_bytes + sum(map(len, envelopes)) > limits.POOL_BYTES_MAX // parts
    if full or waiting + len(envelopes) > limits.POOL_ENVELOPES_MAX // parts:
        return Refusal(POOL_FULL, f"{waiting} envelopes wait here; try again in a second, or another node")
    if not authors(body) and not _takers(body):
        return Refusal(NOT_VALIDATOR, "this node seals nothing itself and reaches no validator just now")
    words = _busy(body, b"")
    return None if words is None else Refusal(POOL_FULL, words)


def _busy(body: Body, account: bytes) -> str | None:
    """Words if a new envelope of this account (empty: of one that has none here) would take too long."""
    ahead = body.checking_envelopes + body.pool.ahead_of(account)
    wait_ms = body.pool.pace.wait_ms(body.now.monotonic_ms, ahead)
    if wait_ms is None or wait_ms <= max(WAIT_MS, WAIT_DELTAS * body.parameters.delta_ms):
        return None
    body.count("envelopes_too_many")
    return f"what waits here will take {wait_ms // 1000} s; try again later, or another node"


def _takers(body: Body) -> tuple[bytes, ...]:
    """Who is passed envelopes: validators; where this node has a channel to none, observers that hear one."""
    return body.neighbours.validators() or body.neighbours.carriers(body.setup.node_key)


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
            if not body.pool.holds(verdict.transaction):  # what waits already is passed on again by its own time
                fresh.append(verdict.transaction)
            result = _pool(body, data, verdict, judged_anew=ticket is None and peer is None)
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


def _pool(body: Body, data: bytes, admitted: Admitted, *, judged_anew: bool) -> Admitted | Refusal:
    words = None if judged_anew or body.pool.knows(admitted.transaction) else _busy(body, admitted.account)
    if words is not None:
        return Refusal(POOL_FULL, words, admitted.transaction)
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
    """L-16: what an observer passed on and is not final goes to the next validator, ever more rarely.

    What waited here while this node still was a validator, or came back from a batch of its own that expired since, was
    never passed on: it goes first.
    """
    if authors(body):
        return
    now, delay, waiting = body.now.monotonic_ms, body.parameters.relay_delay_ms, body.pool.waiting
    for transaction in [transaction for transaction in body.relays if transaction not in waiting]:
        del body.relays[transaction]
    left = len(body.relays) < len(waiting)
    due = [transaction for transaction in waiting if transaction not in body.relays] if left else []
    due += [
        transaction
        for transaction, (last, times) in body.relays.items()
        if now - last >= delay * 2 ** min(times - 1, RELAY_BACKOFF_STEPS)
    ]
    pass_on(body, due[:RELAYED_AT_ONCE_MAX])


def pass_on(body: Body, transactions: list[bytes]) -> None:
    """Pass these waiting envelopes on to a validator, or to who stands before one, that accepts."""
    peers = body.neighbours.peers
    takers = sorted(peer for peer in _takers(body) if peers[peer].accepting)
    chunks: dict[bytes, list[bytes]] = {}
    for transaction in transactions if takers else ():
        entry = body.pool.waiting.get(transaction)
        if entry is not None:
            _, times = body.relays.get(transaction, (0, 0))
            body.relays[transaction] = (body.now.monotonic_ms, times + 1)
            chunks.setdefault(takers[(body.setup.seed + times) % len(takers)], []).append(entry.data)
    for peer, envelopes in chunks.items():
        for group in _groups(envelopes):
            body.send((peer,), Priority.BATCHES, encode(EnvelopesRelayed(group)))
    if not takers:
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
