"""The genesis of a network that goes on from another: its bytes, its id, and what is wrong with one (L-4, 0014)."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from protocol.codec import encode, kind_of
from protocol.errors import Malformed, OperatorFault
from protocol.ledger.genesis import Genesis, KeptMember, member_account, network_id
from protocol.ledger.records import Executed
from protocol.ledger.succession import (
    SUCCESSION_KIND,
    Ancestor,
    Succession,
    ancestors_of,
    beginning_height,
    decode_genesis,
    home_at,
    home_of,
)
from tests.ledger.world import make_genesis

ROOT, LOG = b"r" * 32, b"l" * 32


def ancestor(number: int, height: int, log_size: int) -> Ancestor:
    return Ancestor(bytes([number]) * 32, b"h" * 32, Executed(height, ROOT, log_size, LOG), b"d" * 32)


def make(*ancestors: Ancestor) -> Succession:
    plain = make_genesis()
    members = tuple(
        KeptMember(m.name, m.keys, m.threshold, m.state_quota_bytes, member_account(m)) for m in plain.members
    )
    values = {field.name: getattr(plain, field.name) for field in fields(Genesis)} | {"members": members}
    chain = ancestors or (ancestor(1, 10, 5), ancestor(2, 30, 9))
    last = chain[-1].executed
    return Succession(**values, ancestors=chain, begins=replace(last, state_root=b"n" * 32))


def test_it_comes_back_from_its_bytes_and_is_no_genesis() -> None:
    genesis = make()
    data = encode(genesis)
    assert kind_of(data) == SUCCESSION_KIND
    assert decode_genesis(data) == genesis
    assert network_id(genesis) != network_id(make_genesis())
    assert (beginning_height(genesis), beginning_height(make_genesis())) == (30, 0)
    with pytest.raises(Malformed):
        decode_genesis(data + b"\0")


def test_the_id_commits_to_every_ancestor_and_to_what_it_begins_with() -> None:
    genesis = make()
    first, second = genesis.ancestors
    others = [
        replace(genesis, ancestors=(second,)),
        replace(genesis, ancestors=(replace(first, document=bytes(32)), second)),
        replace(genesis, ancestors=(first, replace(second, network_id=bytes(32)))),
        replace(genesis, begins=replace(genesis.begins, state_root=bytes(32))),
    ]
    assert len({network_id(other) for other in (genesis, *others)}) == 5


def test_whose_a_receipt_and_a_block_are() -> None:
    genesis = make()
    mine = network_id(genesis)
    assert [home_of(genesis, at)[:1] for at in (0, 4, 5, 8)] == [b"\x01", b"\x01", b"\x02", b"\x02"]
    assert home_of(genesis, 9) == mine
    assert [home_at(genesis, at)[:1] for at in (1, 10, 11, 30)] == [b"\x01", b"\x01", b"\x02", b"\x02"]
    assert home_at(genesis, 31) == mine
    assert ancestors_of(make_genesis()) == ()
    assert home_of(make_genesis(), 3) == network_id(make_genesis())


def test_a_member_whose_keys_no_state_records_is_known_by_its_account() -> None:
    """Until an account has a record, the key whose hash names it acts (L-6)."""
    genesis = make()
    silent = replace(genesis.members[0], keys=())
    assert decode_genesis(encode(replace(genesis, members=(silent, *genesis.members[1:])))).members[0] == silent


def test_everything_that_does_not_fit_is_said() -> None:
    genesis = make()
    first, second = genesis.ancestors
    for wrong, words in (
        (replace(genesis, ancestors=(second, first)), "ascend by height"),
        (replace(genesis, begins=replace(genesis.begins, height=31)), "begins at the height"),
        (replace(genesis, begins=replace(genesis.begins, log_size=8)), "with the log"),
        (replace(genesis, ancestors=(first, replace(second, network_id=first.network_id))), "each ancestor once"),
        (replace(genesis, members=(replace(genesis.members[0], threshold=3), *genesis.members[1:])), "threshold 3"),
        (replace(genesis, validators=genesis.validators[::-1]), "ascend by voting key"),
    ):
        with pytest.raises(OperatorFault) as caught:
            decode_genesis(encode(wrong))
        assert words in caught.value.words
