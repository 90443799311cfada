"""Proofs: receipts verify offline, with the genesis alone; altered in one byte they do not; lies never do (L-21).

Now and then, and at the end, a few random receipts of an honest node are put under the newest final header. Each proof
must convince `refusal`, a verifier written from the rule that shares no code with `protocol.proofs`; and where the
run's signatures are real Ed25519 the product's verifier too. Then single bytes are changed, anywhere, and both must
refuse. What a liar shows to its clients must convince neither.
"""

from __future__ import annotations

from protocol.codec import decode, encode
from protocol.consensus.statements import Certificate, VoteKind, statement_bytes
from protocol.crypto.contexts import Context, Domain
from protocol.crypto.hashing import digest
from protocol.errors import Malformed
from protocol.ledger.genesis import ValidatorPower, ValidatorSet
from protocol.ledger.records import Envelope, EnvelopeBody, Header, Receipt
from protocol.proofs.finality import ProofRefused
from protocol.proofs.records import ReceiptProof
from protocol.proofs.verify import verify_receipt_proof
from protocol.sim.checkers.checker import Checker
from protocol.sim.checkers.naive_roots import inclusion_holds
from protocol.sim.events import stream
from protocol.sim.facts import Facts
from protocol.sim.host import Host
from protocol.sim.receipts import newest_proofs

SAMPLE = 3
"""Receipts of each node at the end of a run; one at a time before."""
ALTERED = 6
"""Bytes of each that are changed, one at a time."""


class Proofs(Checker):
    """Receipts verify offline, and nothing else does."""

    rule = "proofs"

    def sampled(self, host: Host) -> None:
        """One receipt, of one node after the other."""
        height = len(self.bench.chain.headers)
        if host.honest and host.up and height % max(1, len(self.bench.hosts)) == host.index:
            self._look(host, 1, f"height {height}")

    def ended(self) -> None:
        """A few receipts of every node."""
        for host in self.bench.honest():
            self._look(host, SAMPLE, "end")

    def _look(self, host: Host, count: int, occasion: str) -> None:
        facts = self.bench.facts
        generator = stream(host.index, f"{occasion} {self.bench.chain.time_ms}")
        for proof in newest_proofs(facts.genesis, host.disk, generator, count):
            data = encode(proof)
            for who, words in self._refusals(data):
                if words is not None:
                    self.violated(f"{who} refuses the true proof of receipt {proof.log_index}: {words}", host)
            for _ in range(ALTERED):
                at = generator.randrange(len(data))
                altered = data[:at] + bytes([data[at] ^ generator.randrange(1, 256)]) + data[at + 1 :]
                for who, words in self._refusals(altered):
                    if words is None:
                        said = f"{who} believes the proof of receipt {proof.log_index}, altered in byte {at}"
                        self.violated(said, host)

    def presented(self, host: Host, proof: bytes) -> None:
        """A liar's."""
        for who, words in self._refusals(proof):
            if words is None:
                self.violated(f"{who} believes a receipt that a liar made up", host)

    def _refusals(self, data: bytes) -> list[tuple[str, str | None]]:
        """Who verifies, and why it refuses; None: it is convinced."""
        facts = self.bench.facts
        found = [("an independent verifier", refusal(facts, data))]
        if facts.scheme.name == "real":
            found.append(("the product's verifier", product_refusal(facts, data)))
        return found


def product_refusal(facts: Facts, data: bytes) -> str | None:
    """The words with which the product's verifier refuses a proof, or None."""
    try:
        verify_receipt_proof(encode(facts.genesis), data)
    except ProofRefused as fault:
        return fault.words
    return None


def refusal(facts: Facts, data: bytes) -> str | None:
    """The words with which a proof is to be refused on this network, or None if it proves what it says (L-21)."""
    try:
        proof = decode(ReceiptProof, data)
        envelope = decode(Envelope, proof.envelope)
        body = decode(EnvelopeBody, envelope.body)
        receipt, header = decode(Receipt, proof.receipt), decode(Header, proof.finality.header)
    except Malformed as fault:
        return fault.words
    if not proof.network_id == body.network_id == facts.network_id:
        return "another network"
    executed = header.executed
    if receipt.transaction != digest(Domain.TRANSACTION, envelope.body) or receipt.height > executed.height:
        return "a receipt of something else"
    if not inclusion_holds(proof.receipt, proof.log_index, executed.log_size, proof.path, executed.log_root):
        return "a receipt that is not in the log"
    return _envelope_refusal(facts, envelope, body) or _finality_refusal(facts, proof)


