"""Recovery: a node's memory from what its disk holds (L-24).

First the final tip from the segments, then the journal's records above it: own votes and proposals,
certificates, headers, batches, the vote floor. Consensus then works out its view from them when it starts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from protocol.codec import decode
from protocol.consensus.statements import Certificate, Vote, VoteKind
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.dissemination import Held, State
from protocol.errors import BrokenInvariant
from protocol.ledger.closings import closes
from protocol.ledger.genesis import FIRST_EPOCH, validators_hash
from protocol.ledger.members import ValidatorNode
from protocol.ledger.records import (
    Batch,
    BatchBody,
    Block,
    Envelope,
    Header,
    Reference,
    batch_digest,
    header_hash,
    transaction_id,
)
from protocol.node import memory
from protocol.node.body import Body, Journaled
from protocol.node.epochs import place
from protocol.node.interface import JournalKind
from protocol.node.records import EpochBegun, VoteFloor
from protocol.node.setup import Recovered
from protocol.wire.messages import ProposalMessage


def recover(body: Body, recovered: Recovered) -> list[Certificate]:  # noqa: C901 - one branch for each kind of record
    """Rebuild what the disk holds: the final tip and its epoch, then the journal's records above it.

    Returns the certificates of that epoch. Records of later ones wait until these begin, those of ended ones are moot.
    """
    tip = _recover_blocks(body, recovered)
    for result in recovered.executed:
        words = body.chain.executed(result)
        if words is not None:
            raise BrokenInvariant(words)
    body.executed_before_start = body.chain.executed_height
    claims = body.chain.claims
    body.chain.claims = {height: claim for height, claim in claims.items() if height > body.executed_before_start}
    forgotten, restored = recovered.amnesiac, None
    for record in recovered.journal:
        if record.kind == JournalKind.EPOCH:
            begun = decode(EpochBegun, record.data)
            body.sets[validators_hash(begun.validators)] = begun.validators
            for node in begun.nodes:
                body.nodes.setdefault(node.voting_key, ValidatorNode(node.voting_key, node.member, node.node_key))
        elif record.kind == JournalKind.VOTE:
            vote = decode(Vote, record.data)
            _of(body, vote.epoch).votes.append(vote)
        elif record.kind == JournalKind.PROPOSAL:
            message = decode(ProposalMessage, record.data)
            _recover_header(body, message.header)
            _of(body, message.proposal.epoch).proposals.append(message)
        elif record.kind == JournalKind.CERTIFICATE:
            certificate = decode(Certificate, record.data)
            _of(body, certificate.epoch).certificates.append(certificate)
        elif record.kind == JournalKind.HEADER:
            _recover_header(body, record.data)
        elif record.kind == JournalKind.BATCH:
            _recover_batch(body, record.data)
        elif record.kind == JournalKind.VOTE_FLOOR:
            floor = decode(VoteFloor, record.data)
            body.vote_floor = max(body.vote_floor, (floor.epoch, floor.view))
        elif record.kind == JournalKind.RESTORED:
            restored = decode(VoteFloor, record.data)
            body.vote_floor = max(body.vote_floor, (restored.epoch, restored.view))
        elif record.kind == JournalKind.FORGOTTEN:
            forgotten, restored = True, None
        else:
            raise BrokenInvariant(f"a journal record of unknown kind {record.kind}")
    _recover_epoch(body, recovered, tip)
    journaled = body.journaled.pop(body.epoch, Journaled())
    memory.recall_disk(body, amnesiac=forgotten, forced=recovered.forced, restored=restored, remembered=journaled)
    return journaled.certificates


def journal_reaches(journal: Iterable[tuple[int, bytes]], hashes: Collection[bytes], newest: bytes) -> bool:
    """Whether a journal still holds what it was given last, as far as the newest executed block tells.

    A block is executed only after its header is durable in the journal, and the journal leaves it out only when it is
    in synced segments, and then begins with a finalization of that block or a later one. So where the segments end
    below the newest executed block, a journal that names neither it nor a later one has lost its end, however whole
    what is left of it looks (L-24).

    hashes: of the executed blocks, the newest included.
    """
    for kind, data in journal:
        if kind == JournalKind.HEADER and digest(Domain.HEADER, data) == newest:
            return True
        if kind == JournalKind.PROPOSAL and decode(ProposalMessage, data).proposal.payload == newest:
            return True
        if kind == JournalKind.CERTIFICATE:
            certificate = decode(Certificate, data)
            proposal = certificate.proposal
            if certificate.kind == VoteKind.FINALIZE and proposal is not None:
                payload = proposal.payload
                if payload == newest or payload not in hashes:
                    return True
    return False


def _of(body: Body, epoch: int) -> Journaled:
    return body.journaled.setdefault(epoch, Journaled())


def _recover_blocks(body: Body, recovered: Recovered) -> Header | None:
    """The final tip from the segments, and the finalizations found there."""
    header = None
    for data_ in recovered.blocks:
        block = decode(Block, data_)
        header = decode(Header, block.header)
        body.chain.set_final(header, header_hash(header))
        if block.finalization is not None:
            _of(body, header.epoch).certificates.append(decode(Certificate, block.finalization))
            body.covering = (header.height, header.executed.height)
    return header


def _recover_epoch(body: Body, recovered: Recovered, tip: Header | None) -> None:
    """In which epoch this node is, by its final tip, and what the state says of the next sets."""
    first = body.sets[body.roster.validators_hash]
    epoch = FIRST_EPOCH if tip is None else tip.epoch + int(closes(tip))
    body.nodes.update((node.voting_key, node) for node in recovered.nodes)
    if recovered.sets:
        body.next_sets = [(height, validators_hash(validators)) for height, validators in recovered.sets]
        body.sets |= {validators_hash(validators): validators for _, validators in recovered.sets}
    for closing in recovered.closings:
        body.sets[validators_hash(closing.validators)] = closing.validators
    for data in recovered.closing_finalizations:
        certificate = decode(Certificate, data)
        if certificate.epoch < epoch:
            body.closings[certificate.epoch] = certificate
    present, floor = first, body.network_id
    if epoch > FIRST_EPOCH:
        ended = next((closing for closing in recovered.closings if closing.epoch == epoch - 1), None)
        if ended is None:
            raise BrokenInvariant(f"epoch {epoch - 1} is closed in the segments, and its closing block is not known")
        present, floor = ended.validators, ended.hash
    earlier = [first, *(closing.validators for closing in recovered.closings if closing.epoch < epoch - 1)]
    place(body, epoch, present, floor)
    former = {entry.voting_key for validators in earlier for entry in validators.validators}
    body.former = former - body.roster.keys if epoch > FIRST_EPOCH else set()


def _recover_header(body: Body, data: bytes) -> None:
    hashed = body.chain.learn(decode(Header, data), body.now.monotonic_ms)  # no bound: the journal has one
    if hashed in body.chain.known:
        body.chain.known[hashed].journaled = True


def _recover_batch(body: Body, data_: bytes) -> None:
    batch = decode(Batch, data_)
    content = decode(BatchBody, batch.body)
    name = batch_digest(batch.body)
    if name in body.chain.used or name in body.batches.held:
        return
    reference = Reference(content.author, name, len(data_), len(content.envelopes))
    # Not in the pool any more: whoever asks for one of these is told that it is pending (L-9).
    transactions = tuple([transaction_id(decode(Envelope, envelope).body) for envelope in content.envelopes])
    held = Held(reference, data_, content.expiry_height, State.READY, body.now.monotonic_ms, transactions)
    body.batches.add(held)
    for transaction in transactions:
        body.batches.sealed_elsewhere.setdefault(transaction, body.now.monotonic_ms)
