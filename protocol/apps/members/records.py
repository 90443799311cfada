"""What the application `members` takes, keeps and answers: kinds 180 to 205.

A *change* is one canonical record of the kinds 180 to 190; a proposal holds them encoded, one to `CHANGES_MAX`, to be
carried out together or not at all: so a validator is replaced without a moment in between.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from protocol import limits
from protocol.apps.common import Origin
from protocol.codec import U53, U63, Hash, Items, Key, Name, Octets, Range, Text, record
from protocol.ledger.spaces import Part, Space

CHANGES_MAX: Final = 64
"""Changes of one proposal: some 100 bytes each, within the arguments of one operation."""
CHANGE_BYTES_MAX: Final = 256
NOTE_BYTES_MAX: Final = 256
PROPOSAL_LIFETIME_MS_MAX: Final = 366 * 24 * 3600 * 1000
"""Consent to what was right a year ago is asked for anew."""
READY_HEIGHTS_MAX: Final = 4_096
"""How many blocks behind a node that calls itself ready may have executed: beyond, it has not caught up."""

Power = Annotated[int, Range(1, limits.U53_MAX)]
Approvals = Annotated[int, Range(1, limits.MEMBERS_MAX)]
Number = Annotated[int, Range(1, limits.U53_MAX)]
Note = Annotated[str, Text(1, NOTE_BYTES_MAX)]

# -- Changes ----------------------------------------------------------------------------------------


@record(kind=180, bytes_max=CHANGE_BYTES_MAX)
class AddMember:
    """An institution joins: its name, its account, and the bytes of state that its nodes may seal."""

    name: Name
    account: Hash
    state_quota_bytes: U63


@record(kind=181, bytes_max=CHANGE_BYTES_MAX)
class RemoveMember:
    """An institution leaves, and its validators with it."""

    name: Name


@record(kind=182, bytes_max=CHANGE_BYTES_MAX)
class AddValidator:
    """A member's node votes from the next epoch on."""

    member: Name
    node_key: Key
    voting_key: Key
    power: Power


@record(kind=183, bytes_max=CHANGE_BYTES_MAX)
class RemoveValidator:
    """A validator votes no more from the next epoch on; its node is not let in any more."""

    voting_key: Key


@record(kind=184, bytes_max=CHANGE_BYTES_MAX)
class RotateVotingKey:
    """A validator's voting key is replaced by a new one."""

    voting_key: Key
    new_voting_key: Key


@record(kind=185, bytes_max=CHANGE_BYTES_MAX)
class RotateNodeKey:
    """The key of a validator's channel, or of an observer's, is replaced by a new one."""

    node_key: Key
    new_node_key: Key


@record(kind=186, bytes_max=CHANGE_BYTES_MAX)
class SetPower:
    """A validator has another power from the next epoch on."""

    voting_key: Key
    power: Power


@record(kind=187, bytes_max=CHANGE_BYTES_MAX)
class AddNode:
    """A node may connect and follow: a member's observer, or nobody's in particular."""

    member: Name | None
    node_key: Key


@record(kind=188, bytes_max=CHANGE_BYTES_MAX)
class RemoveNode:
    """A node that follows is not let in any more."""

    node_key: Key


@record(kind=189, bytes_max=CHANGE_BYTES_MAX)
class SetApprovals:
    """How many members must approve: a number, or nil for more than two thirds of them."""

    approvals: Approvals | None


@record(kind=190, bytes_max=CHANGE_BYTES_MAX)
class SetQuota:
    """The bytes of state that a member's nodes may seal."""

    name: Name
    state_quota_bytes: U63


Change = (
    AddMember
    | RemoveMember
    | AddValidator
    | RemoveValidator
    | RotateVotingKey
    | RotateNodeKey
    | SetPower
    | AddNode
    | RemoveNode
    | SetApprovals
    | SetQuota
)

CHANGES: Final[dict[int, type[Any]]] = {
    180: AddMember,
    181: RemoveMember,
    182: AddValidator,
    183: RemoveValidator,
    184: RotateVotingKey,
    185: RotateNodeKey,
    186: SetPower,
    187: AddNode,
    188: RemoveNode,
    189: SetApprovals,
    190: SetQuota,
}
"""What a proposal may hold, by kind."""

ChangeBytes = Annotated[bytes, Octets(1, CHANGE_BYTES_MAX)]
Changes = Annotated[tuple[ChangeBytes, ...], Items(1, CHANGES_MAX)]

# -- Operations -------------------------------------------------------------------------------------


@record(kind=191, bytes_max=limits.OPERATION_ARGUMENTS_BYTES_MAX)
class Propose:
    """Put changes to the members; who proposes approves. After `expires_ms` (block time) it is void."""

    changes: Changes
    note: Note
    expires_ms: U53


@record(kind=192)
class Approve:
    """The sender, a member, approves."""

    proposal: Number


@record(kind=193)
class Withdraw:
    """The sender, a member, takes its approval back."""

    proposal: Number


@record(kind=194)
class Execute:
    """Carry out an approved proposal."""

    proposal: Number


@record(kind=195)
class Ready:
    """The node with this new voting key runs and has executed `height`. The key is among the envelope's signers."""

    proposal: Number
    voting_key: Key
    height: U53


@record(kind=196)
class Proposed:
    """Result of `propose`: the proposal's number."""

    proposal: Number


# -- State ------------------------------------------------------------------------------------------

OPEN: Final = 1
EXECUTED: Final = 2
WITHDRAWN: Final = 3


@record(kind=197)
class Council:
    """How many members there are, how many must approve (nil: more than two thirds), the last proposal's number."""

    members: U53
    approvals: Approvals | None
    proposals: U53


@record(kind=198, bytes_max=2 * limits.STATE_VALUE_BYTES_MAX)
class Proposal:
    """A proposal and what became of it.

    approvals: members by name, ascending. ready: new voting keys that have signed, ascending.
    status: 1 open, 2 executed, 3 withdrawn by all. opened, executed: the operations that did it.
    """

    member: Name
    changes: Changes
    note: Note
    expires_ms: U53
    approvals: Annotated[tuple[Name, ...], Items(0, limits.MEMBERS_MAX)]
    ready: Annotated[tuple[Key, ...], Items(0, CHANGES_MAX)]
    status: Annotated[int, Range(1, 3)]
    opened: Origin
    executed: Origin | None


@record(kind=199)
class NodeEntry:
    """Whose node this is; with a voting key, it is the validator of that key."""

    member: Name | None
    voting_key: Key | None


COUNCIL: Final = Space("members.council", Council, (), "how the members decide")
PROPOSALS: Final = Space(
    "members.proposal",
    Proposal,
    (Part("proposal", "integer", "the proposal's number"),),
    "every proposal, for ever",
)
NODES: Final = Space(
    "members.node", NodeEntry, (Part("node_key", "bytes", "the key of the node's channel"),), "nodes that may connect"
)
SPACES: Final = (COUNCIL, PROPOSALS, NODES)
