"""Receipt proofs: what verifies, and what must not (L-21, and the list of attacks in "how it will be judged")."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import decode, encode
from protocol.consensus.statements import Certificate, VoteKind
from protocol.crypto import log
from protocol.errors import Refused
from protocol.ledger.genesis import Genesis, GenesisValidator, validators_hash
from protocol.ledger.records import Envelope, Receipt, header_hash
from protocol.proofs.build import envelope_at, finality_of, receipt_proof
from protocol.proofs.finality import ProofRefused
from protocol.proofs.records import ClosedEpoch, Finality, ReceiptProof
from protocol.proofs.verify import verify_receipt_proof
from tests.ledger.world import key, make_genesis
from tests.proofs.chain import ProvenWorld, certificate, set_of, voters

WORLD = ProvenWorld()
GOOD = WORLD.proof()


def refused(data: bytes, genesis: bytes = b"", pinned: bytes | None = None) -> str:
    """The code of the refusal."""
    with pytest.raises(ProofRefused) as caught:
        verify_receipt_proof(genesis or WORLD.genesis_bytes, data, pinned)
    assert caught.value.words
    return caught.value.code


def altered(change: Callable[[ReceiptProof], ReceiptProof], data: bytes = GOOD) -> bytes:
    """The proof with a field changed, canonically encoded."""
    return encode(change(decode(ReceiptProof, data)))


def with_finality(finality: Finality) -> bytes:
    return altered(lambda proof: replace(proof, finality=finality))


def with_certificate(finalization: Certificate) -> bytes:
    return with_finality(finality_of(WORLD.covering, finalization))


def test_a_good_proof_says_what_was_recorded() -> None:
    verified = verify_receipt_proof(WORLD.genesis_bytes, GOOD)
    assert verified.ok
    assert verified.receipt.height == 1
    assert verified.final.header == WORLD.covering
    assert (verified.final.power, verified.final.quorum_power, verified.final.total_power) == (3, 3, 4)
    for log_index in range(7):
        assert verify_receipt_proof(WORLD.genesis_bytes, WORLD.proof(log_index)).log_index == log_index


def test_any_altered_byte_is_refused() -> None:
    """Every byte of the file, each in one bit and in all."""
    for at in range(len(GOOD)):
        for mask in (1 << (at % 8), 0xFF):
            refused(GOOD[:at] + bytes([GOOD[at] ^ mask]) + GOOD[at + 1 :])


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.sampled_from(["set", "insert", "delete", "cut"]))
def test_edited_files_are_refused(at: int, value: int, how: str) -> None:
    edits = {
        "set": GOOD[:at] + bytes([value]) + GOOD[at + 1 :],
        "insert": GOOD[:at] + bytes([value]) + GOOD[at:],
        "delete": GOOD[:at] + GOOD[at + 1 :],
        "cut": GOOD[:at],
    }
    if edits[how] != GOOD:
        refused(edits[how])


def test_another_genesis() -> None:
    other = replace(WORLD.genesis, created_ms=WORLD.genesis.created_ms + 1)
    assert refused(GOOD, encode(other)) == "proof_wrong_network"
    claimed = altered(lambda proof: replace(proof, network_id=bytes(32)))
    assert refused(claimed) == "proof_wrong_network"
    assert refused(GOOD, b"\x00") == "proof_bad_genesis"
    upside_down = encode(replace(WORLD.genesis, members=WORLD.genesis.members[::-1]))
    assert refused(GOOD, upside_down) == "proof_bad_genesis"


@pytest.mark.parametrize("kind", [VoteKind.NOTARIZE, VoteKind.NULLIFY])
def test_other_votes_passed_off_as_finalize(kind: VoteKind) -> None:
    hashed = header_hash(WORLD.covering)
    other = certificate(WORLD.network_id, hashed, kind=kind)
    assert refused(with_certificate(other)) == "proof_wrong_statement"
    good = WORLD.finalization()
    relabelled = replace(good, signatures=other.signatures)
    assert refused(with_certificate(relabelled)) == "proof_bad_signature"


def test_a_nullify_with_a_proposal_is_no_finalize() -> None:
    good = WORLD.finalization()
    assert refused(with_certificate(replace(good, kind=int(VoteKind.NULLIFY)))) == "proof_wrong_statement"
    assert refused(with_certificate(replace(good, proposal=None))) == "proof_wrong_statement"


def test_one_signer_twice() -> None:
    good = WORLD.finalization()
    a, b, _ = good.signatures
    assert refused(with_certificate(replace(good, signatures=(a, b, b)))) == "proof_bad_signature"
    fewer = replace(good, signers=b"\x03")
    assert refused(with_certificate(fewer)) == "proof_bad_certificate"
    assert refused(with_certificate(replace(good, signers=b"\x03", signatures=(a, b)))) == "proof_no_quorum"
    assert refused(with_certificate(replace(good, signatures=(*good.signatures, b)))) == "proof_bad_certificate"


def test_power_one_below_quorum() -> None:
    """With unequal powers, so that counting heads would pass: 1 + 1 + 1 + 4 of 7, quorum 5."""
    base = make_genesis()
    powers = (1, 1, 1, 4)
    genesis = replace(base, validators=tuple(replace(v, power=p) for v, p in zip(base.validators, powers, strict=True)))
    world = ProvenWorld(genesis)
    hashed = header_hash(world.covering)
    enough = certificate(world.network_id, hashed, (0, 3))
    proof = world.proof(finalization=enough)
    assert verify_receipt_proof(world.genesis_bytes, proof).final.power == 5
    for signers in ((3,), (0, 1, 2)):
        short = certificate(world.network_id, hashed, signers)
        data = encode(replace(decode(ReceiptProof, proof), finality=finality_of(world.covering, short)))
        assert refused(data, world.genesis_bytes) == "proof_no_quorum"


def test_spare_bits_and_lengths_of_the_bitmap() -> None:
    good = WORLD.finalization()
    for bitmap in (b"\x17", b"\x87", b"\x07\x00"):
        assert refused(with_certificate(replace(good, signers=bitmap))) == "proof_bad_certificate"


def test_signatures_by_strangers_and_in_another_order() -> None:
    good = WORLD.finalization()
    a, b, c = good.signatures
    assert refused(with_certificate(replace(good, signatures=(b, a, c)))) == "proof_bad_signature"
    strangers = certificate(WORLD.network_id, header_hash(WORLD.covering), keys=voters(4, first=700))
    assert refused(with_certificate(strangers)) == "proof_bad_signature"
    elsewhere = certificate(bytes(32), header_hash(WORLD.covering))
    assert refused(with_certificate(elsewhere)) == "proof_bad_signature"


def test_a_bad_signature_beyond_the_quorum_is_refused_too() -> None:
    """Every signature is checked."""
    all_four = certificate(WORLD.network_id, header_hash(WORLD.covering), (0, 1, 2, 3))
    assert verify_receipt_proof(WORLD.genesis_bytes, with_certificate(all_four)).final.power == 4
    broken = (*all_four.signatures[:3], all_four.signatures[2])
    assert refused(with_certificate(replace(all_four, signatures=broken))) == "proof_bad_signature"


def test_the_certificate_of_another_header() -> None:
    other = WORLD.finalization(WORLD.headers[-1])
    assert refused(with_certificate(other)) == "proof_wrong_statement"
    moved = replace(WORLD.covering, time_ms=WORLD.covering.time_ms + 1)
    assert refused(with_finality(finality_of(moved, WORLD.finalization()))) == "proof_wrong_statement"


def test_another_view_or_epoch_than_signed() -> None:
    good = WORLD.finalization()
    assert refused(with_certificate(replace(good, view=8))) == "proof_wrong_statement"
    later = certificate(WORLD.network_id, header_hash(WORLD.covering), epoch=2)
    assert refused(with_certificate(later)) == "proof_wrong_statement"


def test_a_failure_shown_as_success() -> None:
    proof = WORLD.proof(1)
    verified = verify_receipt_proof(WORLD.genesis_bytes, proof)
    assert not verified.ok
    assert (verified.receipt.code, verified.receipt.operation) == ("forbidden", 0)
    lie = encode(replace(verified.receipt, code="ok", operation=None, words="", results=(b"",)))
    assert refused(altered(lambda p: replace(p, receipt=lie), proof)) == "proof_not_in_log"
    borrowed = decode(ReceiptProof, GOOD)
    swapped = altered(lambda p: replace(p, receipt=borrowed.receipt, path=borrowed.path, log_index=0), proof)
    assert refused(swapped) == "proof_wrong_receipt"


def test_another_place_in_the_log() -> None:
    for log_index in (1, 2, 6, 7, 8, 2**40):
        assert refused(encode(replace(decode(ReceiptProof, GOOD), log_index=log_index))) == "proof_not_in_log"
    assert refused(altered(lambda p: replace(p, path=p.path[:-1]))) == "proof_not_in_log"
    assert refused(altered(lambda p: replace(p, path=(*p.path, bytes(32))))) == "proof_not_in_log"


def test_an_envelope_with_another_or_a_missing_signature() -> None:
    good = decode(Envelope, decode(ReceiptProof, GOOD).envelope)
    forged = encode(replace(good, signatures=(bytes(64),)))
    assert refused(altered(lambda p: replace(p, envelope=forged))) == "proof_bad_envelope"
    twice = encode(replace(good, signatures=good.signatures * 2))
    assert refused(altered(lambda p: replace(p, envelope=twice))) == "proof_bad_envelope"
    assert refused(altered(lambda p: replace(p, envelope=b"\x00"))) == "proof_bad_envelope"


def test_a_receipt_above_what_the_header_covers() -> None:
    """A quorum's header that covers a log in which a receipt of a later height stands is not believed."""
    receipt = decode(ReceiptProof, GOOD).receipt
    late = encode(replace(decode(Receipt, receipt), height=99))
    executed = replace(WORLD.covering.executed, log_size=1, log_root=log.leaf_hash(late))
    header = replace(WORLD.covering, executed=executed)
    data = altered(
        lambda p: replace(p, receipt=late, path=(), finality=finality_of(header, WORLD.finalization(header)))
    )
    assert refused(data) == "proof_wrong_receipt"


