"""Epochs: from a closing block to the next instance of consensus (C-21 to C-23).

`protocol.consensus` knows one instance: (network id, epoch, set, floor). Here one follows the other. When a block that
names another next set is final and appended (`body.closed`), the epoch is over: its machine signs nothing more, and
nothing is appended above that block until the next epoch begins. It begins when the named set is known here, which is
when the height that the closing header names as executed has been executed: at once for whoever voted for the block,
later for a node that catches up. Then a new machine stands on the closing block, at view 1, with what the journal holds
of its epoch; jobs, questions and answers of the former one are forgotten; batches of authors that do not vote any more
leave, and their envelopes wait in this node's pool again if it sealed them.

A switch never happens inside a step of consensus: `settle` is called between its inputs.

**Those who are behind, and ahead.** A message of an ended epoch is answered with that epoch's closing finalization; one
of a later epoch makes this node ask its sender for that of the present one. Each at most once in a retry interval and
peer. The first messages of the next epoch are kept, a few for each peer, until it begins here.

**Keys (C-23).** The key that signs in an epoch is the one held here that is in its set. One that was in an ended
epoch's set and is not in the present is never used again and `EraseKey` asks for its end; the closing finalization and
all before it were persisted earlier in the order of effects. Such a key is never in a later set (`apps.members`), so
erasing it loses nothing. What says otherwise of an ended epoch, signed by whatever keys, is not even looked at: its
closing block is final here.

Which validators' nodes take part (`TakePart`) follows the newest state, and the present epoch's set until that ends.
"""

from __future__ import annotations

from typing import Any, Final

from protocol import limits
from protocol.codec import decode, encode
from protocol.consensus import inputs as agree
from protocol.consensus.core import Instance
from protocol.consensus.machine import Machine
from protocol.consensus.statements import Certificate, Proposal, Vote, VoteKind
from protocol.dissemination import Held, State
from protocol.ledger.genesis import ValidatorSet, validators_hash
from protocol.ledger.members import Governed, ValidatorNode
from protocol.ledger.records import Batch, BatchBody
from protocol.node import memory, ordering
from protocol.node.body import CLOSINGS_REMEMBERED_MAX, FORMER_KEYS_MAX, Body, Journaled, make_machine, roster_of
from protocol.node.envelopes import check_envelopes
from protocol.node.interface import EraseKey, JournalKind, Priority, TakePart
from protocol.node.lateness import Lateness
from protocol.node.records import EpochBegun, EpochNode
from protocol.wire.memory import ChallengeMessage, RecollectionMessage
from protocol.wire.messages import CertificatesWanted, ProposalMessage

AHEAD_MESSAGES_MAX: Final = 8
"""Messages of the next epoch kept for one peer: the first view's proposal and the votes around it."""
_OF_AN_INSTANCE: Final = frozenset({"consensus", "vote", "proposal", "challenge", "recollection"})
"""Jobs whose answers are of use to one epoch's machine only."""


# -- The next epoch ---------------------------------------------------------------------------------


def settle(body: Body) -> bool:
    """Begin the next epoch if the present one is closed and the next set is known; whether it did."""
    closed = body.closed
    if closed is None or body.halted:
        return False
    validators = body.sets.get(closed.header.next_validators_hash)
    if validators is None:
        return False  # nothing is signed meanwhile (`held_back`)
    ended, former = body.epoch, body.roster
    body.closings[ended] = closed.finalization
    while len(body.closings) > CLOSINGS_REMEMBERED_MAX:
        body.closings.popitem(last=False)
    body.closed = None
    place(body, ended + 1, validators, closed.hash)
    _keep_announcers(body)
    left = former.keys - body.roster.keys
    body.former = (body.former if len(body.former) + len(left) <= FORMER_KEYS_MAX else set()) | left
    _forget(body)
    memory.next_epoch(body, former, body.journaled.get(body.epoch, Journaled()))
    _drop_batches(body, left)
    erase(body)
    body.persist(JournalKind.EPOCH, epoch_record(body))
    body.note("epoch_begins", epoch=ended + 1, height=closed.header.height, hash=closed.hash)
    take_part(body)
    _start(body)
    return True


