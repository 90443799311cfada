"""A world whose headers are finalized, for tests of proofs."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.codec import encode
from protocol.consensus.statements import CONTEXTS, Certificate, Proposal, VoteKind, statement_bytes
from protocol.crypto.signing import SigningKey
from protocol.ledger.genesis import Genesis, ValidatorPower, ValidatorSet
from protocol.ledger.records import Header, header_hash
from protocol.proofs.build import envelope_at, finality_of, receipt_proof
from protocol.proofs.records import ClosedEpoch
from tests.ledger.world import World, key, make_genesis


def voters(count: int = 4, first: int = 300) -> list[SigningKey]:
    """The voting keys of `make_genesis(count)`, ascending by their public halves."""
    return sorted((key(first + i) for i in range(count)), key=lambda k: k.public)


def certificate(
    network_id: bytes,
    payload: bytes,
    signers: Sequence[int] = (0, 1, 2),
    *,
    kind: VoteKind = VoteKind.FINALIZE,
    epoch: int = 1,
    view: int = 9,
    keys: Sequence[SigningKey] | None = None,
) -> Certificate:
    """A certificate by these places of the set, ascending."""
    keys = voters() if keys is None else keys
    proposal = None if kind == VoteKind.NULLIFY else Proposal(epoch, view, view - 1, payload)
    statement = statement_bytes(kind, epoch, view, proposal)
    bitmap = sum(1 << index for index in signers).to_bytes((len(keys) + 7) // 8, "little")
    signatures = tuple(keys[index].sign(CONTEXTS[kind], network_id, statement) for index in signers)
    return Certificate(int(kind), epoch, view, proposal, bitmap, signatures)


def set_of(keys: Sequence[SigningKey]) -> ValidatorSet:
    """A set of power 1 each."""
    return ValidatorSet(tuple(ValidatorPower(k.public, 1) for k in keys))


class ProvenWorld(World):
    """A world with two envelopes at height 1 (one applied, one refused), and three headers above."""

    def __init__(self, genesis: Genesis | None = None) -> None:
        super().__init__(genesis or make_genesis())
        bad = self.put(2, "forbidden", signers=[key(1), key(2)])
        self.run(self.put(1), bad, *(self.put(10 + i, f"n{i}") for i in range(5)))
        self.run(self.put(3, "b"))
        self.run()
        self.covering: Header = self.header()

    def finalization(self, header: Header | None = None) -> Certificate:
        """By three of four."""
        return certificate(self.network_id, header_hash(header or self.covering))

    def proof(
        self,
        log_index: int = 0,
        *,
        closed: Sequence[ClosedEpoch] = (),
        header: Header | None = None,
        finalization: Certificate | None = None,
        height: int = 1,
    ) -> bytes:
        """The encoded proof of a receipt of `height`; `log_index` is the position too, nothing being skipped."""
        chosen = header or self.covering
        finality = finality_of(chosen, finalization or self.finalization(chosen), closed)
        envelope = envelope_at(self.blocks[height - 1][1], log_index)
        return receipt_proof(self.genesis, self.tables, log_index, envelope, finality)

    @property
    def genesis_bytes(self) -> bytes:
        """As a verifier holds it."""
        return encode(self.genesis)