def test_a_header_by_other_validators_or_of_another_epoch() -> None:
    """Signed by a quorum of genesis, yet naming another set: refused before its certificate is looked at."""
    other = replace(WORLD.covering, validators_hash=validators_hash(set_of(voters(3))))
    assert refused(with_finality(finality_of(other, WORLD.finalization(other)))) == "proof_wrong_validators"
    second = replace(WORLD.covering, epoch=2)
    signed = certificate(WORLD.network_id, header_hash(second), epoch=2)
    assert refused(with_finality(finality_of(second, signed))) == "proof_wrong_validators"


# -- Ended epochs (C-21 to C-23): the format is verified before any network can end one ----------------


def closing_world() -> tuple[ReceiptProof, ClosedEpoch, list[bytes]]:
    """The good receipt under a header of epoch 2, whose set epoch 1 closed with; and the hash of the closing header."""
    new = voters(3, first=800)
    closing = replace(WORLD.headers[-1], next_validators_hash=validators_hash(set_of(new)))
    closed = ClosedEpoch(encode(closing), WORLD.finalization(closing), set_of(new))
    hashed = validators_hash(set_of(new))
    header = replace(WORLD.covering, epoch=2, validators_hash=hashed, next_validators_hash=hashed)
    signed = certificate(WORLD.network_id, header_hash(header), (0, 1, 2), epoch=2, keys=new)
    finality = finality_of(header, signed, [closed])
    return replace(decode(ReceiptProof, GOOD), finality=finality), closed, [header_hash(closing)]


