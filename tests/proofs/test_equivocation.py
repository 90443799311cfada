"""Evidence as a record: what proves equivocation to a stranger, and everything that must not (C-10, C-17)."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from protocol.codec import decode, encode
from protocol.consensus.statements import CONTEXTS, Proposal, Vote, VoteKind, statement_bytes
from protocol.crypto.signing import SigningKey
from protocol.errors import (
    PROOF_BAD_CHAIN,
    PROOF_BAD_VOTE,
    PROOF_MALFORMED,
    PROOF_NO_CONFLICT,
    PROOF_WRONG_NETWORK,
    PROOF_WRONG_VALIDATORS,
)
from protocol.ledger.genesis import network_id, validators_hash
from protocol.ledger.records import header_hash
from protocol.proofs.equivocation import Equivocation, equivocation, explain_equivocation, verify_equivocation
from protocol.proofs.finality import ProofRefused
from protocol.proofs.records import ClosedEpoch
from tests.ledger.world import World, key, make_genesis
from tests.proofs.chain import certificate, set_of, voters

GENESIS = make_genesis()
NETWORK = network_id(GENESIS)
ONE, OTHER = bytes(range(32)), bytes(32)
PINNED = (264, "05ec7b942f5173927cf87e64cd298ba0088db1acfa297a06d75a9c7c1585517d")
NOTARIZE, NULLIFY, FINALIZE = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE


def vote(
    kind: VoteKind,
    payload: bytes = ONE,
    *,
    signer: int = 1,
    view: int = 7,
    epoch: int = 1,
    signing: SigningKey | None = None,
) -> Vote:
    """A vote by a validator of the first set, or by another key."""
    proposal = None if kind is NULLIFY else Proposal(epoch, view, view - 1, payload)
    by = signing or voters()[signer]
    signature = by.sign(CONTEXTS[kind], NETWORK, statement_bytes(kind, epoch, view, proposal))
    return Vote(int(kind), epoch, view, proposal, signer, signature)


def refusal(data: bytes, genesis: Any = GENESIS) -> str:
    """The code with which a record is refused."""
    with pytest.raises(ProofRefused) as refused:
        verify_equivocation(genesis, data)
    return refused.value.code


FORBIDDEN = [
    (vote(NOTARIZE), vote(NOTARIZE, OTHER), "two different notarizes"),
    (vote(FINALIZE), vote(FINALIZE, OTHER), "two different finalizes"),
    (vote(NULLIFY), vote(FINALIZE), "a nullify and a finalize"),
]


@pytest.mark.parametrize(("first", "second", "words"), FORBIDDEN)
def test_what_c10_forbids_is_proven(first: Vote, second: Vote, words: str) -> None:
    data = equivocation(NETWORK, first, second)
    assert data == equivocation(NETWORK, second, first), "one pair has one record"
    verified = verify_equivocation(GENESIS, data)
    validator = GENESIS.validators[1]
    assert (verified.voting_key, verified.member) == (validator.voting_key, validator.member)
    assert (verified.power, verified.total_power) == (1, 4)
    told = explain_equivocation(verified)
    assert told.startswith(f"EQUIVOCATION: the validator of member {validator.member} signed {words} of one view")
    assert "Epoch 1, view 7." in told


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (vote(NOTARIZE), vote(NULLIFY)),
        (vote(NOTARIZE), vote(FINALIZE, OTHER)),
        (vote(NOTARIZE), vote(NOTARIZE, OTHER, view=8)),
        (vote(FINALIZE), vote(FINALIZE, OTHER, signer=2)),
    ],
)
def test_what_an_honest_validator_may_sign_proves_nothing(first: Vote, second: Vote) -> None:
    """C-10 says no more; a nullify after a notarize is allowed (C-11)."""
    assert refusal(equivocation(NETWORK, first, second)) == PROOF_NO_CONFLICT


def test_one_statement_under_two_signatures_proves_nothing() -> None:
    first = vote(FINALIZE)
    second = replace(first, signature=bytes(64))
    assert refusal(equivocation(NETWORK, first, second)) == PROOF_NO_CONFLICT


def test_every_altered_byte_is_noticed() -> None:
    data = equivocation(NETWORK, *FORBIDDEN[0][:2])
    for at in range(len(data)):
        with pytest.raises(ProofRefused):
            verify_equivocation(GENESIS, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def test_anothers_signature() -> None:
    """Nobody can accuse a validator without its key, nor by naming another place of the set."""
    stranger = vote(NOTARIZE, OTHER, signing=key(999))
    assert refusal(equivocation(NETWORK, vote(NOTARIZE), stranger)) == PROOF_BAD_VOTE
    moved = [replace(one, signer=2) for one in FORBIDDEN[0][:2]]
    assert refusal(equivocation(NETWORK, moved[0], moved[1])) == PROOF_BAD_VOTE
    outside = [replace(one, signer=4) for one in FORBIDDEN[0][:2]]
    assert refusal(equivocation(NETWORK, outside[0], outside[1])) == PROOF_BAD_VOTE


def test_form() -> None:
    first, second = sorted(FORBIDDEN[0][:2], key=encode)
    assert refusal(encode(Equivocation(NETWORK, second, first, ()))) == PROOF_MALFORMED
    assert refusal(encode(Equivocation(NETWORK, first, first, ()))) == PROOF_MALFORMED
    assert refusal(equivocation(NETWORK, first, replace(second, proposal=None))) == PROOF_MALFORMED
    assert refusal(b"") == PROOF_MALFORMED
    assert refusal(equivocation(bytes(32), first, second)) == PROOF_WRONG_NETWORK
    assert refusal(equivocation(NETWORK, first, second), replace(GENESIS, name="other")) == PROOF_WRONG_NETWORK


def test_a_later_epoch_needs_the_chain_that_leads_there() -> None:
    """C-21, C-22: by the keys of that epoch, which genesis does not name."""
    world = World(GENESIS)
    world.run()
    keys = sorted((key(500 + at) for at in range(3)), key=lambda one: one.public)
    header = replace(world.headers[0], next_validators_hash=validators_hash(set_of(keys)))
    closed = ClosedEpoch(encode(header), certificate(NETWORK, header_hash(header)), set_of(keys))
    pair = [vote(FINALIZE, payload, signer=2, epoch=2, signing=keys[2]) for payload in (ONE, OTHER)]
    verified = verify_equivocation(GENESIS, equivocation(NETWORK, pair[0], pair[1], [closed]))
    assert (verified.voting_key, verified.member, verified.total_power) == (keys[2].public, None, 3)
    assert refusal(equivocation(NETWORK, pair[0], pair[1])) == PROOF_WRONG_VALIDATORS
    unclosed = replace(
        closed, header=encode(world.headers[0]), finalization=certificate(NETWORK, header_hash(world.headers[0]))
    )
    assert refusal(equivocation(NETWORK, pair[0], pair[1], [unclosed])) == PROOF_BAD_CHAIN


def test_it_is_its_own_inverse() -> None:
    data = equivocation(NETWORK, *FORBIDDEN[2][:2])
    assert encode(decode(Equivocation, data)) == data


def test_a_file_that_verifies_is_these_bytes() -> None:
    """Golden: fixed keys, so the whole file is; another program must make and take the same."""
    data = equivocation(NETWORK, *FORBIDDEN[0][:2])
    assert (len(data), sha256(data).hexdigest()) == PINNED
