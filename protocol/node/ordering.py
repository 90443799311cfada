"""Ordering: what consensus says becomes blocks, and what blocks need becomes inputs of consensus.

Every effect of consensus is *carried* out here; what it asks of a leader or a judge of proposals is in `proposing`.
And *advance*: a finalization names a block; it and its ancestors are appended and executed in order, as soon as their
headers and batches are here.

Order of effects: what a vote depends on (the header) is persisted in the same list as the vote.
"""

from __future__ import annotations

from typing import Final

from protocol import limits
from protocol.codec import encode
from protocol.consensus import inputs as agree
from protocol.consensus.certificates import signers_of
from protocol.consensus.statements import Certificate, Proposal, Vote, VoteKind
from protocol.errors import BROKEN_INVARIANT
from protocol.ledger.closings import closes
from protocol.ledger.records import Block, Header, header_hash
from protocol.node import memory
from protocol.node.body import Body, Closed
from protocol.node.chain import Known
from protocol.node.interface import Append, Execute, JournalKind, Priority
from protocol.node.proposing import build, judge, referable, want_header
from protocol.node.shedding import shed
from protocol.wire.messages import CertificatesWanted, ProposalMessage

EXECUTING_BLOCKS_MAX: Final = 1_024
EXECUTING_BYTES_MAX: Final = 32 * limits.MIB
"""Final blocks handed to execution and not answered; what is final beyond waits."""
SYNC_GAP: Final = 16
"""Behind by so many heights, a node asks for blocks at once; by fewer only when it stays behind."""


def carry(body: Body, effects: list[agree.Effect]) -> None:
    """Turn what consensus says into effects of the node, and into its own next inputs."""
    for effect in effects:
        match effect:
            case agree.PersistVote(vote):
                _persist_vote(body, vote)
            case agree.PersistProposal(proposal, vote):
                _persist_proposal(body, proposal, vote)
            case agree.PersistCertificate(certificate):
                body.persist(JournalKind.CERTIFICATE, encode(certificate))
            case agree.SendVote(vote, to):
                body.send(body.everyone() if to is None else to, Priority.CONSENSUS, encode(vote))
            case agree.SendProposal(proposal, signature, to):
                _send_proposal(body, proposal, signature, to)
            case agree.SendCertificate(certificate, to):
                body.send(to, Priority.CONSENSUS, encode(certificate))
            case agree.SendRequest(views, to):
                body.send(to, Priority.CONSENSUS, encode(CertificatesWanted(body.epoch, views)))
            case agree.Verify(job, items):
                body.check(("consensus", job), items)
            case agree.Build():
                body.building = effect
                build(body)
            case agree.Judge(proposal, parent_payload):
                body.judging = (proposal, parent_payload)
                judge(body)
            case _:
                _happened(body, effect)


def _happened(body: Body, effect: agree.Effect) -> None:
    match effect:
        case agree.Entered(view, _, _):
            lowest = view - limits.VIEW_RETENTION
            body.proposed = {at: payload for at, payload in body.proposed.items() if at >= lowest}
            body.judging, body.building, body.rejudge_ms = None, None, None
            body.work_stale = True
            body.count("views")
            shed(body)
        case agree.Notarized(certificate):
            _notarized(body, certificate)
        case agree.NullifiedView(certificate):
            if body.machine.core.rotation.leader(certificate.view) == body.machine.core.me:
                body.turn_nullified = True
                body.lateness.nullified(certificate.view)
            body.work_stale = True
            body.note("view_nullified", view=certificate.view)
        case agree.Finalized(certificate):
            body.target = certificate
            advance(body)
        case agree.Evidence(first, second):
            body.note(
                "equivocation",
                validator=body.roster.validators.keys[first.signer],
                view=first.view,
                first=encode(first),
                second=encode(second),
            )
        case agree.Forked(first, second):
            words = f"two finalizations of view {first.view}: {encode(first).hex()} and {encode(second).hex()}"
            body.halt(BROKEN_INVARIANT, words)
        case agree.Charge(signer, peer, words):
            body.charge(body.roster.node_keys[signer] if signer is not None else peer, words)
        case agree.Twin(vote):
            memory.own_shown(body, vote)
        case _:
            raise AssertionError(f"unhandled consensus effect {effect!r}")


