"""Proposing: what a leader builds, and what the others judge (C-5, C-6, L-18).

The leader's *build*: a header on a parent, from ready batches and executed results. A validator's *judge*: is the
header valid here, now, and if something is missing, ask for it and look again whenever something arrives. Both are
asked for by consensus once, stand in `body.building` and `body.judging`, and are called again until they have answered
or the view is over. On a block that closes its epoch neither is free: its payload is repeated until it is final (C-21).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from protocol.consensus import inputs as agree
from protocol.consensus.statements import Proposal
from protocol.dissemination import Held, State
from protocol.ledger.blocks import (
    Judgement,
    Standing,
    Surroundings,
    choose_references,
    judge_header,
    leader_time_ms,
)
from protocol.ledger.genesis import rules_version
from protocol.ledger.records import Executed, Header, Reference
from protocol.node.body import Body
from protocol.node.chain import Known

LATE_RETRIES: Final = 4
"""Retry intervals after which a late author's batch is referenced, whoever announced it."""


# -- Build ------------------------------------------------------------------------------------------


def build(body: Body) -> None:
    """The leader's header on the parent that consensus names, if that parent's ancestry is known here."""
    asked = body.building
    key = body.key
    if asked is None or key is None:
        return
    parent = body.chain.parent(asked.parent_payload)
    missing = body.chain.path(asked.parent_payload)[1]
    if parent is None or missing is not None:
        want_header(body, missing or asked.parent_payload, asked.parent_view)
        return
    if body.chain.closes(asked.parent_payload):
        # C-21: until it is final, only that block is proposed again.
        body.building = None
        body.inbox.append(agree.PayloadOffered(asked.view, asked.parent_view, asked.parent_payload))
        return
    if body.chain.too_far(parent.height):
        return
    body.building = None
    executed = _executed_to_name(body, asked.parent_payload, parent.executed)
    height = parent.height + 1
    references: tuple[Reference, ...] = ()
    if body.chain.lag(asked.parent_payload, executed.height) <= body.parameters.execution_lag_max:
        references = _references(body, asked.parent_payload, height)
    header = Header(
        rules_version(body.setup.genesis, height),
        body.epoch,
        height,
        parent.hash,
        leader_time_ms(body.now.wall_ms, parent.time_ms),
        key.public,
        references,
        executed,
        body.roster.validators_hash,
        _next_to_name(body, executed, parent.executed),
    )
    hashed = body.chain.learn(header, body.now.monotonic_ms, body.pinned)
    if hashed not in body.chain.known:
        return
    body.lateness.proposed(asked.view, references)
    body.inbox.append(agree.PayloadOffered(asked.view, asked.parent_view, hashed))


def _executed_to_name(body: Body, parent_hash: bytes, parent_executed: Executed) -> Executed:
    """L-18: only results that were here before the parent was proposed, so that others have them by now too."""
    known = body.chain.known.get(parent_hash)
    height = body.chain.final_newest_executed if known is None else known.newest_executed
    if body.turn_nullified or height <= parent_executed.height:
        return parent_executed
    return body.chain.results.get(height, parent_executed)


def _next_to_name(body: Body, executed: Executed, parent_executed: Executed) -> bytes:
    """L-18, C-21: the next set as the state at *executed* says."""
    named = None if executed == parent_executed else body.next_at(executed.height)
    return body.roster.validators_hash if named is None else named


def _references(body: Body, tip: bytes, height: int) -> tuple[Reference, ...]:
    late = body.lateness.late
    candidates = [
        held.reference
        for held in referable(body, tip, height)
        if held.reference.author not in late or _announced(body, held)
    ]
    return choose_references(candidates, body.roster.member_of.__getitem__, body.parameters)


def referable(body: Body, tip: bytes, height: int) -> Iterator[Held]:
    """Ready batches that a block of this height on the block `tip` may hold (L-18), oldest first."""
    used = body.chain.is_used(tip)
    ttl = body.parameters.batch_ttl_max
    for digest, held in body.batches.held.items():
        if (
            held.state is State.READY
            and held.expiry_height - ttl <= height <= held.expiry_height
            and held.reference.author in body.roster.keys
            and digest not in used
            and digest not in body.chain.used
        ):
            yield held


