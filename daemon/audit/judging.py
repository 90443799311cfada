"""One block judged by what can be known without executing it: form, place, validity, signatures, certificate.

Everything that L-18 asks of a block is asked again, by the very rule (`judge_header`) that validators voted by; what
has two values is compared here first, so that a difference names both. What depended on a moment (the clock, what had
arrived) is past, and the leader of the view is known only where a certificate names the view.

Memory: the digests of batches of the last `batch_ttl_max` heights, in which a batch may be referenced again, and the
heights above the last *executed* that hold references.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from daemon.audit.voters import Voters
from protocol.apps.registry import rules_at
from protocol.codec import decode
from protocol.consensus.statements import Certificate
from protocol.crypto.signing import verify_message
from protocol.errors import PROOF_BAD_SIGNATURE, PROOF_NO_QUORUM, PROOF_WRONG_STATEMENT, Malformed, Refused
from protocol.ledger.batch import ParsedBatch, batch_signature_items, parse_batch
from protocol.ledger.blocks import Parent, Standing, Surroundings, judge_header, parent_of
from protocol.ledger.closings import closes
from protocol.ledger.genesis import Genesis, network_id, validators_hash
from protocol.ledger.genesis_state import genesis_state
from protocol.ledger.records import Block, Executed, Header, Reference, header_hash
from protocol.ledger.succession import Succession
from protocol.proofs.finality import ProofRefused, check_certificate


@dataclass(frozen=True, slots=True)
class Fault:
    """A difference within one block: record, field, both values, words."""

    record: str
    field: str
    expected: str
    found: str
    words: str


@dataclass(slots=True)
class Judged:
    """A block as it was read. certified: by a good certificate of its own. faults: what is wrong; empty if nothing."""

    header: Header
    hash: bytes
    block: Block
    certified: bool = False
    signatures: int = 0
    faults: list[Fault] = field(default_factory=list)


class Judge:
    """Judges block after block, ascending. executed_at: what was computed at a height, None if it was not."""

    def __init__(self, genesis: Genesis, executed_at: Callable[[int], Executed | None]) -> None:
        self._genesis = genesis
        self._network_id = network_id(genesis)
        self._executed_at = executed_at
        self.voters = Voters(genesis)
        if isinstance(genesis, Succession):
            first = genesis.begins
        else:
            first = genesis_state(genesis, rules_at(genesis, 0)).executed
        self._parent: Parent | None = Parent(self._network_id, first.height, genesis.created_ms, first)
        self._recent: deque[tuple[int, frozenset[bytes]]] = deque()
        self._filled: deque[int] = deque()

    def skip(self) -> None:
        """The block that comes now cannot be read: the next one's parent is not known."""
        self._parent = None

    def judge(self, height: int, data: bytes) -> Judged | Fault:
        """The block of `height` from its encoding; a fault if it is none."""
        try:
            block = decode(Block, data)
        except Malformed as malformed:
            return Fault("block", malformed.field, "a canonical record", f"{len(data)} bytes", malformed.words)
        try:
            header = decode(Header, block.header)
        except Malformed as malformed:
            return Fault("header", malformed.field, "a canonical record", block.header.hex(), malformed.words)
        judged = Judged(header, header_hash(header), block)
        certificate = self._certificate(judged)
        batches = self._batches(judged)
        judged.faults += self._frame(height, header)
        if not judged.faults:
            judged.faults += self._valid(judged, certificate, batches)
        self._pass(judged)
        return judged

    def _frame(self, height: int, header: Header) -> Iterator[Fault]:
        """What has one right value."""
        parent, voters = self._parent, self.voters
        rows: list[tuple[str, Any, Any, str]] = [
            ("height", height, header.height, "it stands at another place of the history"),
            ("rules", rules_at(self._genesis, height).version, header.rules, "genesis says which rules hold where"),
            ("epoch", voters.epoch, header.epoch, "no closing block has begun that epoch"),
            ("validators_hash", voters.hashed, header.validators_hash, "it is by other validators than the epoch's"),
        ]
        if parent is not None:
            rows.append(("parent", parent.hash, header.parent, "it does not stand on the block below"))
        here = self._executed_at(header.executed.height) if header.executed.height < height else None
        if here is not None:
            words = "executing the history from genesis gives other results than the header states (L-22)"
            for one in fields(Executed):
                pair = getattr(here, one.name), getattr(header.executed, one.name)
                rows.append((f"executed.{one.name}", *pair, words))
            named = validators_hash(voters.next_at(header.executed.height))
            words = "the state names another next validator set"
            rows.append(("next_validators_hash", named, header.next_validators_hash, words))
        for name, expected, found, words in rows:
            if expected != found:
                yield Fault("header", name, shown(expected), shown(found), words)

    def _valid(
        self, judged: Judged, certificate: Certificate | None, batches: dict[bytes, ParsedBatch]
    ) -> Iterator[Fault]:
        """What L-18 asks beyond."""
        header, parent, voters = judged.header, self._parent, self.voters
        if parent is None or voters.validators is None:
            return
        # A closing block may have become final in a later view, whose leader repeated it (C-21).
        leader = None if certificate is None or closes(header) else voters.leader(certificate.view)
        around = Surroundings(
            parameters=self._genesis.parameters,
            rules=header.rules,
            epoch=header.epoch,
            proposer=leader or header.proposer,
            validators=frozenset(voters.validators.keys),
            validators_hash=voters.hashed,
            parent=parent,
            used=lambda digest: any(digest in digests for _, digests in self._recent),
            ready=lambda reference: _expiry(reference, batches),
            executed_at=self._executed_at,
            next_at=self._next_at,
            lag=lambda executed: sum(height > executed for height in self._filled),
            clock_ms=header.time_ms,
        )
        if header.proposer not in around.validators:
            yield Fault("header", "proposer", "a validator", header.proposer.hex(), "only validators propose")
        judgement = judge_header(header, around)
        if judgement.standing is Standing.INVALID:
            yield Fault("header", "", "a valid block (L-18)", judgement.words, "no honest validator votes for it")

    def _next_at(self, height: int) -> bytes | None:
        """Hash of the next set that the state of an executed height names."""
        return None if self._executed_at(height) is None else validators_hash(self.voters.next_at(height))

    def _batches(self, judged: Judged) -> dict[bytes, ParsedBatch]:
        """The batches that are what the header references, by digest; every signature in them is checked."""
        references, held = judged.header.references, judged.block.batches
        if len(references) != len(held):
            words = "the block has not the batches that its header references"
            judged.faults.append(Fault("block", "batches", str(len(references)), str(len(held)), words))
        good: dict[bytes, ParsedBatch] = {}
        for index, (reference, data) in enumerate(zip(references, held, strict=False)):
            try:
                batch = parse_batch(data, self._network_id)
            except Refused as refused:
                expected = f"a batch by {reference.author.hex()}"
                judged.faults.append(Fault(f"batch {index}", "", expected, f"{len(data)} bytes", refused.words))
                continue
            faults = [*_unlike(index, reference, batch.reference), *self._signatures(index, batch, judged)]
            judged.faults += faults
            if not faults:
                good[batch.reference.digest] = batch
        return good

    @staticmethod
    def _signatures(index: int, batch: ParsedBatch, judged: Judged) -> Iterator[Fault]:
        for place, (public, message, signature) in enumerate(batch_signature_items(batch)):
            judged.signatures += 1
            if not verify_message(public, message, signature):
                where = f"batch {index}" if place == 0 else f"batch {index}, an envelope"
                words = f"a signature of {public.hex()} in a final batch is bad"
                yield Fault(where, "signature", f"a signature by {public.hex()}", signature.hex(), words)

    def _certificate(self, judged: Judged) -> Certificate | None:
        """The block's own certificate, if it has one and it is good."""
        header, data, voters = judged.header, judged.block.finalization, self.voters
        if data is None:
            if closes(header):
                words = "the last block of an epoch has to be final by itself (C-21)"
                judged.faults.append(Fault("certificate", "", "a finalization", "none", words))
            return None
        if voters.validators is None or voters.epoch != header.epoch:
            return None
        try:
            certificate = decode(Certificate, data)
        except Malformed as malformed:
            judged.faults.append(
                Fault("certificate", malformed.field, "a canonical record", data.hex(), malformed.words)
            )
            return None
        try:
            check_certificate(self._network_id, voters.validators, certificate, header)
        except ProofRefused as refused:
            judged.faults.append(_certificate_fault(judged.hash, voters, certificate, refused))
            return None
        judged.certified = True
        return certificate

    def _pass(self, judged: Judged) -> None:
        """Take the block as the one below the next."""
        header = judged.header
        self._parent = parent_of(header, judged.hash)
        self._recent.append((header.height, frozenset(reference.digest for reference in header.references)))
        while self._recent and self._recent[0][0] < header.height - self._genesis.parameters.batch_ttl_max:
            self._recent.popleft()
        if header.references:
            self._filled.append(header.height)
        while self._filled and self._filled[0] <= header.executed.height:
            self._filled.popleft()