# -- What is signed ---------------------------------------------------------------------------------


def _persist_vote(body: Body, vote: Vote) -> None:
    body.memory.adopting = False
    if vote.kind == VoteKind.NOTARIZE and vote.proposal is not None:
        # After a power cut of everyone the block must still be found: the quorum that notarized it has it.
        _persist_header(body, body.chain.known[vote.proposal.payload])
    body.persist(JournalKind.VOTE, encode(vote), agree.VoteDurable(vote))


def _persist_header(body: Body, known: Known) -> None:
    if not known.journaled:
        known.journaled = True
        body.persist(JournalKind.HEADER, known.data)


def _persist_proposal(body: Body, proposal: Proposal, vote: Vote) -> None:
    body.memory.adopting = False
    known = body.chain.known[proposal.payload]
    known.journaled = True
    message = ProposalMessage(proposal, vote.signature, known.data)
    body.persist(JournalKind.PROPOSAL, encode(message), agree.VoteDurable(vote))


def _send_proposal(body: Body, proposal: Proposal, signature: bytes, to: tuple[bytes, ...] | None) -> None:
    header = body.chain.header_bytes(proposal.payload)
    if header is not None:
        message = encode(ProposalMessage(proposal, signature, header))
        body.send(body.everyone() if to is None else to, Priority.CONSENSUS, message)


# -- Advance ----------------------------------------------------------------------------------------


def _notarized(body: Body, certificate: Certificate) -> None:
    proposal = certificate.proposal
    assert proposal is not None, "a notarization states a proposal"
    if body.machine.core.rotation.leader(certificate.view) == body.machine.core.me:
        body.turn_nullified = False
        body.lateness.notarized(certificate.view)
    if body.chain.parent(proposal.payload) is None:
        want_header(body, proposal.payload, certificate.view)
    body.work_stale = True


def advance(body: Body) -> None:
    """Append and execute final blocks, lowest first, as far as their headers and batches are here."""
    target = body.target
    if target is None or target.proposal is None or body.halted or body.closed is not None:
        return
    if target.proposal.payload in body.chain.recent:
        body.target = None  # block sync has brought it, and more
        return
    line, missing = body.chain.path(target.proposal.payload)
    if missing is not None:
        _header_missing(body, line, missing, target)
        return
    for hashed in line:
        # All of the line at once: what proves the first block final is the chain of headers up to the target.
        _persist_header(body, body.chain.known[hashed])
    for hashed in line:
        if backlog_full(body):
            return
        known = body.chain.known[hashed]
        batches = _batches_of(body, known.header, target)
        if batches is None:
            return
        if not append(body, hashed, batches, target if hashed == target.proposal.payload else None):
            return
        if closes(known.header):
            return  # what stands on it is of the next epoch


def backlog_full(body: Body) -> bool:
    """Whether execution has enough to do."""
    chain = body.chain
    return len(chain.executing) >= EXECUTING_BLOCKS_MAX or chain.executing_bytes >= EXECUTING_BYTES_MAX


def far_behind(body: Body) -> bool:
    """Whether what is missing is block sync's: single headers would not lead anywhere."""
    ahead = max((neighbour.final_height for neighbour in body.neighbours.peers.values()), default=0)
    return body.sync.peer is not None or ahead - body.chain.final.height >= SYNC_GAP


def _header_missing(body: Body, line: list[bytes], missing: bytes, target: Certificate) -> None:
    if line and body.chain.known[line[0]].header.height <= body.chain.final.height + 1:
        tip = body.chain.final
        body.halt(BROKEN_INVARIANT, f"a final block does not descend from the final block {tip.height}: a fork")
        return
    if far_behind(body):
        return
    signers = [body.roster.node_keys[signer] for signer in signers_of(target)]
    body.header_wants.add(missing, signers, body.now.monotonic_ms)


def _batches_of(body: Body, header: Header, target: Certificate) -> list[bytes] | None:
    found: list[bytes] = []
    lacking = False
    for reference in header.references:
        data = body.batches.data(reference.digest)
        if data is not None:
            found.append(data)
            continue
        lacking = True
        if reference.digest not in body.batches.held:
            signers = [body.roster.node_keys[signer] for signer in signers_of(target)]
            candidates = [body.roster.node_of[reference.author], *signers]
            body.batch_wants.add(reference.digest, candidates, body.now.monotonic_ms, needed=True)
    return None if lacking else found


