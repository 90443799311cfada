"""Admission and outcomes: what a node says before and after (L-7, L-9)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.errors import Refused
from protocol.ledger.accounts import ACCOUNTS, Account
from protocol.ledger.admission import AlreadyFinal, Known, admit, check_operations, outcome_of
from protocol.ledger.envelope import parse_envelope
from protocol.ledger.genesis import DEFAULT_PARAMETERS
from protocol.ledger.index import INDEXED_FROM_KEY, number_key
from protocol.ledger.records import account_name
from protocol.ledger.state import StateTransaction
from protocol.ledger.tables import Table
from tests.ledger.world import Drop, World, key, make_genesis

MINE = account_name(key(1).public)
TTL = DEFAULT_PARAMETERS.envelope_ttl_max_ms


def judge(world: World, data: bytes, *, ahead_ms: int = 0, member: str | None = None) -> str:
    """The code of the refusal, or `admitted`."""
    parsed = parse_envelope(data, world.network_id)
    try:
        admit(world.tables, parsed, world.time_ms + ahead_ms, world.genesis.parameters, member)
    except Refused as refused:
        return refused.code
    return "admitted"


def test_the_window_counts_from_the_later_of_clock_and_block_time() -> None:
    """L-7."""
    world = World()
    now = world.time_ms
    assert judge(world, world.put(1, valid_until_ms=now + 1)) == "admitted"
    assert judge(world, world.put(1, valid_until_ms=now)) == "expired"
    assert judge(world, world.put(1, valid_until_ms=now + 500), ahead_ms=500) == "expired"
    assert judge(world, world.put(1, valid_until_ms=now + 500), ahead_ms=499) == "admitted"
    assert judge(world, world.put(1, valid_until_ms=now + TTL + 1)) == "too_far_ahead"
    assert judge(world, world.put(1, valid_until_ms=now + TTL + 1), ahead_ms=1) == "admitted"
    assert judge(world, world.put(1, valid_until_ms=now + TTL + 1), ahead_ms=-10_000) == "too_far_ahead"


def test_a_duplicate_says_where_the_first_became_final() -> None:
    """L-7: the same envelope sent twice yields the first receipt; also when its time has passed."""
    world = World()
    data = world.put(1)
    world.run(world.put(9), data)
    parsed = parse_envelope(data, world.network_id)
    for ahead_ms in (0, 10**6):
        with pytest.raises(AlreadyFinal) as caught:
            admit(world.tables, parsed, world.time_ms + ahead_ms, world.genesis.parameters)
        assert caught.value.location == (1, 1, 1)
        assert caught.value.code == "duplicate"
    assert judge(world, world.put(1, "b")) == "conflict"


def test_an_id_is_free_again_by_block_time_not_by_the_clock() -> None:
    world = World()
    world.run(world.put(1, valid_until_ms=world.time_ms + 1_000))
    assert judge(world, world.put(1, "b"), ahead_ms=5_000) == "conflict"
    world.block(step_ms=900)
    assert judge(world, world.put(1, "b")) == "admitted"


def test_strangers_keys_are_not_admitted() -> None:
    world = World()
    assert judge(world, world.put(1, signers=[key(2)], account=MINE)) == "not_authorised"
    assert judge(world, world.put(1, signers=[key(1), key(2)], account=MINE)) == "admitted"


def test_k_of_n_and_replaced_keys() -> None:
    """L-6: the record decides once there is one; the first key is one of several, or none."""
    world = World()
    state = StateTransaction(world.tables)
    state.writable = frozenset({ACCOUNTS.name})
    keys = tuple(sorted(key(i).public for i in (2, 3, 4)))
    state.put(ACCOUNTS, (MINE,), Account(keys, 2))
    state.keep()
    world.tables.apply({(Table.STATE, k): v for k, v in state.changes().items()})
    assert judge(world, world.put(1)) == "not_authorised"
    assert judge(world, world.put(1, signers=[key(1), key(2)], account=MINE)) == "not_authorised"
    assert judge(world, world.put(1, signers=[key(2), key(4)], account=MINE)) == "admitted"
    assert judge(world, world.put(1, signers=[key(1), key(2), key(3)], account=MINE)) == "admitted"


def test_a_member_beyond_its_quota_seals_nothing_more() -> None:
    world = World(make_genesis(quota=200))
    world.run(world.put(1, "a", b"x" * 100))
    assert judge(world, world.put(2), member="m0") == "admitted"
    used = World(make_genesis(quota=0))
    assert judge(used, used.put(2), member="m0") == "quota_exceeded"
    assert judge(used, used.put(2)) == "admitted", "who seals nothing is not asked"


def test_operations_that_no_state_lets_pass_are_named_at_once() -> None:
    world = World()

    def checked(data: bytes) -> tuple[str, str]:
        with pytest.raises(Refused) as caught:
            check_operations(world.rules, parse_envelope(data, world.network_id))
        return caught.value.code, caught.value.words.split(":")[0]

    good = ("drop", Drop("a"))
    assert checked(world.envelope(1, [good, ("nothing", b"")])) == ("unknown_operation", "operations[1]")
    assert checked(world.envelope(1, [good, good, ("put", Drop("a"))])) == ("bad_arguments", "operations[2]")
    assert checked(world.put(1, "forbidden")) == ("forbidden", "operations[0]")
    check_operations(world.rules, parse_envelope(world.envelope(1, [good]), world.network_id))


# -- L-9 ------------------------------------------------------------------------------------------------


def test_outcomes_are_final_expired_or_unknown_never_guessed() -> None:
    world = World()
    until = world.time_ms + 1_000
    data = world.put(1, valid_until_ms=until)
    transaction = parse_envelope(data, world.network_id).transaction
    parameters = world.genesis.parameters

    def known(valid_until_ms: int | None = until) -> Known:
        return outcome_of(world.tables, transaction, valid_until_ms, parameters).known

    assert known() is Known.UNKNOWN
    world.block(step_ms=999)
    assert known() is Known.UNKNOWN, "block time has not reached valid_until"
    world.block(step_ms=1)
    assert known() is Known.EXPIRED
    assert known(None) is Known.UNKNOWN, "without valid_until nothing can be said"
    assert world.run(data).outcomes[0].code == "expired", "and indeed it can't become final any more"


def test_expired_is_not_said_by_a_node_that_has_not_indexed_the_window() -> None:
    """L-9: after a snapshot, blocks before its beginning may hold it."""
    world = World()
    world.block(step_ms=10_000)
    until = world.time_ms
    window = replace(DEFAULT_PARAMETERS, envelope_ttl_max_ms=1_000)
    world.tables.apply({(Table.META, INDEXED_FROM_KEY): number_key(until - 1_000)})
    assert outcome_of(world.tables, bytes(32), until, window).known is Known.EXPIRED
    world.tables.apply({(Table.META, INDEXED_FROM_KEY): number_key(until - 999)})
    assert outcome_of(world.tables, bytes(32), until, window).known is Known.UNKNOWN
    world.tables.apply({(Table.META, INDEXED_FROM_KEY): None})
    assert outcome_of(world.tables, bytes(32), until, window).known is Known.UNKNOWN


def test_a_failed_envelope_is_final_too() -> None:
    world = World()
    data = world.put(1, "forbidden")
    (outcome,) = world.run(data).outcomes
    found = outcome_of(world.tables, outcome.transaction, None, world.genesis.parameters)
    assert (found.known, found.location) == (Known.FINAL, (0, 1, 0))
