"""Delivering envelopes: each acts once, and what is reported is what the ledger says (L-7, L-9).

The same envelope may be sent any number of times, to any nodes; it becomes final at most once. So the client sends
until a node answers with an outcome, and what remains to decide is when *no* is an answer. For each envelope it
remembers one thing: whether any node may **hold** it.

* An exchange that ended without an answer after something was sent, and a node that said *pending*, *stopping* or
  failed on the way: from then on some node may hold it, for ever.
* So may one of an envelope that comes from an earlier delivery, a cancelled one too, from another one at the same time,
  or from a file (`sealing.Copies`). Only what this process sealed, and no node can have, begins as held by nobody.
* A refusal by a node is about that node. If none may hold the envelope, the refusal is the outcome: nobody will ever
  seal it (`TransactionRefused`). If one may, the refusal is remembered, and the client asks on.
* What is void by its bytes alone (cut short, a bad signature), as this program sees for itself, nobody ever seals: the
  first refusal of it is the outcome, whoever else was given it.
* *Final* and *expired* are the ledger's, whoever says them.

So every conversation ends with the receipt, with a refusal that cannot be overtaken, with *expired*, or, when the time
given is over, with *not known yet* and the envelope to ask on with. A time-out never ends one.

What a node refuses for pressure it does not hold; it is sent again, to another endpoint first. Envelopes travel many at
a time; what is settled leaves the conversation, the rest is sent again, which is also how the client asks about many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgpack

from daemon.client.asking import Asker, refusal_of, words_of
from daemon.client.conversation import Answer, Conversation, NoAnswer, Question
from daemon.client.endpoints import back_off_seconds
from daemon.client.errors import (
    ClientError,
    OutcomeUnknown,
    TransactionExpired,
    TransactionRefused,
)
from daemon.client.sealing import Sealed
from daemon.client.views import BadAnswer, Outcome, Receipt, Stage, json_object, list_of, read_outcome
from protocol import limits
from protocol.codec import decode
from protocol.crypto.signing import verify_message
from protocol.errors import (
    ACCOUNT_SHARE_FULL,
    CODES,
    DISK_FULL,
    DUPLICATE,
    NOT_READY,
    NOT_VALIDATOR,
    POOL_FULL,
    QUOTA_EXCEEDED,
    Fault,
    Malformed,
    Refused,
    Retry,
)
from protocol.ledger.application import Rules
from protocol.ledger.envelope import parse_envelope, signature_items
from protocol.ledger.records import Envelope, EnvelopeBody

ENVELOPES_MAX: Final = 1_000
ENVELOPES_BYTES_MAX: Final = 2 * limits.MIB
"""Of one post: well below what the API takes (1,000 envelopes, 4 MiB), which a proxy before it may halve."""
WAIT_SECONDS: Final = 10.0
"""How long a node is asked to wait for finality before it answers what it knows; the API allows 30."""

NOT_HELD: Final = frozenset({POOL_FULL, ACCOUNT_SHARE_FULL, DISK_FULL, NOT_VALIDATOR, QUOTA_EXCEEDED, NOT_READY})
"""Refused for pressure before the envelope was taken. `stopping` and `api_busy` are not among them: they
may be said of a post that the node had taken in already."""


@dataclass(slots=True)
class Parcel:
    """An envelope on its way. held: whether a node may hold what was posted here. refusal: the last, (code, words)."""

    sealed: Sealed
    held: bool = False
    refusal: tuple[str, str] | None = None
    result: Receipt | ClientError | None = None
    mark: object = field(default_factory=object)

    @property
    def may_be_held(self) -> bool:
        """Whether some node may hold it, whoever posted it."""
        return self.held or self.sealed.copies.besides(self.mark)


class Delivery:
    """One conversation that settles some envelopes. rules: to open results with."""

    def __init__(self, asker: Asker, rules: Rules, sealed: Sequence[Sealed], deadline_seconds: float) -> None:
        self._asker = asker
        self._rules = rules
        self._parcels = [Parcel(item) for item in sealed]
        self._deadline = deadline_seconds
        self._attempts: dict[str, str] = {}
        self._hurried = 0

    def run(self) -> Conversation[list[Receipt | ClientError]]:
        """For each envelope, in order: its receipt (of success or failure), or an error as in the essay."""
        while open_ := [parcel for parcel in self._parcels if parcel.result is None]:
            endpoint = yield from self._asker.choose(self._deadline)
            if endpoint is None:
                break
            chunk = first_chunk(open_)
            for parcel in chunk:
                parcel.sealed.copies.add(parcel.mark)  # before it may arrive: when this is cancelled, it stays
            yield from self._post(endpoint, chunk)
            for parcel in chunk:
                if not parcel.held:
                    parcel.sealed.copies.discard(parcel.mark)
        return [parcel.result or self._unsettled(parcel) for parcel in self._parcels]

    # -- One post -----------------------------------------------------------------------------------

    def _post(self, endpoint: str, chunk: Sequence[Parcel]) -> Conversation[None]:
        """Send some envelopes to an endpoint, and draw the consequences of what it says of each."""
        wait_seconds, began_seconds = self._wait_seconds(), self._asker.surroundings.monotonic_seconds()
        body = bytes(msgpack.packb([parcel.sealed.data for parcel in chunk]))
        query = (("wait_ms", str(int(wait_seconds * 1000))),)
        question = Question("POST", "/v1/envelopes", query, body, "application/msgpack")
        reply = yield from self._asker.exchange(endpoint, question, self._deadline, wait_seconds)
        try:
            outcomes = self._read(reply, chunk)
        except BadAnswer as fault:
            self._attempts[endpoint] = str(fault) or words_of(reply)
            self._unread(endpoint, reply, chunk)
            return
        waited_seconds = self._asker.surroundings.monotonic_seconds() - began_seconds
        if any(outcome.stage is Stage.PENDING for outcome in outcomes) and waited_seconds < wait_seconds / 2:
            self._hurried += 1  # it was asked to wait and did not: it may be stopping
            pause = back_off_seconds(self._hurried - 1, self._asker.surroundings.random)
            yield from self._asker.pause(pause, self._deadline)
        is_fruitful = True
        for parcel, outcome in zip(chunk, outcomes, strict=True):
            is_fruitful &= yield from self._take(endpoint, parcel, outcome)
        if is_fruitful:
            self._asker.endpoints.answered(endpoint)
        else:
            # What this node does not want now another one may; this one is asked again after its pause.
            wished = reply.retry_after_seconds if isinstance(reply, Answer) else None
            self._asker.endpoints.failed(endpoint, wished)

    def _read(self, reply: Answer | NoAnswer, chunk: Sequence[Parcel]) -> list[Outcome]:
        """An outcome for each envelope. Raises BadAnswer if the reply holds none."""
        if isinstance(reply, NoAnswer):
            raise BadAnswer(reply.words)
        results: Any = None
        if reply.status < 300 or b'"results"' in reply.body:  # a refusal of all for pressure may list them, too
            results = list_of(json_object(reply.body), "results")
        if results is None:
            raise BadAnswer(words_of(reply))
        if len(results) != len(chunk) or not all(isinstance(item, dict) for item in results):
            raise BadAnswer(f"answered {len(results)} results to {len(chunk)} envelopes")
        pairs = zip(chunk, results, strict=True)
        return [read_outcome(v, p.sealed.transaction, self._rules, p.sealed.operations) for p, v in pairs]

    def _unread(self, endpoint: str, reply: Answer | NoAnswer, chunk: Sequence[Parcel]) -> None:
        """No outcome came: may they be held now, are they refused as a whole, or was nothing sent?"""
        refusal = refusal_of(reply, endpoint)
        self._asker.endpoints.failed(endpoint, None if refusal is None else refusal.retry_after_seconds)
        if refusal is None or (refusal.status >= 500 and refusal.code not in NOT_HELD):
            arrived = isinstance(reply, Answer) or reply.may_have_arrived
            for parcel in chunk:
                parcel.held |= arrived
            return
        for parcel in chunk:
            parcel.refusal = (refusal.code, refusal.words)
            if not parcel.may_be_held and _is_about_content(refusal.code):
                parcel.result = TransactionRefused(parcel.sealed.transaction, refusal.words, code=refusal.code)

    # -- One envelope -------------------------------------------------------------------------------

    def _take(self, endpoint: str, parcel: Parcel, outcome: Outcome) -> Conversation[bool]:
        """Draw the consequence of what a node said; whether it is settled, or waited for here."""
        if self._settle(parcel, outcome):
            return True
        parcel.held |= outcome.stage is not Stage.REFUSED or outcome.code == DUPLICATE
        if outcome.stage is Stage.PENDING:
            return True
        if outcome.stage is Stage.REFUSED and outcome.code != DUPLICATE:
            parcel.refusal = (outcome.code, outcome.words)
            if _is_about_content(outcome.code) and (not parcel.may_be_held or is_void(parcel.sealed)):
                words = outcome.words or outcome.code
                parcel.result = TransactionRefused(parcel.sealed.transaction, words, code=outcome.code)
                return True
            parcel.held |= outcome.code not in NOT_HELD and not _is_about_content(outcome.code)
            if not parcel.may_be_held:
                return False
        return (yield from self._look(endpoint, parcel))

    def _look(self, endpoint: str, parcel: Parcel) -> Conversation[bool]:
        """Ask what became of it, by its identity: so the node can tell *expired*."""
        question = outcome_question(parcel.sealed, 0.0)
        reply = yield from self._asker.exchange(endpoint, question, self._deadline)
        try:
            if isinstance(reply, NoAnswer) or reply.status >= 300:
                raise BadAnswer(words_of(reply))
            outcome = read_outcome(
                json_object(reply.body), parcel.sealed.transaction, self._rules, parcel.sealed.operations
            )
        except BadAnswer as fault:
            self._attempts[endpoint] = str(fault)
            return False
        return self._settle(parcel, outcome)

    def _settle(self, parcel: Parcel, outcome: Outcome) -> bool:
        """Whether the outcome is the ledger's; then a node that is behind may still refuse it when it is sent again."""
        if outcome.stage is Stage.FINAL:
            parcel.result = outcome.receipt
        elif outcome.stage is Stage.EXPIRED:
            parcel.result = TransactionExpired(parcel.sealed.transaction, parcel.refusal)
        else:
            return False
        parcel.held = True
        return True

    def _wait_seconds(self) -> float:
        left = self._deadline - self._asker.surroundings.monotonic_seconds()
        return max(0.0, min(WAIT_SECONDS, left / 2 if left < 2 * WAIT_SECONDS else WAIT_SECONDS))

    def _unsettled(self, parcel: Parcel) -> ClientError:
        """The time is over."""
        if parcel.may_be_held:
            last = parcel.refusal or ("", "; ".join(f"{url}: {words}" for url, words in self._attempts.items()))
            return OutcomeUnknown(parcel.sealed, ": ".join(filter(None, last)) or "no node gave an outcome yet")
        if parcel.refusal is not None:
            return TransactionRefused(parcel.sealed.transaction, parcel.refusal[1], code=parcel.refusal[0])
        return self._asker.nobody(self._attempts)


