"""Genesis: its id, its relations, and that everything wrong is said at once (L-4, L-6, L-11, L-23)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.codec import decode, encode
from protocol.crypto.signing import SigningKey
from protocol.errors import Malformed, OperatorFault
from protocol.ledger import genesis as rules
from protocol.ledger.genesis import (
    DEFAULT_PARAMETERS,
    Genesis,
    GenesisMember,
    GenesisObserver,
    GenesisValidator,
    RulesFrom,
    ValidatorPower,
    ValidatorSet,
)
from protocol.ledger.records import account_name
from protocol.ledger.succession import decode_genesis


def key(number: int) -> bytes:
    return SigningKey(number.to_bytes(32, "big")).public


def make(members: int = 2) -> Genesis:
    return Genesis(
        name="test",
        created_ms=1_000,
        parameters=DEFAULT_PARAMETERS,
        rules=(RulesFrom(1, 1),),
        members=tuple(GenesisMember(f"m{i}", (key(100 + i),), 1, None) for i in range(members)),
        validators=tuple(
            sorted(
                (GenesisValidator(f"m{i}", key(200 + i), key(300 + i), 1) for i in range(members)),
                key=lambda v: v.voting_key,
            )
        ),
        observers=(GenesisObserver(None, key(400)),),
    )


def wrong(genesis: Genesis) -> str:
    with pytest.raises(OperatorFault) as caught:
        rules.check_genesis(genesis)
    return caught.value.words


def test_a_good_genesis_comes_back_from_its_bytes() -> None:
    genesis = make()
    rules.check_genesis(genesis)
    assert decode_genesis(encode(genesis)) == genesis


def test_the_id_changes_with_every_field() -> None:
    """L-4: the network id is the hash of the canonical record."""
    genesis = make()
    changed = [
        replace(genesis, name="other"),
        replace(genesis, created_ms=1_001),
        replace(genesis, parameters=replace(DEFAULT_PARAMETERS, delta_ms=251)),
        replace(genesis, rules=(RulesFrom(1, 2),)),
        replace(genesis, members=(*genesis.members, GenesisMember("z", (key(9),), 1, 5))),
        replace(genesis, validators=genesis.validators[:1]),
        replace(genesis, observers=()),
    ]
    assert len({rules.network_id(g) for g in [genesis, *changed]}) == len(changed) + 1


def test_a_member_account_is_named_by_its_first_key() -> None:
    """L-6, also when several keys must sign."""
    keys = tuple(sorted([key(1), key(2), key(3)]))
    assert rules.member_account(GenesisMember("m", keys, 2, None)) == account_name(keys[0])


def test_rules_hold_by_height() -> None:
    """L-23."""
    genesis = replace(make(), rules=(RulesFrom(1, 1), RulesFrom(10, 3)))
    rules.check_genesis(genesis)
    assert [rules.rules_version(genesis, h) for h in (1, 9, 10, 11)] == [1, 1, 3, 3]


def test_each_wrong_thing_is_said_and_all_at_once() -> None:
    genesis = make()
    low, high = sorted([key(1), key(2)])
    assert "ascend by name" in wrong(replace(genesis, members=genesis.members[::-1]))
    assert "ascend by voting key" in wrong(replace(genesis, validators=genesis.validators[::-1]))
    assert "ascend by voting key" in wrong(replace(genesis, validators=genesis.validators[:1] * 2))
    assert "keys must ascend" in wrong(
        replace(genesis, members=(*genesis.members, GenesisMember("z", (high, low), 1, None)))
    )
    assert "threshold 3" in wrong(
        replace(genesis, members=(*genesis.members, GenesisMember("z", (low, high), 3, None)))
    )
    assert "not usable" in wrong(
        replace(genesis, members=(*genesis.members, GenesisMember("z", (bytes(32),), 1, None)))
    )
    assert "another member's first key" in wrong(
        replace(genesis, members=(*genesis.members, GenesisMember("z", (key(100),), 1, None)))
    )
    assert "no member is named" in wrong(replace(genesis, members=genesis.members[:1]))
    assert "same node key" in wrong(replace(genesis, observers=(GenesisObserver(None, key(200)),)))
    assert "from height 1" in wrong(replace(genesis, rules=(RulesFrom(2, 1),)))
    assert "ascend by height" in wrong(replace(genesis, rules=(RulesFrom(1, 2), RulesFrom(5, 2))))
    both = wrong(replace(genesis, rules=(RulesFrom(2, 1),), members=genesis.members[::-1]))
    assert "from height 1" in both
    assert "ascend by name" in both


def test_power_stays_below_2_53() -> None:
    genesis = make()
    heavy = tuple(replace(v, power=2**52) for v in genesis.validators)
    assert "2^53" in wrong(replace(genesis, validators=heavy))
    with pytest.raises(OperatorFault, match="2\\^53"):
        rules.check_validator_set(ValidatorSet(tuple(ValidatorPower(v.voting_key, v.power) for v in heavy)))


def test_parameters_fit_each_other() -> None:
    """L-11: batch_ttl_max > 4 x execution_lag_max."""
    at_bound = replace(DEFAULT_PARAMETERS, batch_ttl_max=32, execution_lag_max=8)
    assert "batch_ttl_max" in wrong(replace(make(), parameters=at_bound))
    rules.check_genesis(replace(make(), parameters=replace(at_bound, batch_ttl_max=33)))
    assert "retry_interval_ms" in wrong(replace(make(), parameters=replace(DEFAULT_PARAMETERS, retry_interval_ms=1)))


def test_out_of_bounds_is_the_operators_fault_and_malformed_bytes_are_malformed() -> None:
    assert "delta_ms" in wrong(replace(make(), parameters=replace(DEFAULT_PARAMETERS, delta_ms=0)))
    with pytest.raises(Malformed):
        decode_genesis(encode(make()) + b"\x00")


def test_a_validator_set_is_hashed_over_keys_and_powers() -> None:
    first = rules.validator_set(make())
    assert decode(ValidatorSet, encode(first)) == first
    heavier = ValidatorSet((replace(first.validators[0], power=2), *first.validators[1:]))
    assert rules.validators_hash(first) != rules.validators_hash(heavier)
