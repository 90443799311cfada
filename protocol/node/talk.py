"""Talk: what peers send, what is said to them at regular times, and block sync.

Every message is read strictly; what does not read is charged to the peer that sent it. Proposals are
verified before anything believes them; votes over their signer's own channel are left to consensus, which
checks lazily; votes that came by others, or must go on to others, are verified here first (L-14, C-19).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from protocol import limits
from protocol.codec import decode, encode
from protocol.consensus import inputs as agree
from protocol.consensus.certificates import vote_well_formed
from protocol.consensus.statements import CONTEXTS, Certificate, Proposal, Vote, VoteKind, statement_bytes
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.crypto.signing import signing_message
from protocol.errors import Malformed
from protocol.gossip import Neighbour
from protocol.ledger.records import Batch, Header
from protocol.node import asking, catching_up, epochs, mending
from protocol.node.body import JOBS_MAX, Body, message_hash
from protocol.node.data import announced, batch_received
from protocol.node.envelopes import relayed
from protocol.node.interface import BlocksRead, Priority, ReadBlocks, ReadSnapshot, SnapshotRead
from protocol.node.ordering import header_arrived
from protocol.sync import end_of_answer, parts_of
from protocol.wire import messages as wire
from protocol.wire import snapshot
from protocol.wire.memory import ChallengeMessage, RecollectionMessage

ANSWER_BYTES_MAX: Final = 4 * limits.MIB
READS_IN_FLIGHT_MAX: Final = 8
ANSWERS_BYTES_MAX: Final = 16 * limits.MIB
"""Batches and headers that one peer gets for the asking in one retry interval."""


def received(body: Body, peer: bytes, data: bytes) -> None:
    """One message from a connected peer."""
    neighbour = body.neighbours.peers.get(peer)
    if neighbour is None:
        return
    neighbour.heard_ms = body.now.monotonic_ms
    try:
        message = wire.read(data)
        epoch = epochs.epoch_of(message)
        if epoch is not None and epoch != body.epoch:
            epochs.other_epoch(body, epoch, data, peer)
            return
        HANDLERS[type(message)](body, message, data, peer)
    except Malformed as fault:
        body.charge(peer, f"malformed: {fault.words}")


# -- Votes and proposals ----------------------------------------------------------------------------


def _vote(body: Body, vote: Vote, data: bytes, peer: bytes) -> None:
    if not vote_well_formed(body.roster.validators, vote, body.epoch):
        body.charge(peer, "a vote that is not well formed")
        return
    core = body.machine.core
    low, high = core.view - limits.VIEW_RETENTION, core.view + limits.VIEW_LOOKAHEAD
    if not (low <= vote.view <= high or vote.view == core.highest_notarized):
        # Nothing of it would be kept; it may still show a peer that is behind (C-12).
        body.inbox.append(agree.VoteReceived(vote, peer, False))
        return
    origin = body.roster.node_keys[vote.signer]
    direct = origin == peer
    name = message_hash(data)
    if name in body.verified:
        _vote_good(body, vote, data, peer)
    elif direct and not body.neighbours.lacking(origin, body.now.monotonic_ms):
        body.inbox.append(agree.VoteReceived(vote, peer, False))
    elif len(body.jobs) < JOBS_MAX:
        payload = statement_bytes(vote.kind, vote.epoch, vote.view, vote.proposal)
        message = signing_message(CONTEXTS[VoteKind(vote.kind)], body.network_id, payload)
        item = (body.roster.validators.keys[vote.signer], message, vote.signature)
        body.check(("vote", vote, data, peer), (item,))


def vote_checked(body: Body, vote: Vote, data: bytes, peer: bytes, good: bool) -> None:
    """A vote that came by others, or goes on to others, was checked."""
    if not good:
        body.charge(peer, "a vote with a bad signature")
        return
    body.remember_verified(message_hash(data))
    _vote_good(body, vote, data, peer)


def _vote_good(body: Body, vote: Vote, data: bytes, peer: bytes) -> None:
    origin = body.roster.node_keys[vote.signer]
    to = body.neighbours.pass_on(message_hash(data), origin, peer, body.now.monotonic_ms)
    body.send(to, Priority.CONSENSUS, data)
    body.inbox.append(agree.VoteReceived(vote, peer, True))


def _proposal(body: Body, message: wire.ProposalMessage, data: bytes, peer: bytes) -> None:
    proposal = message.proposal
    if digest(Domain.HEADER, message.header) != proposal.payload:
        body.charge(peer, "a proposal with another header than its payload")
        return
    decode(Header, message.header)
    view = body.machine.core.view
    if not view - limits.VIEW_RETENTION <= proposal.view <= view + limits.VIEW_LOOKAHEAD:
        return
    if message_hash(data) in body.verified:
        _proposal_good(body, message, data, peer)
    elif len(body.jobs) < JOBS_MAX:
        leader = body.machine.core.rotation.leader(proposal.view)
        item = (
            body.roster.validators.keys[leader],
            _notarize_message(body, proposal),
            message.signature,
        )
        body.check(("proposal", message, data, peer), (item,))


def _notarize_message(body: Body, proposal: Proposal) -> bytes:
    payload = statement_bytes(VoteKind.NOTARIZE, proposal.epoch, proposal.view, proposal)
    return signing_message(CONTEXTS[VoteKind.NOTARIZE], body.network_id, payload)


def proposal_checked(body: Body, message: wire.ProposalMessage, data: bytes, peer: bytes, good: bool) -> None:
    """A proposal's signature was checked."""
    if not good:
        body.charge(peer, "a proposal with a bad signature")
        return
    body.remember_verified(message_hash(data))
    _proposal_good(body, message, data, peer)