def test_a_chain_of_closing_headers_leads_to_a_later_set() -> None:
    """C-22."""
    proof, _, hashes = closing_world()
    assert proof.finality.pinned == hashes[0]
    assert verify_receipt_proof(WORLD.genesis_bytes, encode(proof), pinned=hashes[0]).final.total_power == 3
    assert refused(encode(proof), pinned=bytes(32)) == "proof_wrong_pin"
    unpinned = replace(proof, finality=replace(proof.finality, pinned=bytes(32)))
    assert refused(encode(unpinned)) == "proof_wrong_pin"
    assert refused(GOOD, pinned=hashes[0]) == "proof_wrong_pin"


def test_a_broken_chain() -> None:
    proof, closed, _ = closing_world()

    def chained(*items: ClosedEpoch) -> str:
        return refused(encode(replace(proof, finality=replace(proof.finality, closed=items, pinned=None))))

    assert chained() == "proof_wrong_validators"
    assert chained(closed, closed) == "proof_wrong_validators"
    assert chained(replace(closed, validators=set_of(voters(3, first=900)))) == "proof_bad_chain"
    not_closing = ClosedEpoch(encode(WORLD.headers[-1]), WORLD.finalization(WORLD.headers[-1]), set_of(voters()))
    assert chained(not_closing) == "proof_bad_chain"
    short = certificate(WORLD.network_id, header_hash(decode(type(WORLD.covering), closed.header)), (0, 1))
    assert chained(replace(closed, finalization=short)) == "proof_no_quorum"
    assert chained(replace(closed, finalization=WORLD.finalization())) == "proof_wrong_statement"
    assert chained(replace(closed, header=b"\x00")) == "proof_malformed"


