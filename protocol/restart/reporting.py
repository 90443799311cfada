"""A stopped validator's report, made of what its disk holds (decision 0014).

Whoever calls this has made durable, before, that the validator never signs again in this network: a report says what
was signed *and* that nothing follows. Only what bears on finality goes in: nullifies and nullifications do not.

The disk may hold more than its segments: a block that was finalized and not yet appended (its header and certificate
are in the journal), even a whole epoch that began after the segments' end. What the journal proves counts as well as
what the segments hold.

**Memory.** A vote floor (L-24) means that what was signed at and below it is not in the journal. After an ordinary
truncation it stands at a final view, and nothing is lost by it; after a loss (C-24) it stands higher, and this
validator does not know what it signed between. The report states the floor; `weighing` decides whether it matters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from protocol import limits
from protocol.codec import decode, encode
from protocol.consensus.statements import Certificate, Vote, VoteKind
from protocol.crypto.contexts import Context
from protocol.crypto.signing import SigningKey
from protocol.ledger.closings import closes
from protocol.ledger.genesis import Genesis, ValidatorSet, network_id, validator_set, validators_hash
from protocol.ledger.records import Batch, Block, Header, batch_digest, header_hash
from protocol.node.interface import JournalKind, JournalRecord
from protocol.node.records import EpochBegun, VoteFloor
from protocol.proofs.records import ClosedEpoch
from protocol.restart.records import FinalHeader, Holdings, Point, RestartReport, SignedReport
from protocol.wire.messages import ProposalMessage

T = TypeVar("T")

SEALED: Final = VoteFloor(limits.U53_MAX, limits.U53_MAX)
"""The vote floor of a validator that has reported: it never signs again, whatever program runs on its journal
(L-24)."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a stopped node's disk holds.

    closed: ended epochs, from the first on, as far as its state knows them. blocks: the newest of the segments (batches
    may be left out), ascending, down to the newest with a finalization of its own. sets: that its state has named.
    remembers: whether its journal was found whole (C-24). journal: of one that lost anything, without what an earlier
    loss and return left, as whoever begins it anew leaves that out: `RESTORED` ends only a loss before it.
    """

    closed: tuple[ClosedEpoch, ...]
    blocks: tuple[bytes, ...]
    journal: tuple[JournalRecord, ...]
    sets: tuple[ValidatorSet, ...]
    remembers: bool


@dataclass(slots=True)
class _Found:
    """The journal and the newest blocks, opened."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    """Hash -> header, encoded."""
    certificates: list[Certificate] = field(default_factory=list)
    votes: list[Vote] = field(default_factory=list)
    proposals: list[ProposalMessage] = field(default_factory=list)
    batches: dict[bytes, bytes | None] = field(default_factory=dict)
    """Digest -> the batch, None where only the segments have it."""
    sets: dict[bytes, ValidatorSet] = field(default_factory=dict)
    floor: tuple[int, int] = (0, 0)
    forgotten: bool = False


def is_sealed(journal: Iterable[tuple[int, bytes]]) -> bool:
    """Whether this journal's validator has reported for a restart, and so never signs again."""
    sealed = encode(SEALED)
    return any(kind == JournalKind.VOTE_FLOOR and data == sealed for kind, data in journal)


def make_report(genesis: Genesis, key: SigningKey, held: Held, stopped_ms: int) -> bytes:
    """The encoded `SignedReport` of the validator with this voting key. The journal is sealed, or will never be
    used."""
    found = _open(held)
    closed, present = _follow_epochs(genesis, held.closed, found)
    epoch = len(closed) + 1
    final = _newest_final(held.blocks, epoch)
    base = final.header if final is not None else closed[-1].header if closed else None
    base_height = 0 if base is None else decode(Header, base).height
    base_view = 0 if final is None else final.finalization.view
    headers = {hashed: data for hashed, data in found.headers.items() if decode(Header, data).height > base_height}
    certificates = [c for c in found.certificates if c.epoch == epoch and c.view > base_view]
    if any(vote.epoch > epoch for vote in found.votes) or any(m.proposal.epoch > epoch for m in found.proposals):
        found.forgotten = True  # the state is too far behind to say who votes in that epoch: this report cannot count
    report = RestartReport(
        network_id(genesis),
        key.public,
        stopped_ms,
        None if found.forgotten else Point(*found.floor),
        tuple(closed),
        final,
        _coming(found, None if final is None else final.header, headers),
        tuple(_distinct(certificates)),
        tuple(_distinct(_own_votes(found, key, present, epoch, base_view))),
        tuple(headers.values()),
        tuple(found.batches),
    )
    data = encode(report)
    return encode(SignedReport(data, key.sign(Context.REPORT, report.network_id, data)))


def newest_set(genesis: Genesis, held: Held) -> ValidatorSet:
    """Who votes in the newest epoch that this disk knows."""
    return _follow_epochs(genesis, held.closed, _open(held))[1]