def _envelope_refusal(facts: Facts, envelope: Envelope, body: EnvelopeBody) -> str | None:
    message = Context.ENVELOPE.value + facts.network_id + envelope.body
    signers = list(body.signers)
    if signers != sorted(set(signers)) or len(signers) != len(envelope.signatures):
        return "an envelope not signed by its signers"
    good = [facts.scheme.verify(s, message, g) for s, g in zip(signers, envelope.signatures, strict=True)]
    return None if all(good) else "an envelope with a bad signature"


def _finality_refusal(facts: Facts, proof: ReceiptProof) -> str | None:
    """C-22: from genesis' set over the closing header of each ended epoch to the header of the proof."""
    finality = proof.finality
    powers = tuple(ValidatorPower(v.voting_key, v.power) for v in facts.genesis.validators)
    epoch, validators, height = 1, ValidatorSet(powers), 0
    closing: list[bytes] = []
    for ended in finality.closed:
        words = _header_refusal(facts, (epoch, validators, height), ended.header, ended.finalization)
        if words is not None:
            return words
        header = decode(Header, ended.header)
        named = digest(Domain.VALIDATORS, encode(ended.validators))
        if header.next_validators_hash == header.validators_hash or header.next_validators_hash != named:
            return "a header that does not close its epoch with the set that is shown"
        closing.append(digest(Domain.HEADER, ended.header))
        epoch, validators, height = epoch + 1, ended.validators, header.height
    if finality.pinned is not None and finality.pinned not in closing:
        return "a pin that closes none of its epochs"
    return _header_refusal(facts, (epoch, validators, height), finality.header, finality.finalization)


def _header_refusal(
    facts: Facts, place: tuple[int, ValidatorSet, int], data: bytes, certificate: Certificate
) -> str | None:
    """`place`: the epoch, its set, and the height of the block on which it stands."""
    epoch, validators, height = place
    try:
        header = decode(Header, data)
    except Malformed as fault:
        return fault.words
    if header.epoch != epoch or header.validators_hash != digest(Domain.VALIDATORS, encode(validators)):
        return "a header of other validators"
    if header.height <= max(header.executed.height, height):
        return "a header that names a result to come, or of an ended epoch"
    stated = certificate.proposal
    if certificate.kind != VoteKind.FINALIZE or stated is None or certificate.epoch != epoch:
        return "a certificate that makes nothing final"
    at = (stated.epoch, stated.view, stated.payload)
    if at != (epoch, certificate.view, digest(Domain.HEADER, data)) or stated.parent_view >= stated.view:
        return "a certificate of something else"
    return _signers_refusal(facts, validators, certificate)


def _signers_refusal(facts: Facts, validators: ValidatorSet, certificate: Certificate) -> str | None:
    entries = validators.validators
    count, total = len(entries), sum(entry.power for entry in entries)
    bits = int.from_bytes(certificate.signers, "little")
    signers = [index for index in range(8 * len(certificate.signers)) if bits >> index & 1]
    if len(certificate.signers) != -(-count // 8) or any(index >= count for index in signers):
        return "a bitmap of another set"
    power = sum(entries[index].power for index in signers)
    if len(signers) != len(certificate.signatures) or power < 2 * total // 3 + 1:
        return "no quorum"
    statement = statement_bytes(VoteKind.FINALIZE, certificate.epoch, certificate.view, certificate.proposal)
    message = Context.FINALIZE.value + facts.network_id + statement
    pairs = zip(signers, certificate.signatures, strict=True)
    good = [facts.scheme.verify(entries[index].voting_key, message, signature) for index, signature in pairs]
    return None if all(good) else "a certificate with a bad signature"