def _expiry(reference: Reference, batches: dict[bytes, ParsedBatch]) -> int | None:
    batch = batches.get(reference.digest)
    if batch is None:
        return None
    return batch.expiry_height if batch.reference == reference else -1


def _unlike(index: int, named: Reference, held: Reference) -> Iterator[Fault]:
    """The fields in which a batch is not the one that is referenced."""
    for one in fields(Reference):
        expected, found = getattr(named, one.name), getattr(held, one.name)
        if expected != found:
            words = "the batch is not the one that its header references"
            yield Fault(f"batch {index}", one.name, shown(expected), shown(found), words)


def _certificate_fault(hashed: bytes, voters: Voters, certificate: Certificate, refused: ProofRefused) -> Fault:
    """What a certificate lacks, with both values where there are two."""
    assert voters.validators is not None, "it was checked against a set"
    expected, found, name = "a finalization of this block", refused.words, ""
    if refused.code == PROOF_WRONG_STATEMENT and certificate.proposal is not None:
        if certificate.proposal.payload != hashed:
            name, expected, found = "proposal.payload", hashed.hex(), certificate.proposal.payload.hex()
    elif refused.code == PROOF_NO_QUORUM:
        bits = int.from_bytes(certificate.signers, "little")
        powers = (power for index, power in enumerate(voters.validators.powers) if bits >> index & 1)
        name, expected, found = "signers", f"power of at least {voters.validators.quorum}", f"power {sum(powers)}"
    elif refused.code == PROOF_BAD_SIGNATURE:
        name, expected = "signatures", "good signatures"
    return Fault("certificate", name, expected, found, refused.words)


def shown(value: Any) -> str:
    """A value of a field for people and JSON: bytes as hex."""
    return value.hex() if isinstance(value, bytes) else str(value)