def _proposal_good(body: Body, message: wire.ProposalMessage, data: bytes, peer: bytes) -> None:
    origin = body.roster.node_keys[body.machine.core.rotation.leader(message.proposal.view)]
    to = body.neighbours.pass_on(message_hash(data), origin, peer, body.now.monotonic_ms)
    body.send(to, Priority.CONSENSUS, data)
    if body.proposed.setdefault(message.proposal.view, message.proposal.payload) == message.proposal.payload:
        header_arrived(body, decode(Header, message.header))
    body.inbox.append(agree.ProposalReceived(message.proposal, message.signature, peer))


# -- Questions and answers --------------------------------------------------------------------------


def _certificate(body: Body, message: Certificate, _data: bytes, peer: bytes) -> None:
    body.inbox.append(agree.CertificateReceived(message, peer))


def _certificates_wanted(body: Body, message: wire.CertificatesWanted, _data: bytes, peer: bytes) -> None:
    body.inbox.append(agree.RequestReceived(message.views, peer))


def _announcement(body: Body, message: wire.Announcement, _data: bytes, peer: bytes) -> None:
    announced(body, message, peer)


def _envelopes_relayed(body: Body, message: wire.EnvelopesRelayed, _data: bytes, peer: bytes) -> None:
    relayed(body, message.envelopes, peer)


def _batches_wanted(body: Body, message: wire.BatchesWanted, _data: bytes, peer: bytes) -> None:
    for wanted in dict.fromkeys(message.digests):
        data = body.batches.data(wanted)
        if peer in body.roster.signer_of:
            body.lateness.wanted(wanted)
        if data is not None and _may_answer(body, peer, len(data)):
            body.send((peer,), Priority.BATCHES, data)


def _may_answer(body: Body, peer: bytes, size: int) -> bool:
    """C-20, L-31: answers to one peer are bounded in bytes for each retry interval."""
    neighbour = body.neighbours.peers[peer]
    now = body.now.monotonic_ms
    if now >= neighbour.answered_since_ms + body.parameters.retry_interval_ms:
        neighbour.answered_since_ms, neighbour.answered_bytes = now, 0
    neighbour.answered_bytes += size
    return neighbour.answered_bytes <= ANSWERS_BYTES_MAX


def _headers_wanted(body: Body, message: wire.HeadersWanted, _data: bytes, peer: bytes) -> None:
    for wanted in dict.fromkeys(message.digests):
        data = body.chain.header_bytes(wanted)
        if data is not None and _may_answer(body, peer, len(data)):
            body.send((peer,), Priority.CONSENSUS, encode(wire.HeaderFound(data)))


def _header_found(body: Body, message: wire.HeaderFound, _data: bytes, _peer: bytes) -> None:
    if digest(Domain.HEADER, message.header) not in body.header_wants.missing:
        body.count("headers_passed_over")
        return
    header_arrived(body, decode(Header, message.header))


def ask_for_missing(body: Body) -> None:
    """L-15: ask the next in line for what is missing."""
    now, neighbours = body.now.monotonic_ms, body.everyone()
    for peer, digests in body.batch_wants.due(now, neighbours).items():
        body.send((peer,), Priority.CONSENSUS, encode(wire.BatchesWanted(tuple(digests))))
    for peer, hashes in body.header_wants.due(now, neighbours).items():
        body.send((peer,), Priority.CONSENSUS, encode(wire.HeadersWanted(tuple(hashes))))


# -- Keepalive --------------------------------------------------------------------------------------


def keepalive(body: Body) -> bytes:
    """How far this node is, and whom it hears."""
    core, roster = body.machine.core, body.roster
    accepting = not body.disk_full and len(body.pool.waiting) < limits.POOL_ENVELOPES_MAX // 2
    heard = body.neighbours.hears(body.now.monotonic_ms)
    # Between two epochs a neighbour may still pass for a validator that it is no more.
    places = [roster.signer_of[node] for node in heard if node in roster.signer_of]
    return encode(
        wire.Keepalive(
            core.view,
            core.final_view,
            body.chain.final.height,
            body.chain.executed_height,
            wire.heard_bitmap(places, len(roster.node_keys)),
            accepting,
            body.epoch,
        )
    )


