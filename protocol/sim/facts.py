"""Facts: what was said and stored, decoded once, and who signed what.

Independent of the code that is checked: bytes are decoded by the record classes and nothing else; quorums, signers,
hashes of headers and names of transactions are computed here again. A statement counts as signed when its signature
verifies, whoever said it: in a vote, a proposal, or a certificate.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.codec import decode
from protocol.consensus.statements import CONTEXTS, Certificate, Proposal, Vote, VoteKind, statement_bytes
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.errors import Malformed
from protocol.ledger.genesis import Genesis, network_id
from protocol.ledger.records import BatchBody, Envelope, Executed
from protocol.sim.signatures import Scheme
from protocol.wire.messages import ProposalMessage


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that did not hold: which, where, when, and what was seen."""

    rule: str
    words: str
    host: int | None
    at_us: int


@dataclass(frozen=True, slots=True)
class Signed:
    """A fact: this validator signed this statement."""

    signer: int
    kind: VoteKind
    view: int
    proposal: Proposal | None


class Facts:
    """Decodes what was said and stored, and establishes who signed what."""

    def __init__(self, genesis: Genesis, scheme: Scheme) -> None:
        self.genesis = genesis
        self.network_id = network_id(genesis)
        self.scheme = scheme
        self.keys = tuple(v.voting_key for v in genesis.validators)
        self.powers = tuple(v.power for v in genesis.validators)
        self.quorum = 2 * sum(self.powers) // 3 + 1
        self.established: dict[Signed, None] = {}
        self.nullified: dict[int, None] = {}
        """Views for which a nullification was seen."""
        self._read: dict[bytes, tuple[list[Signed], Certificate | None]] = {}

    def read(self, data: bytes) -> tuple[list[Signed], Certificate | None]:
        """The facts in a message or record that were not known, and the finalization that it is, if a good one."""
        if data in self._read:
            return [], self._read[data][1]
        found = self._extract(data)
        self._read[data] = found
        return found

    def _extract(self, data: bytes) -> tuple[list[Signed], Certificate | None]:
        head = data[:2]
        try:
            if head == VOTE_HEAD:
                vote = decode(Vote, data)
                return self._signed(
                    VoteKind(vote.kind), vote.view, vote.proposal, [(vote.signer, vote.signature)]
                ), None
            if head == CERTIFICATE_HEAD:
                return self._certificate(decode(Certificate, data))
            if head == PROPOSAL_HEAD:
                message = decode(ProposalMessage, data)
                anyone = [(index, message.signature) for index in range(len(self.keys))]
                return self._signed(VoteKind.NOTARIZE, message.proposal.view, message.proposal, anyone), None
        except Malformed:
            return [], None
        return [], None

    def _signed(
        self, kind: VoteKind, view: int, proposal: Proposal | None, pairs: list[tuple[int, bytes]]
    ) -> list[Signed]:
        if (proposal is None) != (kind is VoteKind.NULLIFY) or (proposal is not None and proposal.view != view):
            return []
        message = b""
        new: list[Signed] = []
        for signer, signature in pairs:
            fact = Signed(signer, kind, view, proposal)
            if signer >= len(self.keys) or fact in self.established:
                continue
            message = message or self._message(kind, view, proposal)
            if self.scheme.verify(self.keys[signer], message, signature):
                self.established[fact] = None
                new.append(fact)
        return new

    def _message(self, kind: VoteKind, view: int, proposal: Proposal | None) -> bytes:
        epoch = 1 if proposal is None else proposal.epoch
        return CONTEXTS[kind].value + self.network_id + statement_bytes(kind, epoch, view, proposal)

    def _certificate(self, certificate: Certificate) -> tuple[list[Signed], Certificate | None]:
        bits = int.from_bytes(certificate.signers, "little")
        signers = [index for index in range(len(self.keys)) if bits >> index & 1]
        kind = VoteKind(certificate.kind)
        pairs = list(zip(signers, certificate.signatures, strict=False))
        new = self._signed(kind, certificate.view, certificate.proposal, pairs)
        power = sum(
            self.powers[index]
            for index in signers
            if Signed(index, kind, certificate.view, certificate.proposal) in self.established
        )
        if power < self.quorum:
            return new, None
        if kind is VoteKind.NULLIFY:
            self.nullified[certificate.view] = None
        return new, certificate if kind is VoteKind.FINALIZE else None


VOTE_HEAD = bytes([0x98, 22])
CERTIFICATE_HEAD = bytes([0x98, 23])
PROPOSAL_HEAD = bytes([0x95, 40])
BATCH_HEAD = bytes([0x94, 5])
ANNOUNCEMENT_HEAD = bytes([0x93, 45])
KEEPALIVE_HEAD = bytes([0x98, 46])
BLOCKS_WANTED_HEAD = bytes([0x94, 47])
BLOCK_PART_HEAD = bytes([0x98, 48])
BATCHES_WANTED_HEAD = bytes([0x93, 42])


@dataclass(slots=True)
class Chain:
    """The one chain that all honest nodes are final on, as first seen."""

    finalized: dict[int, bytes] = field(default_factory=dict)
    """View -> payload, of every good finalization that was seen anywhere."""
    headers: list[bytes] = field(default_factory=list)
    """Hash of the header at height h is at h - 1."""
    batches: list[tuple[bytes, ...]] = field(default_factory=list)
    heights: dict[bytes, int] = field(default_factory=dict)
    transactions: dict[bytes, int] = field(default_factory=dict)
    """Transaction -> the height that it is in; the lowest, where an envelope was sealed twice."""
    time_ms: int = 0
    """Of the newest block."""
    executed: list[Executed] = field(default_factory=list)

    def unplaced(self) -> list[int]:
        """Views that were finalized and whose block nobody has in its segments: soon to come, or of another chain."""
        return [view for view in sorted(self.finalized) if self.finalized[view] not in self.heights]


def transactions_of(bodies: list[bytes]) -> list[bytes]:
    """The transactions in encoded batch bodies, in order."""
    found: list[bytes] = []
    for body in bodies:
        envelopes = decode(BatchBody, body).envelopes
        found += [digest(Domain.TRANSACTION, decode(Envelope, envelope).body) for envelope in envelopes]
    return found