def place(body: Body, epoch: int, validators: ValidatorSet, floor: bytes) -> None:
    """Put the machine of this epoch in the place of the former one; it is not started yet."""
    roster = roster_of(validators, body.nodes)
    body.roster = roster
    body.sets[roster.validators_hash] = validators
    body.machine = make_machine(
        body.parameters, Instance(body.network_id, epoch, roster.validators, floor), body.keys, body.now
    )
    floor_epoch, floor_view = body.vote_floor
    # A floor of a later epoch: this disk has lost what came after; nothing may be signed before that epoch.
    view = floor_view if floor_epoch == epoch else 0 if floor_epoch < epoch else limits.U53_MAX
    journaled = body.journaled.get(epoch, Journaled())
    proposals = _proposals(body.machine, journaled.proposals)
    body.machine.restore(journaled.votes, proposals, journaled.certificates, view)
    for at in [at for at in body.journaled if at < epoch]:
        del body.journaled[at]


def epoch_record(body: Body) -> bytes:
    """The present epoch and its validators, for the journal."""
    validators = body.sets[body.roster.validators_hash]
    nodes = [body.nodes[entry.voting_key] for entry in validators.validators]
    return encode(EpochBegun(body.epoch, validators, tuple(EpochNode(*node) for node in nodes)))


def _proposals(machine: Machine, messages: list[ProposalMessage]) -> list[tuple[Proposal, Vote]]:
    me = machine.core.me
    if me is None:
        return []
    found: list[tuple[Proposal, Vote]] = []
    for message in messages:
        proposal = message.proposal
        vote = Vote(int(VoteKind.NOTARIZE), proposal.epoch, proposal.view, proposal, me, message.signature)
        found.append((proposal, vote))
    return found


def _forget(body: Body) -> None:
    """What was asked for the former machine, and said to it."""
    body.inbox.clear()
    body.jobs = {number: job for number, job in body.jobs.items() if job[0] not in _OF_AN_INSTANCE}
    body.proposed.clear()
    body.target, body.judging, body.building, body.rejudge_ms = None, None, None, None
    body.turn_nullified, body.work_stale, body.lateness = False, True, Lateness()


def _drop_batches(body: Body, left: frozenset[bytes]) -> None:
    """L-11, L-18: batches under keys that have left cannot be referenced any more; keys never come back.

    One by nobody of the present epoch is of a later one: the journal brought it, since the disk was behind (L-24), and
    the final block that holds it may be nowhere else.
    """
    gone = [held for held in body.batches.held.values() if held.reference.author in left]
    for held in gone:
        body.batches.drop(held.reference.digest)
        body.batch_wants.settle(held.reference.digest)
        if held.reference.author in body.keys and held.state is State.READY:  # else nobody knows whose it is
            _give_back(body, held)
    if gone:
        body.note("batches_left", count=len(gone))


def _give_back(body: Body, held: Held) -> None:
    """What this node sealed waits in its pool again; what the pool does not know any more is judged anew."""
    body.pool.give_back(list(held.transactions))
    envelopes = decode(BatchBody, decode(Batch, held.data).body).envelopes
    pairs = zip(held.transactions, envelopes, strict=True)
    unknown = tuple(data for transaction, data in pairs if not body.pool.holds(transaction))
    if unknown:
        check_envelopes(body, unknown, None)


def erase(body: Body) -> None:
    """C-23: keys of ended epochs that the present set does not have."""
    for voting_key in [key for key in body.keys if key in body.former and key not in body.roster.keys]:
        del body.keys[voting_key]
        body.emit(EraseKey(voting_key))


def take_part(body: Body) -> None:
    """Tell whose nodes are validators': of the present epoch, and of the set that the state names next."""
    newest = body.sets.get(body.next_sets[-1][1])
    named = () if newest is None else newest.validators
    coming = {body.nodes[entry.voting_key].node_key for entry in named if entry.voting_key in body.nodes}
    body.emit(TakePart(body.epoch, frozenset(body.roster.node_keys) | coming))


def _start(body: Body) -> None:
    """The new machine enters its first view, meets the peers, and hears what they said already."""
    now_ms, machine = body.now.monotonic_ms, body.machine
    if body.held_back:
        ordering.carry(body, machine.hold_back(True, now_ms))
    ordering.carry(body, machine.start(now_ms))
    memory.entered(body)
    for peer, neighbour in body.neighbours.peers.items():
        neighbour.signer = body.roster.signer_of.get(peer)
        body.inbox.append(agree.PeerJoined(peer, neighbour.signer))
    body.housekeeping_ms = now_ms  # say at once how far we are
    journaled = body.journaled.pop(body.epoch, None)
    if journaled is not None:
        follow(body, journaled.certificates)