def say_how_far(body: Body) -> None:
    """Each half retry interval; where it would be what was said last, and there is no work, every second time."""
    message, again_ms = keepalive(body), body.said_ms + 2 * max(1, body.parameters.retry_interval_ms // 2)
    if message == body.said and not body.machine.core.work and body.now.monotonic_ms < again_ms:
        return
    body.said, body.said_ms = message, body.now.monotonic_ms
    body.send(body.everyone(), Priority.CONSENSUS, message)


def _keepalive(body: Body, message: wire.Keepalive, _data: bytes, peer: bytes) -> None:
    neighbour = body.neighbours.peers[peer]
    _hears(body, neighbour, message)
    neighbour.final_height = message.final_height
    neighbour.accepting = message.accepting
    if message.epoch == body.epoch:
        body.inbox.append(agree.PeerShown(peer, message.view, message.final_view))
    elif message.epoch < body.epoch:
        epochs.other_epoch(body, message.epoch, b"", peer)
    catching_up.look(body)


def _hears(body: Body, neighbour: Neighbour, message: wire.Keepalive) -> None:
    """Whom a peer hears, by the set of this epoch. Raises Malformed.

    A bitmap of another epoch's set can't be read here. In the epoch before or after it is about to meet us, and what it
    said last still counts; farther away it has no use for what is said in this one, so nothing is passed on to it.
    """
    nodes = body.roster.node_keys
    if message.epoch == body.epoch:
        neighbour.hears = frozenset(nodes[place] for place in wire.heard_places(message.hears, len(nodes)))
    elif neighbour.hears_ms < 0 or abs(message.epoch - body.epoch) > 1:
        neighbour.hears = frozenset(nodes)
    neighbour.hears_ms = body.now.monotonic_ms


# -- Block sync, answering --------------------------------------------------------------------------


def _blocks_wanted(body: Body, message: wire.BlocksWanted, _data: bytes, peer: bytes) -> None:
    """One read at a time for each peer; a few in all. Who gets no answer asks another."""
    readers = [purpose[1] for purpose in body.jobs.values() if purpose[0] == "blocks"]
    if peer in readers or len(readers) >= READS_IN_FLIGHT_MAX:
        return
    if message.first_height > body.chain.final.height:
        body.send((peer,), Priority.SYNC, end_of_answer(message.first_height))
        return
    job = body.job(("blocks", peer))
    body.emit(ReadBlocks(job, message.first_height, message.count, ANSWER_BYTES_MAX))


def blocks_read(body: Body, given: BlocksRead, peer: bytes) -> None:
    """Send what was read to the peer that asked."""
    for offset, block in enumerate(given.blocks):
        for part in parts_of(given.first_height + offset, block):
            body.send((peer,), Priority.SYNC, part)
    body.send((peer,), Priority.SYNC, end_of_answer(given.first_height + len(given.blocks)))


# -- Snapshots, answering ---------------------------------------------------------------------------


def _snapshot_question(body: Body, question: Any, _data: bytes, peer: bytes) -> None:
    """One answer at a time for each peer; a few in all. Who gets none asks another."""
    readers = [purpose[1] for purpose in body.jobs.values() if purpose[0] == "snapshot"]
    if peer not in readers and len(readers) < READS_IN_FLIGHT_MAX:
        body.emit(ReadSnapshot(body.job(("snapshot", peer)), question))


def snapshot_read(body: Body, given: SnapshotRead, peer: bytes) -> None:
    """Send what was read to the peer that asked."""
    for message in given.messages:
        body.send((peer,), Priority.SYNC, message)


def _snapshot_answer(body: Body, _answer: Any, _data: bytes, _peer: bytes) -> None:
    """It comes late: to the joiner that this node was (`joining.py`)."""
    body.count("snapshot_answers_passed_over")


def _block_part(body: Body, part: wire.BlockPart, data: bytes, peer: bytes) -> None:
    """A part of an answer: for mending, or for block sync."""
    if mending.takes(body, part, peer):
        mending.block_part(body, part)
    else:
        catching_up.block_part(body, part, data, peer)


HANDLERS: Final[dict[type[Any], Callable[[Body, Any, bytes, bytes], None]]] = {
    Vote: _vote,
    wire.ProposalMessage: _proposal,
    Certificate: _certificate,
    wire.CertificatesWanted: _certificates_wanted,
    Batch: batch_received,
    wire.BatchesWanted: _batches_wanted,
    wire.HeadersWanted: _headers_wanted,
    wire.HeaderFound: _header_found,
    wire.Announcement: _announcement,
    wire.Keepalive: _keepalive,
    wire.BlocksWanted: _blocks_wanted,
    wire.BlockPart: _block_part,
    wire.EnvelopesRelayed: _envelopes_relayed,
    ChallengeMessage: asking.challenged,
    RecollectionMessage: asking.recollected,
    **dict.fromkeys(snapshot.QUESTIONS, _snapshot_question),
    **dict.fromkeys(snapshot.ANSWERS, _snapshot_answer),
}
"""Message -> what is done with it: (body, message, its encoding, peer)."""
assert set(HANDLERS) == set(wire.MESSAGES.values()), "every message that a peer may send has a handler"
