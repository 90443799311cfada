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
from protocol.ledger.genesis import Genesis, ValidatorSet, network_id
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
    epoch: int = 1


@dataclass(frozen=True, slots=True)
class Voters:
    """Who votes in an epoch: keys in the order of the set, powers, and the power of a quorum."""

    keys: tuple[bytes, ...]
    powers: tuple[int, ...]
    quorum: int


def voters_of(pairs: list[tuple[bytes, int]]) -> Voters:
    """Of (voting key, power) in the order of the set."""
    powers = tuple(power for _, power in pairs)
    return Voters(tuple(key for key, _ in pairs), powers, 2 * sum(powers) // 3 + 1)


class Facts:
    """Decodes what was said and stored, and establishes who signed what."""

    def __init__(self, genesis: Genesis, scheme: Scheme) -> None:
        self.genesis = genesis
        self.network_id = network_id(genesis)
        self.scheme = scheme
        self.voters = {1: voters_of([(v.voting_key, v.power) for v in genesis.validators])}
        """Epoch -> who votes in it, as far as its beginning was seen."""
        self.keys = self.voters[1].keys
        self._sets: dict[bytes, Voters] = {}
        """Hash of a set -> its voters, of every set that any state named."""
        self.established: dict[Signed, None] = {}
        self.nullified: dict[tuple[int, int], None] = {}
        """(epoch, view) for which a nullification was seen."""
        self._read: dict[bytes, tuple[list[Signed], Certificate | None]] = {}

    def read(self, data: bytes) -> tuple[list[Signed], Certificate | None]:
        """The facts in a message or record that were not known, and the finalization that it is, if a good one."""
        if data in self._read:
            return [], self._read[data][1]
        found = self._extract(data)
        if found is None:
            return [], None  # of an epoch whose beginning was not seen: looked at again when it comes again
        self._read[data] = found
        return found

    def state_names(self, data: bytes) -> None:
        """A state's next set, encoded: an array of kind, version, and the validators."""
        name = digest(Domain.VALIDATORS, data)
        if name not in self._sets:
            pairs = [(entry.voting_key, entry.power) for entry in decode(ValidatorSet, data).validators]
            self._sets[name] = voters_of(pairs)

    def epoch_ends(self, epoch: int, next_validators_hash: bytes) -> bool:
        """A final header names another next set; whether that is one that a state named."""
        voters = self._sets.get(next_validators_hash)
        if voters is not None:
            self.voters[epoch + 1] = voters
        return voters is not None

    def _extract(self, data: bytes) -> tuple[list[Signed], Certificate | None] | None:
        head = data[:2]
        try:
            if head == VOTE_HEAD:
                vote = decode(Vote, data)
                if vote.epoch not in self.voters:
                    return None
                pairs = [(vote.signer, vote.signature)]
                return self._signed(vote.epoch, VoteKind(vote.kind), vote.view, vote.proposal, pairs), None
            if head == CERTIFICATE_HEAD:
                certificate = decode(Certificate, data)
                return self._certificate(certificate) if certificate.epoch in self.voters else None
            if head == PROPOSAL_HEAD:
                message = decode(ProposalMessage, data)
                proposal = message.proposal
                if proposal.epoch not in self.voters:
                    return None
                anyone = [(index, message.signature) for index in range(len(self.voters[proposal.epoch].keys))]
                return self._signed(proposal.epoch, VoteKind.NOTARIZE, proposal.view, proposal, anyone), None
        except Malformed:
            return [], None
        return [], None

    def _signed(
        self, epoch: int, kind: VoteKind, view: int, proposal: Proposal | None, pairs: list[tuple[int, bytes]]
    ) -> list[Signed]:
        if (proposal is None) != (kind is VoteKind.NULLIFY):
            return []
        if proposal is not None and (proposal.view, proposal.epoch) != (view, epoch):
            return []
        keys = self.voters[epoch].keys
        message = b""
        new: list[Signed] = []
        for signer, signature in pairs:
            fact = Signed(signer, kind, view, proposal, epoch)
            if signer >= len(keys) or fact in self.established:
                continue
            message = message or self.message(epoch, kind, view, proposal)
            if self.scheme.verify(keys[signer], message, signature):
                self.established[fact] = None
                new.append(fact)
        return new

    def message(self, epoch: int, kind: VoteKind, view: int, proposal: Proposal | None) -> bytes:
        """The bytes that are signed for a statement."""
        return CONTEXTS[kind].value + self.network_id + statement_bytes(kind, epoch, view, proposal)

    def _certificate(self, certificate: Certificate) -> tuple[list[Signed], Certificate | None]:
        epoch, view, proposal = certificate.epoch, certificate.view, certificate.proposal
        voters = self.voters[epoch]
        bits = int.from_bytes(certificate.signers, "little")
        signers = [index for index in range(len(voters.keys)) if bits >> index & 1]
        kind = VoteKind(certificate.kind)
        pairs = list(zip(signers, certificate.signatures, strict=False))
        new = self._signed(epoch, kind, view, proposal, pairs)
        power = sum(
            voters.powers[index] for index in signers if Signed(index, kind, view, proposal, epoch) in self.established
        )
        if power < voters.quorum:
            return new, None
        if kind is VoteKind.NULLIFY:
            self.nullified[epoch, view] = None
        return new, certificate if kind is VoteKind.FINALIZE else None


VOTE_HEAD = bytes([0x98, 22])
CERTIFICATE_HEAD = bytes([0x98, 23])
PROPOSAL_HEAD = bytes([0x95, 40])
BATCH_HEAD = bytes([0x94, 5])
ANNOUNCEMENT_HEAD = bytes([0x93, 45])
KEEPALIVE_HEAD = bytes([0x99, 46])
BLOCKS_WANTED_HEAD = bytes([0x94, 47])
BLOCK_PART_HEAD = bytes([0x98, 48])
BATCHES_WANTED_HEAD = bytes([0x93, 42])


@dataclass(slots=True)
class Chain:
    """The one chain that all honest nodes are final on, as first seen."""

    finalized: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """(epoch, view) -> payload, of every good finalization that was seen anywhere."""
    headers: list[bytes] = field(default_factory=list)
    """Hash of the header at height h is at h - 1."""
    batches: list[tuple[bytes, ...]] = field(default_factory=list)
    heights: dict[bytes, int] = field(default_factory=dict)
    transactions: dict[bytes, int] = field(default_factory=dict)
    """Transaction -> the height that it is in; the lowest, where an envelope was sealed twice."""
    time_ms: int = 0
    """Of the newest block."""
    times_ms: list[int] = field(default_factory=list)
    """Of the block at height h at h - 1."""
    executed: list[Executed] = field(default_factory=list)
    epoch: int = 1
    """Of the block that comes next."""
    validators_hash: bytes = b""
    """Of that epoch's set; empty before the first block."""

    def unplaced(self) -> list[tuple[int, int]]:
        """(epoch, view) of each finalization whose block is in nobody's segments: soon to come, or of another chain."""
        return [view for view in sorted(self.finalized) if self.finalized[view] not in self.heights]


def transactions_of(bodies: list[bytes]) -> list[bytes]:
    """The transactions in encoded batch bodies, in order."""
    found: list[bytes] = []
    for body in bodies:
        envelopes = decode(BatchBody, body).envelopes
        found += [digest(Domain.TRANSACTION, decode(Envelope, envelope).body) for envelope in envelopes]
    return found
