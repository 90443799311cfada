"""What validators sign: three statements, votes that carry them, certificates that gather them.

Kinds 20 to 29. A proposal is (epoch, view, parent view, payload); the payload is an opaque digest. A
notarize and a finalize state a proposal, a nullify states a view. Each is signed in its own context,
which holds the network id, so no vote can be passed off as another (L-4).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from protocol import limits
from protocol.codec import U53, Hash, Items, Octets, Range, Signature, encode, record
from protocol.crypto.contexts import Context


class VoteKind(IntEnum):
    """The three votes of a view."""

    NOTARIZE = 0
    NULLIFY = 1
    FINALIZE = 2


CONTEXTS = {VoteKind.NOTARIZE: Context.NOTARIZE, VoteKind.NULLIFY: Context.NULLIFY, VoteKind.FINALIZE: Context.FINALIZE}


@record(kind=20)
class Proposal:
    """One attempt: in `view` of `epoch`, `payload` on top of what was proposed in `parent_view` (0: the floor)."""

    epoch: U53
    view: Annotated[int, Range(1, limits.U53_MAX)]
    parent_view: U53
    payload: Hash


@record(kind=21)
class Nullified:
    """The statement of a nullify: this view shall have no block."""

    epoch: U53
    view: Annotated[int, Range(1, limits.U53_MAX)]


@record(kind=22)
class Vote:
    """One validator's signed statement. `signer`: its place in the validator set; `proposal`: None for a nullify."""

    kind: Annotated[int, Range(0, 2)]
    epoch: U53
    view: Annotated[int, Range(1, limits.U53_MAX)]
    proposal: Proposal | None
    signer: Annotated[int, Range(0, limits.VALIDATORS_MAX - 1)]
    signature: Signature


@record(kind=23)
class Certificate:
    """A quorum of one vote: a bitmap of signers in the order of the set, and a signature a bit.

    Bit i stands in byte i // 8, counted from the low end.
    """

    kind: Annotated[int, Range(0, 2)]
    epoch: U53
    view: Annotated[int, Range(1, limits.U53_MAX)]
    proposal: Proposal | None
    signers: Annotated[bytes, Octets(1, limits.VALIDATORS_MAX // 8)]
    signatures: Annotated[tuple[Signature, ...], Items(1, limits.VALIDATORS_MAX)]


def statement_bytes(kind: int, epoch: int, view: int, proposal: Proposal | None) -> bytes:
    """The payload that a vote of this kind signs, under the context `CONTEXTS[kind]`."""
    if kind == VoteKind.NULLIFY:
        return encode(Nullified(epoch, view))
    assert proposal is not None
    assert (proposal.epoch, proposal.view) == (epoch, view)
    return encode(proposal)
