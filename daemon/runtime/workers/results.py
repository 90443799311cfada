"""What workers answer, as plain lists, and back: the one place that knows both forms.

Inside the pipe a record is a list of its fields. Both directions of each are here, side by side, so that they are
changed together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from protocol.codec import decode, encode
from protocol.ledger.genesis import ValidatorSet
from protocol.ledger.members import Governed, ValidatorNode
from protocol.ledger.records import Executed
from protocol.node.interface import Admitted, BatchAccepted, BlockExecuted, Fate, Outcome, Refusal

Verdict = Admitted | Refusal
BatchVerdict = BatchAccepted | Refusal
REFUSAL_FIELDS = 3
"""A refusal is [code, words, transaction or nil]; no other verdict has three fields."""


def pack_verdict(verdict: Verdict) -> list[Any]:
    """An envelope's verdict: [transaction, account, id, valid_until_ms, operations, signatures] or a refusal."""
    if type(verdict) is Refusal:
        return _pack_refusal(verdict)
    assert type(verdict) is Admitted
    return [
        verdict.transaction,
        verdict.account,
        verdict.id,
        verdict.valid_until_ms,
        verdict.operations,
        verdict.signatures,
    ]


def _pack_refusal(refusal: Refusal) -> list[Any]:
    return [refusal.code, refusal.words, refusal.transaction]


def unpack_verdicts(raw: Sequence[Sequence[Any]]) -> tuple[Verdict, ...]:
    """The inverse of `pack_verdict`, for each."""
    return tuple(Refusal(*one) if len(one) == REFUSAL_FIELDS else Admitted(*one) for one in raw)


def pack_batch_verdict(verdict: BatchVerdict) -> list[Any]:
    """A batch's verdict: [digest, author, expiry height, transactions] or a refusal."""
    if type(verdict) is Refusal:
        return _pack_refusal(verdict)
    assert type(verdict) is BatchAccepted
    return [verdict.digest, verdict.author, verdict.expiry_height, verdict.transactions]


def unpack_batch_verdict(raw: Sequence[Any]) -> BatchVerdict:
    """The inverse of `pack_batch_verdict`."""
    if len(raw) == REFUSAL_FIELDS:
        return Refusal(*raw)
    digest, author, expiry_height, transactions = raw
    return BatchAccepted(digest, author, expiry_height, tuple(transactions))


def pack_executed(result: BlockExecuted) -> list[Any]:
    """A block's result: [height, state root, log size, log root, outcomes, who takes part or nil]."""
    executed = result.executed
    outcomes = [
        [outcome.transaction, outcome.account, outcome.id, outcome.fate is Fate.FINAL, outcome.code, outcome.log_index]
        for outcome in result.outcomes
    ]
    governed = None if result.governed is None else _pack_governed(result.governed)
    return [executed.height, executed.state_root, executed.log_size, executed.log_root, outcomes, governed]


def _pack_governed(governed: Governed) -> list[Any]:
    return [encode(governed.validators), [list(node) for node in governed.nodes]]


def unpack_executed(raw: Sequence[Any]) -> BlockExecuted:
    """The inverse of `pack_executed`."""
    height, state_root, log_size, log_root, outcomes, governed = raw
    return BlockExecuted(
        Executed(height, state_root, log_size, log_root),
        tuple(
            Outcome(transaction, account, id_, Fate.FINAL if final else Fate.SKIPPED, code, log_index)
            for transaction, account, id_, final, code, log_index in outcomes
        ),
        None if governed is None else _unpack_governed(*governed),
    )


def _unpack_governed(validators: bytes, nodes: Sequence[Any]) -> Governed:
    return Governed(decode(ValidatorSet, validators), tuple(ValidatorNode(*node) for node in nodes))
