"""Recovery: a node's memory from what its disk holds (L-24).

First the final tip from the segments, then the journal's records above it: own votes and proposals,
certificates, headers, batches, the vote floor. Consensus then works out its view from them when it starts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from protocol.codec import decode
from protocol.consensus.statements import Certificate, Proposal, Vote, VoteKind
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.dissemination import Held, State
from protocol.errors import BrokenInvariant
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
from protocol.node.body import Body
from protocol.node.interface import JournalKind
from protocol.node.records import VoteFloor
from protocol.node.setup import Recovered
from protocol.wire.messages import ProposalMessage


def recover(body: Body, recovered: Recovered) -> list[Certificate]:
    """Rebuild what the disk holds: the final tip, then the journal's records above it.

    Returns the finalizations to advance to, lowest view first.
    """
    certificates = _recover_blocks(body, recovered)
    for result in recovered.executed:
        words = body.chain.executed(result)
        if words is not None:
            raise BrokenInvariant(words)
    body.executed_before_start = body.chain.executed_height
    claims = body.chain.claims
    body.chain.claims = {height: claim for height, claim in claims.items() if height > body.executed_before_start}
    votes: list[Vote] = []
    proposals: list[tuple[Proposal, Vote]] = []
    floor = 0
    forgotten, restored = recovered.amnesiac, None
    for record in recovered.journal:
        if record.kind == JournalKind.VOTE:
            votes.append(decode(Vote, record.data))
        elif record.kind == JournalKind.PROPOSAL:
            proposals.append(_recover_proposal(body, decode(ProposalMessage, record.data)))
        elif record.kind == JournalKind.CERTIFICATE:
            certificates.append(decode(Certificate, record.data))
        elif record.kind == JournalKind.HEADER:
            _recover_header(body, record.data)
        elif record.kind == JournalKind.BATCH:
            _recover_batch(body, record.data)
        elif record.kind == JournalKind.VOTE_FLOOR:
            floor = max(floor, decode(VoteFloor, record.data).view)
        elif record.kind == JournalKind.RESTORED:
            restored = decode(VoteFloor, record.data)
            floor = max(floor, restored.view)
        elif record.kind == JournalKind.FORGOTTEN:
            forgotten, restored = True, None
        else:
            raise BrokenInvariant(f"a journal record of unknown kind {record.kind}")
    body.machine.restore(votes, proposals, certificates, floor)
    memory.recall_disk(
        body,
        amnesiac=forgotten,
        forced=recovered.forced,
        restored=restored,
        votes=[*votes, *(vote for _, vote in proposals)],
        held=certificates,
    )
    # Ascending, not the highest alone: where headers below the highest are missing, a lower one may still lead on.
    finalizations = [c for c in certificates if c.kind == VoteKind.FINALIZE]
    return sorted(finalizations, key=lambda certificate: certificate.view)


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


def _recover_blocks(body: Body, recovered: Recovered) -> list[Certificate]:
    """The final tip from the segments; returns the finalizations found there."""
    certificates: list[Certificate] = []
    for data_ in recovered.blocks:
        block = decode(Block, data_)
        header = decode(Header, block.header)
        body.chain.set_final(header, header_hash(header))
        if block.finalization is not None:
            certificates.append(decode(Certificate, block.finalization))
            body.covering = (header.height, header.executed.height)
    return certificates


def _recover_header(body: Body, data: bytes) -> None:
    hashed = body.chain.learn(decode(Header, data), body.now.monotonic_ms)  # no bound: the journal has one
    if hashed in body.chain.known:
        body.chain.known[hashed].journaled = True


def _recover_proposal(body: Body, message: ProposalMessage) -> tuple[Proposal, Vote]:
    _recover_header(body, message.header)
    proposal = message.proposal
    me = body.machine.core.me
    assert me is not None, "only a validator's journal holds proposals"
    return proposal, Vote(int(VoteKind.NOTARIZE), proposal.epoch, proposal.view, proposal, me, message.signature)


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
