"""Members and validators as the state holds them, and what each member's nodes have stored (L-6, L-12).

Four spaces of this room, written at genesis and later by governance (`protocol.apps.members`): the members by name
with their account and quota, the member of an account, the validators by voting key with their member, and the set of
validators that the next header names. A fifth, `ledger.usage`, counts the bytes of state that a member's nodes sealed;
a sixth, `ledger.governance`, how often the others were changed, so that execution need not look for it.

**Former ones.** The records of a member and of a validator stay when they leave: blocks of the epoch in which that is
decided still hold batches of theirs, and a voting key that was replaced never comes back. A member is one as long as
its account names it.

**Usage.** Each kept envelope changes the usage of the member whose validator authored its batch by the bytes
by which it made the state bigger (keys and values; what it made smaller is given back), never below zero.
An envelope that would lift it above the quota is skipped. So the sum of all usages is never less than what the
state holds beyond genesis, whoever stored and whoever freed; and the state never grows beyond the sum of the
quotas. Counters and genesis are charged to nobody. An entry of a validator is never removed, so that a batch
of one who left is still charged to its member.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from protocol.codec import U63, Hash, Key, Name, record
from protocol.errors import BrokenInvariant
from protocol.ledger.genesis import ValidatorSet
from protocol.ledger.spaces import Part, Space
from protocol.ledger.state import StateView


@record(kind=11)
class Member:
    """An institution: its account, and the bytes of state that its nodes may seal."""

    account: Hash
    state_quota_bytes: U63


@record(kind=13)
class Usage:
    """Bytes of state that a member's nodes have sealed, less what they have freed."""

    state_bytes: U63


@record(kind=16)
class Validator:
    """A validator: its member and the key of its node's channel."""

    member: Name
    node_key: Key


@record(kind=17)
class MemberName:
    """The name of a member."""

    name: Name


@record(kind=18)
class Governance:
    """How often governance has changed who takes part."""

    changes: U63


class ValidatorNode(NamedTuple):
    """Whose a voting key is, and the key of its node's channel."""

    voting_key: bytes
    member: str
    node_key: bytes


class Governed(NamedTuple):
    """Who takes part, as a state says: the set that a header on it names, and whose those validators are."""

    validators: ValidatorSet
    nodes: tuple[ValidatorNode, ...]


_NAME: Final = (Part("member", "text", "the member's name"),)

MEMBERS: Final = Space("ledger.member", Member, _NAME, "members by name")
MEMBER_ACCOUNTS: Final = Space(
    "ledger.member_account",
    MemberName,
    (Part("account", "bytes", "the member's account"),),
    "which member an account is",
)
VALIDATORS: Final = Space(
    "ledger.validator",
    Validator,
    (Part("voting_key", "bytes", "the validator's voting key"),),
    "validators by voting key, former ones too",
)
NEXT_VALIDATORS: Final = Space("ledger.next_validators", ValidatorSet, (), "the set that the next header names")
USAGE: Final = Space("ledger.usage", Usage, _NAME, "bytes of state sealed by a member's nodes")
GOVERNANCE: Final = Space("ledger.governance", Governance, (), "how often governance has changed who takes part")

LEDGER_SPACES: Final = (MEMBERS, MEMBER_ACCOUNTS, VALIDATORS, NEXT_VALIDATORS, USAGE, GOVERNANCE)
GOVERNED_SPACES: Final = (MEMBERS, MEMBER_ACCOUNTS, VALIDATORS, NEXT_VALIDATORS, GOVERNANCE)
"""What an application that governs may write."""


def member_by_name(name: str, state: StateView) -> Member | None:
    """The member of that name."""
    return state.get(MEMBERS, (name,))


def member_of_account(account: bytes, state: StateView) -> str | None:
    """Name of the member whose account this is, or None."""
    found = state.get(MEMBER_ACCOUNTS, (account,))
    return None if found is None else found.name


def member_of_validator(voting_key: bytes, state: StateView) -> str | None:
    """Name of the member whose validator has this voting key, or None."""
    found = state.get(VALIDATORS, (voting_key,))
    return None if found is None else found.member


def is_member(name: str, state: StateView) -> bool:
    """Whether an institution of that name is a member now; former ones are not."""
    member = member_by_name(name, state)
    return member is not None and member_of_account(member.account, state) == name


def next_validators(state: StateView) -> ValidatorSet:
    """The set that a header on this state names. Raises BrokenInvariant on a state without genesis."""
    found = state.get(NEXT_VALIDATORS, ())
    if found is None:
        raise BrokenInvariant("the state names no validators")
    return found


def nodes_of(validators: ValidatorSet, state: StateView) -> tuple[ValidatorNode, ...]:
    """Whose these validators are, in the order of the set."""
    found = [(entry.voting_key, state.get(VALIDATORS, (entry.voting_key,))) for entry in validators.validators]
    return tuple(ValidatorNode(key, known.member, known.node_key) for key, known in found if known is not None)


GOVERNANCE_KEY: Final = GOVERNANCE.key(())


def governed(state: StateView) -> Governed:
    """Who takes part, as this state says."""
    validators = next_validators(state)
    return Governed(validators, nodes_of(validators, state))


def usage_bytes(member: str, state: StateView) -> int:
    """Bytes charged to the member so far."""
    found = state.get(USAGE, (member,))
    return 0 if found is None else found.state_bytes
