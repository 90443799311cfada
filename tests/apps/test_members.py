"""The application `members`: rules M-1 to M-8, each legal and each illegal path, nothing changed (L-8)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from protocol.apps.members.changes import approvals_needed
from protocol.apps.members.records import (
    CHANGES,
    COUNCIL,
    EXECUTED,
    NODES,
    PROPOSAL_LIFETIME_MS_MAX,
    PROPOSALS,
    READY_HEIGHTS_MAX,
    WITHDRAWN,
    AddMember,
    AddNode,
    AddValidator,
    Approve,
    Change,
    Council,
    Execute,
    Propose,
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
from protocol.apps.registry import RULES, explain
from protocol.codec import decode, encode
from protocol.errors import (
    ALREADY_EXISTS,
    BAD_ARGUMENTS,
    CONSENT_MISSING,
    FORBIDDEN,
    KEY_NOT_READY,
    KEY_USED_BEFORE,
    NOT_APPROVED,
    NOT_FOUND,
    PROPOSAL_CLOSED,
    Refused,
)
from protocol.ledger.application import Context, OperationKind, apply_operation
from protocol.ledger.genesis import RulesFrom, member_account
from protocol.ledger.genesis_state import genesis_state
from protocol.ledger.members import GOVERNANCE, VALIDATORS, is_member, member_by_name, next_validators
from protocol.ledger.memory import MemoryTables
from protocol.ledger.records import Operation, account_name
from protocol.ledger.state import StateReader, StateTransaction
from protocol.ledger.tables import Table
from tests.ledger.world import START_MS, key, make_genesis

RULES_2 = RULES[2]
HEIGHT = 5_000
NEW, NEWER, NODE = key(700).public, key(701).public, key(702).public
STRANGER = key(703).public


@contextmanager
def _judged(state: StateTransaction, kind: OperationKind) -> Iterator[None]:
    """What refuses has written nothing, and declares the code."""
    refused: Refused | None = None
    try:
        yield
    except Refused as refusal:
        refused = refusal
    if refused is not None:
        assert state._envelope == {}, f"{refused.code} came after a write"
        assert refused.code in kind.refusals, f"{kind.name} does not declare {refused.code}"
        raise refused


class Council4:
    """Four members, m0 to m3, each with a validator; state changes stay, refusals must leave nothing."""

    def __init__(self) -> None:
        genesis = make_genesis(4)
        genesis = type(genesis)(
            genesis.name,
            genesis.created_ms,
            genesis.parameters,
            (RulesFrom(1, 2),),
            genesis.members,
            genesis.validators,
            genesis.observers,
        )
        self.genesis = genesis
        self.tables = MemoryTables()
        self.tables.apply(genesis_state(genesis, RULES_2).writes)
        self.time_ms = START_MS
        self.count = 0

    def account(self, who: int | bytes) -> bytes:
        return account_name(who) if isinstance(who, bytes) else member_account(self.genesis.members[who])

    def run(self, who: int | bytes, arguments: Any, *, also: tuple[bytes, ...] = ()) -> Any:
        """One operation, kept; after a refusal nothing was written."""
        name = {kind.arguments: name for name, kind in RULES_2.applications["members"].operations.items()}
        kind = RULES_2.applications["members"].operations[name[type(arguments)]]
        self.count += 1
        account = self.account(who)
        context = Context(bytes(32), HEIGHT, self.time_ms, self.count.to_bytes(32, "big"), account, also, "m0", 0)
        state = StateTransaction(self.tables)
        state.writable = RULES_2.writable["members"]
        operation = Operation("members", kind.name, encode(arguments))
        with _judged(state, kind):
            data = apply_operation(RULES_2, context, state, operation)
        state.keep()
        self.tables.apply({(Table.STATE, at): value for at, value in state.changes().items()})
        return None if kind.result is None else decode(kind.result, data)

    def refuses(self, code: str, who: int | bytes, arguments: Any, *, also: tuple[bytes, ...] = ()) -> str:
        before = dict(self.tables.scan(Table.STATE, b"", limit=100_000))
        with pytest.raises(Refused) as caught:
            self.run(who, arguments, also=also)
        assert caught.value.code == code, caught.value.words
        assert dict(self.tables.scan(Table.STATE, b"", limit=100_000)) == before
        return caught.value.words

    def propose(self, *changes: Change, who: int = 0) -> int:
        proposed = self.run(who, self.proposal(*changes))
        number: int = proposed.proposal
        return number

    def proposal(self, *changes: Change) -> Propose:
        return Propose(tuple(encode(change) for change in changes), "why not", self.time_ms + 1_000)

    def decide(self, *changes: Change, ready: tuple[bytes, ...] = ()) -> int:
        """Proposed, approved by three, ready, executed."""
        number = self.propose(*changes)
        for who in (1, 2):
            self.run(who, Approve(number))
        for voting_key in ready:
            self.run(voting_key, Ready(number, voting_key, HEIGHT - 1), also=(voting_key,))
        self.run(0, Execute(number))
        return number

    @property
    def state(self) -> StateReader:
        return StateReader(self.tables)

    @property
    def voting(self) -> list[bytes]:
        return [entry.voting_key for entry in next_validators(self.state).validators]


@pytest.fixture(name="council")
def fixture_council() -> Council4:
    return Council4()


def test_a_proposal_is_approved_and_executed_by_members(council: Council4) -> None:
    """M-1, M-2, M-7: proposer approves; three of four are needed; what was executed holds at once."""
    council.refuses(FORBIDDEN, STRANGER, council.proposal(RemoveMember("m3")))
    number = council.propose(RemoveMember("m3"))
    council.refuses(FORBIDDEN, STRANGER, Approve(number))
    council.refuses(ALREADY_EXISTS, 0, Approve(number))
    council.refuses(NOT_FOUND, 1, Approve(number + 1))
    council.run(1, Approve(number))
    assert "2 members approve" in council.refuses(NOT_APPROVED, 0, Execute(number))
    council.run(2, Approve(number))
    council.refuses(FORBIDDEN, STRANGER, Execute(number))
    council.run(2, Execute(number))
    assert not is_member("m3", council.state)
    assert len(council.voting) == 3, "M-5: its validator goes with it"
    council.refuses(PROPOSAL_CLOSED, 0, Execute(number))
    proposal = council.state.get(PROPOSALS, (number,))
    assert proposal is not None
    assert proposal.status == EXECUTED
    done = council.state.get(GOVERNANCE, ())
    assert done is not None
    assert done.changes == 1
    council.refuses(FORBIDDEN, 3, Approve(number))
    council.refuses(ALREADY_EXISTS, 0, council.proposal(AddMember("m3", account_name(STRANGER), 1)))


def test_approvals_are_taken_back_and_proposals_expire(council: Council4) -> None:
    """M-1."""
    number = council.propose(RemoveMember("m3"))
    council.refuses(NOT_FOUND, 1, Withdraw(number))
    council.refuses(FORBIDDEN, STRANGER, Withdraw(number))
    council.run(0, Withdraw(number))
    proposal = council.state.get(PROPOSALS, (number,))
    assert proposal is not None
    assert proposal.status == WITHDRAWN
    assert "withdrawn" in council.refuses(PROPOSAL_CLOSED, 1, Approve(number))
    council.refuses(PROPOSAL_CLOSED, 0, Withdraw(number))
    number = council.propose(RemoveMember("m3"))
    council.time_ms += 1_000
    assert "expired" in council.refuses(PROPOSAL_CLOSED, 1, Approve(number))
    council.refuses(PROPOSAL_CLOSED, STRANGER, Ready(number, NEW, HEIGHT - 1))
    changes = (encode(RemoveMember("m3")),)
    council.refuses(BAD_ARGUMENTS, 0, Propose(changes, "-", council.time_ms))
    council.refuses(BAD_ARGUMENTS, 0, Propose(changes, "-", council.time_ms + PROPOSAL_LIFETIME_MS_MAX + 1))


def test_approvals_of_who_has_left_do_not_count(council: Council4) -> None:
    """M-2."""
    number = council.propose(SetQuota("m0", 7))
    for who in (1, 3):
        council.run(who, Approve(number))
    council.decide(RemoveMember("m3"))
    assert "2 members approve" in council.refuses(NOT_APPROVED, 0, Execute(number))
    council.run(2, Approve(number))
    council.run(0, Execute(number))
    member = member_by_name("m0", council.state)
    assert member is not None
    assert member.state_quota_bytes == 7


@pytest.mark.parametrize(
    ("members", "approvals", "needed"),
    [(1, None, 1), (2, None, 2), (3, None, 3), (4, None, 3), (7, None, 5), (7, 4, 4), (9, 4, 5), (3, 7, 3)],
)
def test_how_many_must_approve(members: int, approvals: int | None, needed: int) -> None:
    """M-2: more than two thirds, or as decided; never below a majority, never above all."""
    assert approvals_needed(Council(members, approvals, 0)) == needed


def test_members_change_their_own_rule(council: Council4) -> None:
    """M-2."""
    council.refuses(BAD_ARGUMENTS, 0, council.proposal(SetApprovals(2)))
    council.refuses(BAD_ARGUMENTS, 0, council.proposal(SetApprovals(5)))
    council.decide(SetApprovals(4))
    number = council.propose(SetApprovals(None))
    for who in (1, 2):
        council.run(who, Approve(number))
    council.refuses(NOT_APPROVED, 0, Execute(number))
    council.run(3, Approve(number))
    council.run(0, Execute(number))
    rule = council.state.get(COUNCIL, ())
    assert rule is not None
    assert rule.approvals is None


def test_a_new_voting_key_has_to_be_ready(council: Council4) -> None:
    """M-3, C-21: signed by that very key, for this proposal, by a node that has caught up."""
    number = council.propose(AddValidator("m0", NODE, NEW, 2))
    for who in (1, 2):
        council.run(who, Approve(number))
    council.refuses(KEY_NOT_READY, 0, Execute(number))
    ready = Ready(number, NEW, HEIGHT - 1)
    council.refuses(CONSENT_MISSING, 0, ready)
    council.refuses(CONSENT_MISSING, STRANGER, ready, also=(STRANGER,))
    council.refuses(NOT_FOUND, STRANGER, Ready(number, STRANGER, HEIGHT - 1), also=(STRANGER,))
    council.refuses(NOT_FOUND, NEW, Ready(number + 1, NEW, HEIGHT - 1), also=(NEW,))
    for height in (HEIGHT, HEIGHT - READY_HEIGHTS_MAX - 1):
        council.refuses(BAD_ARGUMENTS, NEW, Ready(number, NEW, height), also=(NEW,))
    council.run(NEW, ready, also=(NEW,))
    council.refuses(ALREADY_EXISTS, NEW, ready, also=(NEW,))
    council.run(0, Execute(number))
    assert NEW in council.voting
    assert len(council.voting) == 5
    assert council.voting == sorted(council.voting)
    entry = council.state.get(NODES, (NODE,))
    assert entry is not None
    assert entry.voting_key == NEW


def test_replaced_voting_keys_never_come_back(council: Council4) -> None:
    """M-4, C-23: a key that was stolen after its epoch stays worthless."""
    old = council.voting[0]
    council.refuses(KEY_USED_BEFORE, 0, council.proposal(RotateVotingKey(old, council.voting[1])))
    council.decide(RotateVotingKey(old, NEW), ready=(NEW,))
    assert old not in council.voting
    assert council.state.get(VALIDATORS, (old,)) is not None, "its batches are still its member's"
    council.refuses(KEY_USED_BEFORE, 0, council.proposal(RotateVotingKey(NEW, old)))
    council.refuses(KEY_USED_BEFORE, 0, council.proposal(AddValidator("m0", NODE, old, 1)))
    council.refuses(NOT_FOUND, 0, council.proposal(RotateVotingKey(old, NEWER)))


def test_a_validator_is_replaced_in_one_proposal(council: Council4) -> None:
    """M-5, and what a later change of the same proposal sees."""
    leaving = council.voting[2]
    council.decide(
        AddMember("delta", account_name(STRANGER), 10**9),
        AddValidator("delta", NODE, NEW, 1),
        RemoveValidator(leaving),
        ready=(NEW,),
    )
    assert NEW in council.voting
    assert leaving not in council.voting
    assert is_member("delta", council.state)
    council.refuses(NOT_FOUND, 0, council.proposal(AddValidator("echo", key(704).public, NEWER, 1)))
    council.refuses(ALREADY_EXISTS, 0, council.proposal(AddMember("echo", account_name(STRANGER), 1)))


def test_a_set_is_never_empty_nor_too_strong(council: Council4) -> None:
    """M-5."""
    everyone = [RemoveValidator(voting_key) for voting_key in council.voting]
    council.refuses(BAD_ARGUMENTS, 0, council.proposal(*everyone))
    council.refuses(BAD_ARGUMENTS, 0, council.proposal(SetPower(council.voting[0], 2**53 - 1)))
    council.decide(SetPower(council.voting[0], 5))
    assert next_validators(council.state).validators[0].power == 5
    members = [RemoveMember(f"m{index}") for index in range(4)]
    council.refuses(BAD_ARGUMENTS, 0, council.proposal(*members))


def test_nodes_are_let_in_moved_and_left_out(council: Council4) -> None:
    """M-6."""
    council.decide(AddNode("m1", NODE))
    council.refuses(ALREADY_EXISTS, 0, council.proposal(AddNode(None, NODE)))
    council.refuses(ALREADY_EXISTS, 0, council.proposal(AddValidator("m0", NODE, NEW, 1)))
    council.decide(RotateNodeKey(NODE, STRANGER))
    assert council.state.get(NODES, (NODE,)) is None
    council.decide(AddValidator("m1", STRANGER, NEW, 1), ready=(NEW,))
    council.refuses(NOT_FOUND, 0, council.proposal(RemoveNode(STRANGER)))
    council.decide(RotateNodeKey(STRANGER, NODE))
    validator = council.state.get(VALIDATORS, (NEW,))
    assert validator is not None
    assert validator.node_key == NODE
    council.decide(RemoveValidator(NEW))
    assert council.state.get(NODES, (NODE,)) is None
    council.decide(AddNode("m3", NODE))
    council.decide(RemoveMember("m3"))
    council.decide(AddNode("m1", NODE))
    council.decide(RemoveNode(NODE))
    council.refuses(NOT_FOUND, 0, council.proposal(RemoveNode(NODE)))
    council.refuses(NOT_FOUND, 0, council.proposal(RotateNodeKey(NODE, STRANGER)))
    council.refuses(NOT_FOUND, 0, council.proposal(AddNode("m3", NODE)))


def test_what_is_no_change_is_refused_at_once(council: Council4) -> None:
    """L-8, M-8: nothing of it depends on who is up."""
    far = council.time_ms + 1_000
    council.refuses(BAD_ARGUMENTS, 0, Propose((encode(Approve(1)),), "-", far))
    council.refuses(BAD_ARGUMENTS, 0, Propose((encode(RemoveMember("m1")) + b"\x00",), "-", far))
    council.refuses(BAD_ARGUMENTS, 0, council.proposal(AddNode(None, bytes(32))))
    twice = council.proposal(RotateVotingKey(council.voting[0], NEW), RotateVotingKey(council.voting[1], NEW))
    council.refuses(BAD_ARGUMENTS, 0, twice)


def test_what_became_impossible_is_refused_when_it_is_executed(council: Council4) -> None:
    """M-1."""
    number = council.propose(RemoveValidator(council.voting[0]))
    again = council.propose(RemoveValidator(council.voting[0]))
    for who in (1, 2):
        council.run(who, Approve(number))
        council.run(who, Approve(again))
    council.run(0, Execute(number))
    council.refuses(NOT_FOUND, 0, Execute(again))


def test_every_change_has_words() -> None:
    changes: list[Change] = [
        AddMember("a", bytes(32), 1),
        RemoveMember("a"),
        AddValidator("a", NODE, NEW, 1),
        RemoveValidator(NEW),
        RotateVotingKey(NEW, NEWER),
        RotateNodeKey(NODE, STRANGER),
        SetPower(NEW, 3),
        AddNode(None, NODE),
        RemoveNode(NODE),
        SetApprovals(None),
        SetQuota("a", 1),
    ]
    assert {type(change) for change in changes} == set(CHANGES.values()), "every kind of change is here"
    proposal = Propose((*map(encode, changes), b"\x00"), "because", 1)
    words = explain(RULES_2, Operation("members", "propose", encode(proposal)))
    assert words.count("; ") == len(changes)
    assert "cannot be opened" in words
