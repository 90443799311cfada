"""Records of the journal that are only the node's (kinds 70 to 79). The others stand as they travel."""

from __future__ import annotations

from typing import Annotated

from protocol import limits
from protocol.codec import U53, Items, Key, Name, record, structure
from protocol.ledger.genesis import ValidatorSet


@record(kind=70)
class VoteFloor:
    """At and below this view of this epoch the validator never signs again (L-24)."""

    epoch: U53
    view: U53


@structure
class EpochNode:
    """Whose a validator is, and the key of its node's channel."""

    voting_key: Key
    member: Name
    node_key: Key


@record(kind=72)
class EpochBegun:
    """An epoch has begun here, with these validators: after a crash it begins before its state is computed again."""

    epoch: U53
    validators: ValidatorSet
    nodes: Annotated[tuple[EpochNode, ...], Items(0, limits.VALIDATORS_MAX)]