def follow(body: Body, certificates: list[Certificate]) -> None:
    """Go to what these finalizations say is final.

    Ascending, not the highest alone: where headers below the highest are missing, a lower one may still lead on.
    """
    finalizations = [certificate for certificate in certificates if certificate.kind == VoteKind.FINALIZE]
    for finalization in sorted(finalizations, key=lambda certificate: certificate.view):
        if body.closed is None:
            body.target = finalization
            ordering.advance(body)


# -- What the state says ----------------------------------------------------------------------------


def told(body: Body, height: int, governed: Governed) -> None:
    """The block of this height has changed who takes part."""
    named = validators_hash(governed.validators)
    body.sets[named] = governed.validators
    body.next_sets.append((height, named))
    _know(body, governed.nodes)
    _prune_sets(body)
    take_part(body)


def _know(body: Body, nodes: tuple[ValidatorNode, ...]) -> None:
    """Node keys may change within an epoch: who a channel belongs to follows the newest state."""
    body.nodes.update((node.voting_key, node) for node in nodes)
    body.roster = roster_of(body.sets[body.roster.validators_hash], body.nodes)
    for peer, neighbour in body.neighbours.peers.items():
        signer = body.roster.signer_of.get(peer)
        if signer != neighbour.signer:
            neighbour.signer = signer
            body.inbox.append(agree.PeerJoined(peer, signer))
    _keep_announcers(body)


def _keep_announcers(body: Body) -> None:
    """L-15 counts what validators' nodes have announced: of those that are none any more nothing is kept."""
    for held in body.batches.held.values():
        held.announced_by.intersection_update(body.roster.signer_of)


def _prune_sets(body: Body) -> None:
    """Keep what a header that may still come can name: from the final tip's *executed* on."""
    lowest = body.chain.final.executed.height
    while len(body.next_sets) > 1 and body.next_sets[1][0] <= lowest:
        body.next_sets.pop(0)
    kept = {named for _, named in body.next_sets} | {body.roster.validators_hash}
    if body.closed is not None:
        kept.add(body.closed.header.next_validators_hash)
    body.sets = {named: validators for named, validators in body.sets.items() if named in kept}
    keys = {entry.voting_key for validators in body.sets.values() for entry in validators.validators}
    body.nodes = {key: node for key, node in body.nodes.items() if key in keys}


# -- Peers in other epochs --------------------------------------------------------------------------


def epoch_of(message: Any) -> int | None:
    """The epoch whose machine a message is for; None if it is for none."""
    if isinstance(message, ProposalMessage):
        return message.proposal.epoch
    if isinstance(message, ChallengeMessage):
        return message.challenge.epoch
    if isinstance(message, RecollectionMessage):
        return message.recollection.epoch
    if isinstance(message, Vote | Certificate | CertificatesWanted):
        return message.epoch
    return None


def other_epoch(body: Body, epoch: int, data: bytes, peer: bytes) -> None:
    """A message of an ended or a later epoch (C-21)."""
    neighbour, now_ms = body.neighbours.peers[peer], body.now.monotonic_ms
    interval = body.parameters.retry_interval_ms
    if epoch < body.epoch:
        told_ms, closing = neighbour.closing_told_ms, body.closings.get(epoch)
        if closing is not None and (told_ms is None or now_ms - told_ms >= interval):
            neighbour.closing_told_ms = now_ms
            body.send((peer,), Priority.CONSENSUS, encode(closing))
        body.count("messages_of_ended_epochs")
        return
    asked_ms = neighbour.closing_asked_ms
    if asked_ms is None or now_ms - asked_ms >= interval:
        neighbour.closing_asked_ms = now_ms
        wanted = CertificatesWanted(body.epoch, (body.machine.core.view,))
        body.send((peer,), Priority.CONSENSUS, encode(wanted))
    kept = body.ahead.setdefault(peer, [])
    if epoch == body.epoch + 1 and len(kept) < AHEAD_MESSAGES_MAX and len(data) <= limits.HEADER_BYTES_MAX + 1024:
        kept.append(data)