def first_chunk(parcels: Sequence[Parcel]) -> list[Parcel]:
    """As many of the first as one post may hold, at least one."""
    chunk: list[Parcel] = []
    size = 0
    for parcel in parcels[:ENVELOPES_MAX]:
        size += len(parcel.sealed.data) + 5
        if chunk and size > ENVELOPES_BYTES_MAX:
            break
        chunk.append(parcel)
    return chunk


def outcome_question(sealed: Sealed, wait_seconds: float) -> Question:
    """What became of an envelope, with its identity (L-9)."""
    query = (
        ("account", sealed.account.hex()),
        ("id", sealed.id.hex()),
        ("valid_until_ms", str(sealed.valid_until_ms)),
    )
    wait = (("wait_ms", str(int(wait_seconds * 1000))),) if wait_seconds > 0 else ()
    return Question("GET", f"/v1/transactions/{sealed.transaction.hex()}", (*query, *wait))


def is_void(sealed: Sealed) -> bool:
    """Whether no state and no time could make the envelope good: its form is not, or a signature in it."""
    try:
        network_id = decode(EnvelopeBody, decode(Envelope, sealed.data).body).network_id
        items = signature_items(parse_envelope(sealed.data, network_id))
    except (Malformed, Refused):
        return True
    return not all(verify_message(*item) for item in items)


def _is_about_content(code: str) -> bool:
    """Whether a refusal is of what the envelope says: the node that gave it does not hold the envelope."""
    known = CODES.get(code)
    return known is not None and known.fault in (Fault.CLIENT, Fault.OPERATOR) and known.retry is not Retry.LATER