def holdings(held: Held) -> Holdings:
    """What may complete others' disks: the journal's headers and batches, and the newest blocks' own."""
    found = _open(held)
    whole = [batch for data in held.blocks for batch in decode(Block, data).batches]
    batches = [*whole, *(data for data in found.batches.values() if data is not None)]
    return Holdings(tuple(found.headers.values()), tuple(dict.fromkeys(batches)))


def _open(held: Held) -> _Found:
    found = _Found(forgotten=not held.remembers)
    for data in held.blocks:
        block = decode(Block, data)
        header = decode(Header, block.header)
        found.headers[header_hash(header)] = block.header
        found.batches.update((reference.digest, None) for reference in header.references)
        if block.finalization is not None:
            found.certificates.append(decode(Certificate, block.finalization))
    found.sets |= {validators_hash(validators): validators for validators in held.sets}
    for record in held.journal:
        _open_record(record, found)
    return found


def _open_record(record: JournalRecord, found: _Found) -> None:
    kind, data = record
    if kind == JournalKind.VOTE:
        found.votes.append(decode(Vote, data))
    elif kind == JournalKind.PROPOSAL:
        message = decode(ProposalMessage, data)
        found.proposals.append(message)
        found.headers[header_hash(decode(Header, message.header))] = message.header
    elif kind == JournalKind.CERTIFICATE:
        certificate = decode(Certificate, data)
        if certificate.kind != VoteKind.NULLIFY:
            found.certificates.append(certificate)
    elif kind == JournalKind.HEADER:
        found.headers[header_hash(decode(Header, data))] = data
    elif kind == JournalKind.BATCH:
        found.batches[batch_digest(decode(Batch, data).body)] = data
    elif kind == JournalKind.EPOCH:
        begun = decode(EpochBegun, data)
        found.sets[validators_hash(begun.validators)] = begun.validators
    elif kind in (JournalKind.VOTE_FLOOR, JournalKind.RESTORED):
        floor = decode(VoteFloor, data)
        if floor != SEALED:
            found.floor = max(found.floor, (floor.epoch, floor.view))
        if kind == JournalKind.RESTORED:
            found.forgotten = False
    elif kind == JournalKind.FORGOTTEN:
        found.forgotten = True


def _follow_epochs(
    genesis: Genesis, known: tuple[ClosedEpoch, ...], found: _Found
) -> tuple[list[ClosedEpoch], ValidatorSet]:
    """Ended epochs: those that the state knows, and those whose end only the journal or the newest blocks show."""
    closed = list(known)
    while True:
        epoch = len(closed) + 1
        ending = next(
            (
                (found.headers[c.proposal.payload], c)
                for c in found.certificates
                if c.kind == VoteKind.FINALIZE
                and c.epoch == epoch
                and c.proposal is not None
                and c.proposal.payload in found.headers
                and closes(decode(Header, found.headers[c.proposal.payload]))
            ),
            None,
        )
        named = None if ending is None else found.sets.get(decode(Header, ending[0]).next_validators_hash)
        if ending is None or named is None:
            return closed, closed[-1].validators if closed else validator_set(genesis)
        closed.append(ClosedEpoch(ending[0], ending[1], named))


def _newest_final(blocks: tuple[bytes, ...], epoch: int) -> FinalHeader | None:
    """The newest appended block of this epoch with a finalization of its own."""
    for data in reversed(blocks):
        block = decode(Block, data)
        if block.finalization is not None and decode(Header, block.header).epoch == epoch:
            return FinalHeader(block.header, decode(Certificate, block.finalization))
    return None


def _coming(found: _Found, final: bytes | None, headers: dict[bytes, bytes]) -> tuple[ValidatorSet, ...]:
    """The sets that closing headers from the base on name, as far as they are known here."""
    above = [decode(Header, data) for data in (*headers.values(), *([] if final is None else [final]))]
    named = {header.next_validators_hash for header in above if closes(header)} & found.sets.keys()
    return tuple(found.sets[name] for name in sorted(named))


def _own_votes(found: _Found, key: SigningKey, present: ValidatorSet, epoch: int, base_view: int) -> list[Vote]:
    """Own notarizes and finalizes above the base; a proposal that was made here is a notarize too."""
    votes = [vote for vote in found.votes if vote.kind != VoteKind.NULLIFY]
    place = next((at for at, entry in enumerate(present.validators) if entry.voting_key == key.public), None)
    if place is not None:
        votes += [
            Vote(int(VoteKind.NOTARIZE), m.proposal.epoch, m.proposal.view, m.proposal, place, m.signature)
            for m in found.proposals
        ]
    return [vote for vote in votes if vote.epoch == epoch and vote.view > base_view and vote.signer == place]


def _distinct(records: Iterable[T]) -> list[T]:
    """In order of their bytes, each once."""
    return [record for _, record in sorted({encode(record): record for record in records}.items())]
