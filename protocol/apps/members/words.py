"""Operations and changes of `members` in a sentence each."""

from __future__ import annotations

from protocol.apps.common import quoted, short
from protocol.apps.members.records import (
    CHANGES,
    AddMember,
    AddNode,
    AddValidator,
    Approve,
    Change,
    Execute,
    Propose,
    Proposed,
    Ready,
    RemoveMember,
    RemoveNode,
    RemoveValidator,
    RotateNodeKey,
    RotateVotingKey,
    SetApprovals,
    SetPower,
    SetQuota,
    Withdraw,
)
from protocol.codec import decode, kind_of
from protocol.errors import Malformed


def explain_change(change: Change) -> str:
    """A change, as a clause."""
    match change:
        case AddMember(name, account, quota):
            return f"add member {quoted(name)} with account {short(account)} and {quota} bytes of state"
        case RemoveMember(name):
            return f"remove member {quoted(name)} and its validators"
        case AddValidator(member, node_key, voting_key, power):
            node = f"node {short(node_key)}, voting key {short(voting_key)}, power {power}"
            return f"add a validator of {quoted(member)} ({node})"
        case RemoveValidator(voting_key):
            return f"remove the validator with voting key {short(voting_key)}"
        case RotateVotingKey(voting_key, new_voting_key):
            return f"replace voting key {short(voting_key)} by {short(new_voting_key)}"
        case RotateNodeKey(node_key, new_node_key):
            return f"replace node key {short(node_key)} by {short(new_node_key)}"
        case SetPower(voting_key, power):
            return f"give the validator with voting key {short(voting_key)} power {power}"
        case AddNode(member, node_key):
            whose = "nobody in particular" if member is None else quoted(member)
            return f"let node {short(node_key)} of {whose} follow"
        case RemoveNode(node_key):
            return f"let node {short(node_key)} follow no more"
        case SetApprovals(approvals):
            rule = "more than two thirds" if approvals is None else str(approvals)
            return f"ask for the approval of {rule} of the members"
        case SetQuota(name, quota):
            return f"let nodes of {quoted(name)} seal {quota} bytes of state"


def explain_changes(encoded: tuple[bytes, ...]) -> str:
    """Changes of a proposal, as it holds them."""
    clauses: list[str] = []
    for data in encoded:
        cls = CHANGES.get(kind_of(data) or 0)
        try:
            clauses.append("a change that cannot be opened" if cls is None else explain_change(decode(cls, data)))
        except Malformed:
            clauses.append("a change that cannot be opened")
    return "; ".join(clauses)


def explain_propose(arguments: Propose, result: Proposed | None) -> str:
    """A sentence."""
    number = "" if result is None else f" {result.proposal}"
    return f"Proposed to the members{number}: {explain_changes(arguments.changes)}. Note: {quoted(arguments.note)}."


def explain_approve(arguments: Approve, _result: None) -> str:
    """A sentence."""
    return f"Approved proposal {arguments.proposal}."


def explain_withdraw(arguments: Withdraw, _result: None) -> str:
    """A sentence."""
    return f"Took back the approval of proposal {arguments.proposal}."


def explain_ready(arguments: Ready, _result: None) -> str:
    """A sentence."""
    key = short(arguments.voting_key)
    return (
        f"The node with new voting key {key} is ready for proposal {arguments.proposal}, at height {arguments.height}."
    )


def explain_execute(arguments: Execute, _result: None) -> str:
    """A sentence."""
    return f"Carried out proposal {arguments.proposal}."