def test_a_set_out_of_order_closes_nothing() -> None:
    new = set_of(voters(3, first=800)[::-1])
    closing = replace(WORLD.headers[-1], next_validators_hash=validators_hash(new))
    closed = ClosedEpoch(encode(closing), WORLD.finalization(closing), new)
    proof = replace(decode(ReceiptProof, GOOD), finality=finality_of(WORLD.covering, WORLD.finalization(), [closed]))
    assert refused(encode(proof)) == "proof_bad_chain"


# -- Making proofs -------------------------------------------------------------------------------------


def test_what_is_not_covered_yet_says_so() -> None:
    finality = finality_of(WORLD.headers[1], WORLD.finalization(WORLD.headers[1]))
    envelope = envelope_at(WORLD.blocks[1][1], 0)
    with pytest.raises(Refused) as caught:
        receipt_proof(WORLD.genesis, WORLD.tables, 7, envelope, finality)
    assert caught.value.code == "not_covered"
    with pytest.raises(Refused) as missing:
        receipt_proof(WORLD.genesis, WORLD.tables, 99, envelope, finality)
    assert missing.value.code == "not_found"
    with pytest.raises(Refused):
        envelope_at(WORLD.blocks[1][1], 1)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_networks_of_one_to_three(count: int) -> None:
    world = ProvenWorld(make_genesis(count))
    everyone = certificate(world.network_id, header_hash(world.covering), range(count), keys=voters(count))
    proof = world.proof(finalization=everyone)
    assert verify_receipt_proof(world.genesis_bytes, proof).final.quorum_power == count


def test_a_genesis_of_someone_elses_validators_is_another_network() -> None:
    evil = tuple(
        sorted(
            (GenesisValidator(f"m{i}", key(200 + i).public, key(700 + i).public, 1) for i in range(4)),
            key=lambda v: v.voting_key,
        )
    )
    genesis: Genesis = replace(WORLD.genesis, validators=evil)
    assert refused(GOOD, encode(genesis)) == "proof_wrong_network"
