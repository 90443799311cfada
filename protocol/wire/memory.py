"""What validators say to each other so that one that lost its memory finds out what it may have signed (C-24).

A *challenge* asks; a *recollection* answers it. Both are signed with the voting key, in a context of their own
(`Context.RESTORE`), so that they convince also where they were passed on (L-14); neither is a vote, so an amnesiac may
sign a challenge.
"""

from __future__ import annotations

from typing import Annotated, Final

from protocol import limits
from protocol.codec import U53, Flag, Items, Octets, Range, Signature, encode, record
from protocol.consensus.statements import Vote
from protocol.crypto.contexts import Context
from protocol.crypto.signing import signing_message

LIFE_BYTES: Final = 16
STATEMENTS_SHOWN_MAX: Final = 4
"""Of the asker's own statements; one that it does not remember is enough."""
Life = Annotated[bytes, Octets(LIFE_BYTES)]
Signer = Annotated[int, Range(0, limits.VALIDATORS_MAX - 1)]


@record(kind=56, bytes_max=256)
class Challenge:
    """What may I have signed in this epoch above this view? From `signer`, whose process drew `life` when it started.

    A process that asks again counts `round` up where it wants answers that are newer. `asks` is False where it only
    says which process has the key.
    """

    life: Life
    round: U53
    epoch: U53
    above_view: U53
    asks: Flag
    signer: Signer


@record(kind=57, bytes_max=512)
class ChallengeMessage:
    """A challenge under its signer's voting key."""

    challenge: Challenge
    signature: Signature


@record(kind=58, bytes_max=64 * limits.KIB)
class Recollection:
    """What `signer` answers to the challenge (`life`, `round`) of `asker`.

    view: its current view. entered_by: the certificate that entered it, encoded; empty in the first view.
    counts: False while the answerer does not vote itself: then only what proves itself is believed.
    shown_view: the highest view in which it knows other processes with the asker's key to have been. standing: 0; 1 if
    channels with that key have just taken each other's place; 2 if an older process was heard again after this one: a
    twin.
    statements: by the asker's key, above the view that it named.
    """

    life: Life
    round: U53
    asker: Signer
    epoch: U53
    view: U53
    entered_by: Annotated[bytes, Octets(0, 32 * limits.KIB)]
    counts: Flag
    shown_view: U53
    standing: Annotated[int, Range(0, 2)]
    statements: Annotated[tuple[Vote, ...], Items(0, STATEMENTS_SHOWN_MAX)]
    signer: Signer


@record(kind=59, bytes_max=64 * limits.KIB + 512)
class RecollectionMessage:
    """A recollection under its signer's voting key."""

    recollection: Recollection
    signature: Signature


def restore_message(network_id: bytes, content: Challenge | Recollection) -> bytes:
    """The bytes that are signed. The kinds of the two differ, so none passes for the other."""
    return signing_message(Context.RESTORE, network_id, encode(content))