def _announced(body: Body, held: Held) -> bool:
    """L-15: whether a quorum, or all validators that are connected, show this batch ready, or had the time to."""
    if body.now.monotonic_ms - held.since_ms > LATE_RETRIES * body.parameters.retry_interval_ms:
        return True  # else one neighbour that is silent, or far behind, would hold the author back for ever
    here = {body.roster.node_of[held.reference.author], body.setup.node_key}
    connected = body.roster.power_of(here.union(body.neighbours.validators()))
    return body.roster.power_of(here | held.announced_by) >= min(body.roster.validators.quorum, connected)


# -- Judge ------------------------------------------------------------------------------------------


def judge(body: Body) -> None:
    """C-6, L-18: valid, invalid, or later; called again on each arrival, execution and tick."""
    body.rejudge_ms = None
    if body.judging is None:
        return
    proposal, parent_payload = body.judging
    if body.chain.closes(parent_payload):
        # C-21: what descends from a closing block repeats its payload, and nothing else.
        verdict = agree.Verdict.VALID if proposal.payload == parent_payload else agree.Verdict.INVALID
        body.judging = None
        body.inbox.append(agree.PayloadJudged(proposal, verdict))
        return
    known = body.chain.known.get(proposal.payload)
    missing = body.chain.path(parent_payload)[1]
    if known is None or missing is not None:
        want_header(body, missing if missing is not None else proposal.payload, proposal.view)
        return
    if body.chain.too_far(known.header.height - 1):
        body.rejudge_ms = body.now.monotonic_ms + max(1, body.parameters.delta_ms // 8)
        return
    judgement = _judgement(body, proposal, parent_payload, known)
    if judgement.standing is Standing.LATER:
        _wait_for(body, judgement, proposal)
        return
    body.judging = None
    valid = judgement.standing is Standing.VALID
    if not valid:
        body.note("proposal_invalid", view=proposal.view, words=judgement.words)
    verdict = agree.Verdict.VALID if valid else agree.Verdict.INVALID
    body.inbox.append(agree.PayloadJudged(proposal, verdict))


def _judgement(body: Body, proposal: Proposal, parent_payload: bytes, known: Known) -> Judgement:
    chain, core = body.chain, body.machine.core
    parent = chain.parent(parent_payload)
    assert parent is not None, "the path to the parent is known"
    used = chain.is_used(parent_payload)
    around = Surroundings(
        parameters=body.parameters,
        rules=rules_version(body.setup.genesis, parent.height + 1),
        epoch=body.epoch,
        proposer=body.roster.validators.keys[core.rotation.leader(proposal.view)],
        validators=body.roster.keys,
        validators_hash=body.roster.validators_hash,
        parent=parent,
        used=lambda digest: digest in used or digest in chain.used,
        ready=lambda reference: _expiry_if_ready(body, reference),
        executed_at=chain.results.get,
        next_at=body.next_at,
        lag=lambda height: chain.lag(parent_payload, height),
        clock_ms=body.now.wall_ms,
    )
    return judge_header(known.header, around)


def _expiry_if_ready(body: Body, reference: Reference) -> int | None:
    held = body.batches.held.get(reference.digest)
    if held is None or not body.batches.ready(reference.digest):
        return None
    return held.expiry_height if held.reference == reference else -1


def _wait_for(body: Body, judgement: Judgement, proposal: Proposal) -> None:
    now = body.now.monotonic_ms
    leader = body.roster.node_keys[body.machine.core.rotation.leader(proposal.view)]
    for reference in judgement.missing:
        if reference.digest not in body.batches.held:
            # It is probably on its way behind the proposal: ask only when it does not come in a moment.
            author = body.roster.node_of[reference.author]
            body.batch_wants.add(reference.digest, [leader, author], now + body.parameters.delta_ms // 8, needed=True)
    body.rejudge_ms = now + max(1, body.parameters.delta_ms // 8)


def want_header(body: Body, hashed: bytes, view: int) -> None:
    """Ask for a header: of the leader of its view first, then of neighbours (L-15)."""
    leader = body.machine.core.rotation.leader(max(1, view))
    body.header_wants.add(hashed, [body.roster.node_keys[leader]], body.now.monotonic_ms)