def append(body: Body, hashed: bytes, batches: list[bytes], finalization: Certificate | None) -> bool:
    """The known block `hashed`, on the final tip, is final: append it and have it executed. False: the node halted."""
    words = _not_pinned(body, hashed) or body.chain.check(body.chain.known[hashed].header)
    if words is not None:
        body.halt(BROKEN_INVARIANT, words)
        return False
    known = body.chain.advance(hashed)
    header = known.header
    certificate = None if finalization is None else encode(finalization)
    block = encode(Block(known.data, tuple(batches), certificate))
    body.emit(Append(header.height, block))
    if header.height > body.executed_before_start:
        body.emit(Execute(header.height, known.data, tuple(batches)))
        body.chain.executes(header.height, len(block), body.now.monotonic_ms)
    if finalization is not None:
        body.covering = (header.height, header.executed.height)
        if not closes(header):
            memory.went_on(body, finalization)
        else:
            body.closed = Closed(header, hashed, finalization)
    for reference, data in zip(header.references, batches, strict=True):
        body.batches.ordered(reference.digest, data)
        body.batch_wants.settle(reference.digest)
    body.work_stale = True
    body.behind_since_ms = None
    body.note(
        "block_final",
        height=header.height,
        hash=hashed,
        batches=len(batches),
        envelopes=sum(reference.count for reference in header.references),
        time_ms=header.time_ms,
        proposer=header.proposer,
    )
    return True


def _not_pinned(body: Body, hashed: bytes) -> str | None:
    """C-23: words if this block stands where the operator knows another closing header for certain."""
    pinned = body.setup.pinned
    if pinned is None or pinned[0] != body.chain.known[hashed].header.height or pinned[1] == hashed:
        return None
    return f"block {pinned[0]} is {hashed.hex()}, and the configuration pins {pinned[1].hex()}: another history"


def header_arrived(body: Body, header: Header) -> bytes:
    """A header came, alone or with a proposal: remember it, and look at what waited for it."""
    hashed = header_hash(header)
    body.header_wants.settle(hashed)
    target = body.target
    if target is not None and target.proposal is not None and target.proposal.payload == hashed:
        here = body.chain.final_hashes.get(header.height, hashed)
        if here != hashed:
            body.halt(BROKEN_INVARIANT, f"two final blocks at height {header.height}: a fork")
            return hashed
    if hashed in body.chain.known:
        return hashed
    body.chain.learn(header, body.now.monotonic_ms, body.pinned)
    if hashed not in body.chain.known:
        return hashed
    advance(body)
    judge(body)
    build(body)
    body.work_stale = True
    return hashed


# -- Work -------------------------------------------------------------------------------------------


def look_for_work(body: Body) -> None:
    """C-15: tell consensus whether there is something to agree on."""
    body.work_stale = False
    work = _has_work(body)
    if work != body.machine.core.work:
        body.inbox.append(agree.WorkChanged(work))


def _has_work(body: Body) -> bool:
    core, chain = body.machine.core, body.chain
    tip_hash = core.payload_at(core.highest_notarized)
    tip = None if tip_hash is None else chain.parent(tip_hash)
    if tip is None or tip_hash is None:
        return True  # the tip itself is missing: not a quiet network
    newest = chain.results.get(chain.executed_height)
    if newest is not None and newest.log_size > tip.executed.log_size:
        return True
    patience = body.now.monotonic_ms - body.parameters.retry_interval_ms
    for known in chain.ancestry(tip_hash):
        below = chain.parent(known.header.parent)
        content = known.header.references or (below is not None and below.executed != known.header.executed)
        content = content or closes(known.header)
        if content and known.since_ms <= patience:
            return True
    if chain.closes(tip_hash):
        return False  # no new content until it is final (C-21)
    if chain.lag(tip_hash, max(tip.executed.height, chain.executed_height)) > body.parameters.execution_lag_max:
        return False  # no valid proposal may hold references now (L-18): the next result is what comes first
    return any(True for _ in referable(body, tip_hash, tip.height + 1))
