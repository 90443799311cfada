"""The application `members`: propose, approve, withdraw, ready, execute (M-1 to M-8 in `../SPECIFICATION.md`).

Members act by their accounts, under whatever keys act for these. A proposal is a list of changes, decided together.
Approvals count when the proposal is executed, of those who are members then; so whoever left has no say, and a new
member's rule is the one of that moment.

**Ready (C-21).** A new voting key enters the set only after an envelope that carries that key's own signature says so
for this proposal: who signs holds the key (nobody can put a stranger's key, or one that is lost, into the set), and
its node has executed a recent height. The envelope's signature is the proof: it is checked as any other, in its own
context, over the network id and the proposal's number.

What a proposal would do is tried when it is put and undone: members are asked only for what can be done. It can still
be refused when it is executed, if another was in between.

Deliberately absent: secret votes, delegation, weights of members (powers of validators are another thing), and
execution at a fixed time.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import replace
from typing import Final

from protocol.apps.common import App, make_app, origin_of, short
from protocol.apps.members import words
from protocol.apps.members.changes import (
    approvals_needed,
    begin,
    carry_out,
    new_voting_keys,
    read_change,
    read_council,
)
from protocol.apps.members.records import (
    COUNCIL,
    EXECUTED,
    OPEN,
    PROPOSAL_LIFETIME_MS_MAX,
    PROPOSALS,
    READY_HEIGHTS_MAX,
    SPACES,
    WITHDRAWN,
    Approve,
    Change,
    Execute,
    Proposal,
    Propose,
    Proposed,
    Ready,
    Withdraw,
)
from protocol.apps.members.scratch import Scratch
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
    TOO_LARGE,
    Refused,
)
from protocol.ledger.application import Context, OperationKind
from protocol.ledger.members import is_member
from protocol.ledger.state import State


def _check_propose(arguments: Propose) -> None:
    keys = new_voting_keys([read_change(data) for data in arguments.changes])
    if len(set(keys)) != len(keys):
        raise Refused(BAD_ARGUMENTS, "changes: one new voting key is named twice")


def _propose(context: Context, state: State, arguments: Propose) -> Proposed:
    member = _member(context, state)
    if not context.time_ms < arguments.expires_ms <= context.time_ms + PROPOSAL_LIFETIME_MS_MAX:
        raise Refused(BAD_ARGUMENTS, "expires_ms: must be after block time, and at most 366 days")
    carry_out(_changes(arguments.changes), Scratch(state))
    council = read_council(state)
    number = council.proposals + 1
    state.put(COUNCIL, (), replace(council, proposals=number))
    proposal = Proposal(
        member,
        arguments.changes,
        arguments.note,
        arguments.expires_ms,
        (member,),
        (),
        OPEN,
        origin_of(context),
        None,
    )
    state.put(PROPOSALS, (number,), proposal)
    return Proposed(number)


def _approve(context: Context, state: State, arguments: Approve) -> None:
    member = _member(context, state)
    proposal = _open_proposal(context, state, arguments.proposal)
    if member in proposal.approvals:
        raise Refused(ALREADY_EXISTS, f"{member} approves proposal {arguments.proposal} already")
    approvals = list(proposal.approvals)
    insort(approvals, member)
    state.put(PROPOSALS, (arguments.proposal,), replace(proposal, approvals=tuple(approvals)))


def _withdraw(context: Context, state: State, arguments: Withdraw) -> None:
    member = _member(context, state)
    proposal = _open_proposal(context, state, arguments.proposal)
    if member not in proposal.approvals:
        raise Refused(NOT_FOUND, f"{member} does not approve proposal {arguments.proposal}")
    left = tuple(name for name in proposal.approvals if name != member)
    status = OPEN if left else WITHDRAWN
    state.put(PROPOSALS, (arguments.proposal,), replace(proposal, approvals=left, status=status))


def _ready(context: Context, state: State, arguments: Ready) -> None:
    proposal = _open_proposal(context, state, arguments.proposal)
    key = arguments.voting_key
    if key not in new_voting_keys(_changes(proposal.changes)):
        raise Refused(NOT_FOUND, f"proposal {arguments.proposal} brings in no voting key {short(key)}")
    if key not in context.signers:
        raise Refused(CONSENT_MISSING, f"voting key {short(key)} has not signed this envelope")
    if not context.height - READY_HEIGHTS_MAX <= arguments.height < context.height:
        words_ = f"height: a node that has executed {arguments.height} is not ready at height {context.height}"
        raise Refused(BAD_ARGUMENTS, words_)
    if key in proposal.ready:
        raise Refused(ALREADY_EXISTS, f"voting key {short(key)} is ready already")
    ready = list(proposal.ready)
    insort(ready, key)
    state.put(PROPOSALS, (arguments.proposal,), replace(proposal, ready=tuple(ready)))


def _execute(context: Context, state: State, arguments: Execute) -> None:
    _member(context, state)
    proposal = _open_proposal(context, state, arguments.proposal)
    needed = approvals_needed(read_council(state))
    given = sum(1 for name in proposal.approvals if is_member(name, state))
    if given < needed:
        raise Refused(NOT_APPROVED, f"{given} members approve proposal {arguments.proposal}, {needed} must")
    changes = _changes(proposal.changes)
    missing = [key for key in new_voting_keys(changes) if key not in proposal.ready]
    if missing:
        raise Refused(KEY_NOT_READY, f"voting key {short(missing[0])} has not signed that its node is ready")
    scratch = Scratch(state)
    carry_out(changes, scratch)
    scratch.write_to(state)
    done = replace(proposal, status=EXECUTED, executed=origin_of(context))
    state.put(PROPOSALS, (arguments.proposal,), done)


def _member(context: Context, state: State) -> str:
    member = context.member(state)
    if member is None:
        raise Refused(FORBIDDEN, "the sender is not a member")
    return member


def _changes(encoded: tuple[bytes, ...]) -> list[Change]:
    return [read_change(data) for data in encoded]


def _open_proposal(context: Context, state: State, number: int) -> Proposal:
    proposal = state.get(PROPOSALS, (number,))
    if proposal is None:
        raise Refused(NOT_FOUND, f"there is no proposal {number}")
    if proposal.status != OPEN:
        became = "was executed" if proposal.status == EXECUTED else "was withdrawn by all who approved it"
        raise Refused(PROPOSAL_CLOSED, f"proposal {number} {became}")
    if proposal.expires_ms <= context.time_ms:
        raise Refused(PROPOSAL_CLOSED, f"proposal {number} has expired")
    return proposal


_OPENING: Final = (FORBIDDEN, NOT_FOUND, PROPOSAL_CLOSED)
_CHANGING: Final = (BAD_ARGUMENTS, NOT_FOUND, ALREADY_EXISTS, KEY_USED_BEFORE, TOO_LARGE)

MEMBERS_APP: Final[App] = make_app(
    "members",
    "The members decide who takes part: members, validators, nodes, keys, and their own rule.",
    SPACES,
    [
        (
            OperationKind(
                name="propose",
                arguments=Propose,
                result=Proposed,
                words="Put changes of who takes part to the members; the sender, a member, approves them.",
                apply=_propose,
                check=_check_propose,
                refusals=(FORBIDDEN, *_CHANGING),
            ),
            words.explain_propose,
        ),
        (
            OperationKind(
                name="approve",
                arguments=Approve,
                result=None,
                words="Approve a proposal, as a member.",
                apply=_approve,
                refusals=(*_OPENING, ALREADY_EXISTS, TOO_LARGE),
            ),
            words.explain_approve,
        ),
        (
            OperationKind(
                name="withdraw",
                arguments=Withdraw,
                result=None,
                words="Take back an approval, as a member.",
                apply=_withdraw,
                refusals=_OPENING,
            ),
            words.explain_withdraw,
        ),
        (
            OperationKind(
                name="ready",
                arguments=Ready,
                result=None,
                words="Say, signed by a new voting key of the proposal, that its node runs and has caught up.",
                apply=_ready,
                refusals=(NOT_FOUND, PROPOSAL_CLOSED, CONSENT_MISSING, BAD_ARGUMENTS, ALREADY_EXISTS, TOO_LARGE),
            ),
            words.explain_ready,
        ),
        (
            OperationKind(
                name="execute",
                arguments=Execute,
                result=None,
                words="Carry out a proposal that enough members approve and whose new validators are ready.",
                apply=_execute,
                refusals=(*_OPENING, NOT_APPROVED, KEY_NOT_READY, *_CHANGING[:1], *_CHANGING[2:]),
            ),
            words.explain_execute,
        ),
    ],
    begin=begin,
    governs=True,
)
