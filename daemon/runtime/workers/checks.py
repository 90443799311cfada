"""Judging signatures, envelopes and batches, in steps that something more urgent can come between.

Each function is a job (child.py): it yields after about `CHUNK_SIGNATURES` signatures or as much other work, and
returns the verdict, which a worker packs for the pipe (results.py). What an envelope or batch is refused for carries a
code of the table and words that name the place; nothing that a client or peer sends ends a job in any other way.

A refusal names the transaction only if the signatures were good: only then is it remembered (L-9), so nobody can have a
stranger's envelope remembered as refused by sending it with a bad signature.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise

from daemon.limits import CHUNK_SIGNATURES
from daemon.runtime.workers.results import BatchVerdict, Verdict
from protocol.crypto.signing import verify_message
from protocol.errors import BAD_SIGNATURE, Refused
from protocol.ledger.batch import ParsedBatch, batch_signature_items, parse_batch_in_steps
from protocol.ledger.envelope import ParsedEnvelope, parse_envelope, signature_items
from protocol.node.interface import Admitted, BatchAccepted, Refusal

Admit = Callable[[ParsedEnvelope], None]
"""Judges an envelope with good signatures. Raises Refused."""
Looking = Callable[[], AbstractContextManager[Admit]]
"""Looks at the newest executed state, and judges by it for a while."""
Envelopes = Generator[None, None, tuple[Verdict, ...]]
Batches = Generator[None, None, BatchVerdict]


def check_signatures(items: Sequence[Sequence[bytes]]) -> Generator[None, None, bytes]:
    """One byte a signature, 1 if it is valid by L-3."""
    good = bytearray()
    for start in _starts(len(items)):
        if start:
            yield
        good += bytes(verify_message(*item) for item in items[start : start + CHUNK_SIGNATURES])
    return bytes(good)


def check_envelopes(envelopes: Sequence[bytes], network_id: bytes, looking: Looking) -> Envelopes:
    """A verdict for each envelope: form, signatures, admission (L-5, L-3, L-7)."""
    verdicts: list[Verdict] = []
    while len(verdicts) < len(envelopes):
        if verdicts:
            yield
        signatures = 0
        with looking() as admit:
            while len(verdicts) < len(envelopes) and signatures < CHUNK_SIGNATURES:
                verdict, count = _judge(envelopes[len(verdicts)], network_id, admit)
                verdicts.append(verdict)
                signatures += count
    return tuple(verdicts)


def check_batch(data: bytes, network_id: bytes) -> Batches:
    """The verdict on a batch: whole or not at all (L-13)."""
    try:
        parsed = yield from parse_batch_in_steps(data, network_id, 4 * CHUNK_SIGNATURES)
    except Refused as fault:
        return Refusal(fault.code, fault.words)
    items = batch_signature_items(parsed)
    for start in _starts(len(items)):
        yield
        for offset, item in enumerate(items[start : start + CHUNK_SIGNATURES]):
            if not verify_message(*item):
                return Refusal(BAD_SIGNATURE, _place(parsed, start + offset))
    transactions = tuple([envelope.transaction for envelope in parsed.envelopes])
    return BatchAccepted(parsed.digest, parsed.author, parsed.expiry_height, transactions)


def admitted(parsed: ParsedEnvelope) -> Admitted:
    """What the node keeps of an envelope that passed."""
    body = parsed.body
    return Admitted(
        parsed.transaction, body.account, body.id, body.valid_until_ms, len(body.operations), len(parsed.signatures)
    )


def _judge(data: bytes, network_id: bytes, admit: Admit) -> tuple[Verdict, int]:
    """The verdict, and how many signatures it cost (an envelope of bad form counts as one)."""
    try:
        parsed = parse_envelope(data, network_id)
    except Refused as fault:
        return Refusal(fault.code, fault.words), 1
    for item in signature_items(parsed):
        if not verify_message(*item):
            words = f"the signature by {item.public.hex()} does not verify"
            return Refusal(BAD_SIGNATURE, words), len(parsed.signatures)
    try:
        admit(parsed)
    except Refused as fault:
        return Refusal(fault.code, fault.words, parsed.transaction), len(parsed.signatures)
    return admitted(parsed), len(parsed.signatures)


def _starts(count: int) -> Iterable[int]:
    return range(0, count, CHUNK_SIGNATURES)


def _place(parsed: ParsedBatch, index: int) -> str:
    """Whose signature the item of that index is, in words: the author's first, then the envelopes' in order."""
    if index == 0:
        return "the author's signature does not verify"
    ends = [1]
    for envelope in parsed.envelopes:
        ends.append(ends[-1] + len(envelope.signatures))
    which = next(number for number, (low, high) in enumerate(pairwise(ends)) if low <= index < high)
    return f"envelopes[{which}]: a signature does not verify"
