"""What each change does to the state, and when it is refused.

A change reads and writes a bounded number of keys: the set of validators (at most `VALIDATORS_MAX`), and the records
of what it names. `carry_out` applies the changes of a proposal one after the other, so a later one sees the earlier.
The next set has 1 to `VALIDATORS_MAX` validators after each change; its total power is checked once, behind them all.

* A voting key that is or ever was a validator's is never taken again (`key_used_before`): one that was stolen after
  its epoch stays worthless for ever.
* Node keys are distinct among all nodes that may connect.
* Whoever leaves keeps its records (see `protocol.ledger.members`), so a member's name is never given again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from protocol import limits
from protocol.apps.common import short
from protocol.apps.members.records import (
    CHANGES,
    COUNCIL,
    NODES,
    AddMember,
    AddNode,
    AddValidator,
    Change,
    Council,
    NodeEntry,
    RemoveMember,
    RemoveNode,
    RemoveValidator,
    RotateNodeKey,
    RotateVotingKey,
    SetApprovals,
    SetPower,
    SetQuota,
)
from protocol.codec import decode, kind_of
from protocol.crypto.signing import is_valid_key
from protocol.errors import (
    ALREADY_EXISTS,
    BAD_ARGUMENTS,
    KEY_USED_BEFORE,
    NOT_FOUND,
    BrokenInvariant,
    Malformed,
    Refused,
)
from protocol.ledger.genesis import Genesis, ValidatorPower, ValidatorSet
from protocol.ledger.members import (
    GOVERNANCE,
    MEMBER_ACCOUNTS,
    MEMBERS,
    NEXT_VALIDATORS,
    VALIDATORS,
    Governance,
    Member,
    MemberName,
    Validator,
    is_member,
    member_by_name,
    next_validators,
)
from protocol.ledger.state import ChangedState, StateView

APPROVALS_DEFAULT: Final = None
"""More than two thirds of the members, however many there are."""


def read_change(data: bytes) -> Change:
    """The change in `data`. Raises Refused(bad_arguments)."""
    cls = CHANGES.get(kind_of(data) or 0)
    if cls is None:
        raise Refused(BAD_ARGUMENTS, "changes: a kind of change that these rules do not have")
    try:
        change: Change = decode(cls, data)
    except Malformed as fault:
        raise Refused(BAD_ARGUMENTS, f"changes: not a canonical {cls.__name__}") from fault
    _check_keys(change)
    return change


def _check_keys(change: Change) -> None:
    for name in ("node_key", "voting_key", "new_node_key", "new_voting_key"):
        key = getattr(change, name, None)
        if key is not None and not is_valid_key(key):
            raise Refused(BAD_ARGUMENTS, f"changes: {name} {short(key)} is not a usable Ed25519 public key (L-3)")


def new_voting_keys(changes: Iterable[Change]) -> tuple[bytes, ...]:
    """Voting keys that these changes bring in, in their order: each has to be ready."""
    found: list[bytes] = []
    for change in changes:
        if isinstance(change, AddValidator):
            found.append(change.voting_key)
        elif isinstance(change, RotateVotingKey):
            found.append(change.new_voting_key)
    return tuple(found)


def read_council(state: StateView) -> Council:
    """How the members decide."""
    council = state.get(COUNCIL, ())
    if council is None:
        raise BrokenInvariant("the state has no council: these rules do not hold from height 1 on")
    return council


def approvals_needed(council: Council) -> int:
    """How many of the members must approve.

    Never less than a majority, so that no two halves decide against each other, and never more than there are.
    """
    members = council.members
    asked = 2 * members // 3 + 1 if council.approvals is None else council.approvals
    return max(min(asked, members), members // 2 + 1)


def begin(genesis: Genesis, state: ChangedState) -> None:
    """What holds at height 0."""
    state.put(COUNCIL, (), Council(len(genesis.members), APPROVALS_DEFAULT, 0))
    for validator in genesis.validators:
        state.put(NODES, (validator.node_key,), NodeEntry(validator.member, validator.voting_key))
    for observer in genesis.observers:
        state.put(NODES, (observer.node_key,), NodeEntry(observer.member, None))


def carry_out(changes: Iterable[Change], state: ChangedState) -> None:
    """Apply the changes in order. Raises Refused: then the caller lets nothing of it stand."""
    for change in changes:
        _APPLY[type(change)](change, state)
    _check_set(next_validators(state))
    done = state.get(GOVERNANCE, ())
    state.put(GOVERNANCE, (), Governance(1 if done is None else done.changes + 1))


def _check_set(validators: ValidatorSet) -> None:
    if sum(entry.power for entry in validators.validators) > limits.U53_MAX:
        raise Refused(BAD_ARGUMENTS, "power: the total of all validators would pass 2^53 - 1")


# -- Members ----------------------------------------------------------------------------------------


def _add_member(change: AddMember, state: ChangedState) -> None:
    if member_by_name(change.name, state) is not None:
        raise Refused(ALREADY_EXISTS, f"{change.name} is or was a member's name")
    if state.get(MEMBER_ACCOUNTS, (change.account,)) is not None:
        raise Refused(ALREADY_EXISTS, f"account {short(change.account)} is a member's")
    council = read_council(state)
    if council.members >= limits.MEMBERS_MAX:
        raise Refused(BAD_ARGUMENTS, f"a network has at most {limits.MEMBERS_MAX} members")
    state.put(MEMBERS, (change.name,), Member(change.account, change.state_quota_bytes))
    state.put(MEMBER_ACCOUNTS, (change.account,), MemberName(change.name))
    state.put(COUNCIL, (), replace(council, members=council.members + 1))


def _remove_member(change: RemoveMember, state: ChangedState) -> None:
    member = _member(change.name, state)
    council = read_council(state)
    if council.members == 1:
        raise Refused(BAD_ARGUMENTS, f"{change.name} is the last member")
    for entry in next_validators(state).validators:
        validator = state.get(VALIDATORS, (entry.voting_key,))
        if validator is not None and validator.member == change.name:
            _remove_validator(RemoveValidator(entry.voting_key), state)
    state.delete(MEMBER_ACCOUNTS, (member.account,))
    state.put(COUNCIL, (), replace(council, members=council.members - 1))


def _set_quota(change: SetQuota, state: ChangedState) -> None:
    member = _member(change.name, state)
    state.put(MEMBERS, (change.name,), replace(member, state_quota_bytes=change.state_quota_bytes))


def _set_approvals(change: SetApprovals, state: ChangedState) -> None:
    council = read_council(state)
    if change.approvals is not None and not council.members // 2 < change.approvals <= council.members:
        words = f"approvals: {change.approvals} is not a majority of the {council.members} members, or more than all"
        raise Refused(BAD_ARGUMENTS, words)
    state.put(COUNCIL, (), replace(council, approvals=change.approvals))


def _member(name: str, state: StateView) -> Member:
    member = member_by_name(name, state)
    if member is None or not is_member(name, state):
        raise Refused(NOT_FOUND, f"no member is named {name}")
    return member


# -- Validators -------------------------------------------------------------------------------------


def _add_validator(change: AddValidator, state: ChangedState) -> None:
    _member(change.member, state)
    _check_unused(change.voting_key, state)
    entry = state.get(NODES, (change.node_key,))
    if entry is not None and entry.voting_key is not None:
        raise Refused(ALREADY_EXISTS, f"node key {short(change.node_key)} is a validator's")
    if entry is not None and entry.member not in (None, change.member):
        raise Refused(ALREADY_EXISTS, f"node key {short(change.node_key)} is {entry.member}'s")
    state.put(VALIDATORS, (change.voting_key,), Validator(change.member, change.node_key))
    state.put(NODES, (change.node_key,), NodeEntry(change.member, change.voting_key))
    _write_set([*next_validators(state).validators, ValidatorPower(change.voting_key, change.power)], state)


def _remove_validator(change: RemoveValidator, state: ChangedState) -> None:
    validator = _validator(change.voting_key, state)
    state.delete(NODES, (validator.node_key,))
    _write_set([e for e in next_validators(state).validators if e.voting_key != change.voting_key], state)


def _rotate_voting_key(change: RotateVotingKey, state: ChangedState) -> None:
    validator = _validator(change.voting_key, state)
    _check_unused(change.new_voting_key, state)
    state.put(VALIDATORS, (change.new_voting_key,), validator)
    state.put(NODES, (validator.node_key,), NodeEntry(validator.member, change.new_voting_key))
    _write_entry(change.voting_key, state, voting_key=change.new_voting_key)


def _set_power(change: SetPower, state: ChangedState) -> None:
    _validator(change.voting_key, state)
    _write_entry(change.voting_key, state, power=change.power)


def _write_entry(voting_key: bytes, state: ChangedState, /, **changed: Any) -> None:
    """One validator of the next set differs from now on; the others stay."""
    entries = next_validators(state).validators
    _write_set([replace(entry, **changed) if entry.voting_key == voting_key else entry for entry in entries], state)


def _write_set(entries: list[ValidatorPower], state: ChangedState) -> None:
    if not 1 <= len(entries) <= limits.VALIDATORS_MAX:
        raise Refused(BAD_ARGUMENTS, f"a set has 1 to {limits.VALIDATORS_MAX} validators, not {len(entries)}")
    state.put(NEXT_VALIDATORS, (), ValidatorSet(tuple(sorted(entries, key=lambda entry: entry.voting_key))))


def _check_unused(voting_key: bytes, state: StateView) -> None:
    if state.get(VALIDATORS, (voting_key,)) is not None:
        raise Refused(KEY_USED_BEFORE, f"voting key {short(voting_key)} is or was a validator's")


def _validator(voting_key: bytes, state: StateView) -> Validator:
    known = any(entry.voting_key == voting_key for entry in next_validators(state).validators)
    validator = state.get(VALIDATORS, (voting_key,))
    if not known or validator is None:
        raise Refused(NOT_FOUND, f"no validator of the next set has voting key {short(voting_key)}")
    return validator


# -- Nodes ------------------------------------------------------------------------------------------


def _add_node(change: AddNode, state: ChangedState) -> None:
    if change.member is not None:
        _member(change.member, state)
    _check_free(change.node_key, state)
    state.put(NODES, (change.node_key,), NodeEntry(change.member, None))


def _remove_node(change: RemoveNode, state: ChangedState) -> None:
    entry = state.get(NODES, (change.node_key,))
    if entry is None or entry.voting_key is not None:
        raise Refused(NOT_FOUND, f"node key {short(change.node_key)} is no observer's")
    state.delete(NODES, (change.node_key,))


def _rotate_node_key(change: RotateNodeKey, state: ChangedState) -> None:
    entry = state.get(NODES, (change.node_key,))
    if entry is None:
        raise Refused(NOT_FOUND, f"no node has node key {short(change.node_key)}")
    _check_free(change.new_node_key, state)
    state.delete(NODES, (change.node_key,))
    state.put(NODES, (change.new_node_key,), entry)
    if entry.voting_key is not None:
        validator = _validator(entry.voting_key, state)
        state.put(VALIDATORS, (entry.voting_key,), replace(validator, node_key=change.new_node_key))


def _check_free(node_key: bytes, state: StateView) -> None:
    entry = state.get(NODES, (node_key,))
    if entry is not None and (entry.member is None or is_member(entry.member, state)):
        raise Refused(ALREADY_EXISTS, f"node key {short(node_key)} is in use")


_APPLY: Final[dict[type[Any], Callable[[Any, ChangedState], None]]] = {
    AddMember: _add_member,
    RemoveMember: _remove_member,
    AddValidator: _add_validator,
    RemoveValidator: _remove_validator,
    RotateVotingKey: _rotate_voting_key,
    RotateNodeKey: _rotate_node_key,
    SetPower: _set_power,
    AddNode: _add_node,
    RemoveNode: _remove_node,
    SetApprovals: _set_approvals,
    SetQuota: _set_quota,
}
"""Change -> what it does."""
assert set(_APPLY) == set(CHANGES.values()), "every change does something"
