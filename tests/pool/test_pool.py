"""The pool: order, fair shares, bounds, and what comes back (L-7, L-9, L-11, L-12)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from protocol import limits
from protocol.errors import ACCOUNT_SHARE_FULL, CONFLICT, POOL_FULL
from protocol.pool import Entry, Pool


def entry(number: int, account: int = 0, size: int = 100, valid_until_ms: int = 10_000) -> Entry:
    return Entry(
        bytes(size),
        number.to_bytes(32, "big"),
        bytes([account]) * 32,
        number.to_bytes(16, "big"),
        valid_until_ms,
        1,
        1,
        number,
    )


def nobody(_transaction: bytes) -> bool:
    return False


def test_oldest_first_and_accounts_in_turn() -> None:
    """L-12: an account that posted many delays its own."""
    pool = Pool()
    for number in range(6):
        pool.admit(entry(number, account=1))
    pool.admit(entry(6, account=2))
    pool.admit(entry(7, account=3))
    taken = [int.from_bytes(e.transaction, "big") for e in pool.take(4 * 105, nobody)]
    assert taken == [0, 6, 7, 1]
    assert pool.oldest_ms() == 2


def test_the_same_envelope_twice_is_one_and_other_content_is_a_conflict() -> None:
    """L-7: clients retry without fear."""
    pool = Pool()
    assert pool.admit(entry(1)) is None
    assert pool.admit(entry(1)) is None
    assert len(pool.waiting) == 1
    other = entry(2)
    clash = Entry(other.data, other.transaction, other.account, entry(1).id, 1, 1, 1, 0)
    refused = pool.admit(clash)
    assert refused is not None
    assert refused[0] == CONFLICT
    pool.take(10_000, nobody)
    refused = pool.admit(clash)
    assert refused is not None, "also while the first one is in a batch"


def test_what_another_author_sealed_is_held_back() -> None:
    """L-11: passed over this time, and still waiting."""
    pool = Pool()
    first, second = entry(1), entry(2)
    pool.admit(first)
    pool.admit(second)
    taken = pool.take(10_000, lambda transaction: transaction == first.transaction)
    assert taken == [second]
    assert pool.holds(first.transaction)
    assert pool.take(10_000, nobody) == [first]


def test_a_dropped_batch_gives_its_envelopes_back() -> None:
    """L-11."""
    pool = Pool()
    pool.admit(entry(1))
    assert pool.take(10_000, nobody)
    assert not pool.waiting
    pool.give_back([entry(1).transaction, entry(9).transaction])
    assert list(pool.waiting) == [entry(1).transaction]


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-12, L-13: the pool and one account's share of it."""
    monkeypatch.setattr(limits, "POOL_ENVELOPES_MAX", 10)
    pool = Pool()
    for number in range(5):
        assert pool.admit(entry(number, account=1)) is None
    refused = pool.admit(entry(5, account=1))
    assert refused is not None
    assert refused[0] == ACCOUNT_SHARE_FULL
    for number in range(6, 11):
        assert pool.admit(entry(number, account=2)) is None
    refused = pool.admit(entry(11, account=3))
    assert refused is not None
    assert refused[0] == POOL_FULL


def test_one_envelope_larger_than_a_batch_goes_alone() -> None:
    pool = Pool()
    pool.admit(entry(1, size=5000))
    pool.admit(entry(2, size=100))
    assert [len(e.data) for e in pool.take(1000, nobody)] == [5000]
    assert [len(e.data) for e in pool.take(1000, nobody)] == [100]


def test_expired_ones_leave() -> None:
    pool = Pool()
    pool.admit(entry(1, valid_until_ms=5))
    pool.admit(entry(2, valid_until_ms=50))
    assert [e.valid_until_ms for e in pool.expire(5)] == [5]
    assert len(pool.waiting) == 1


def test_refusals_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-9."""
    monkeypatch.setattr(limits, "REFUSED_REMEMBERED_MAX", 3)
    pool = Pool()
    for number in range(5):
        pool.remember_refusal(bytes([number]), "expired", "late")
    assert list(pool.refused) == [b"\x02", b"\x03", b"\x04"]


@settings(max_examples=60)
@given(some.lists(some.tuples(some.sampled_from("atsge"), some.integers(0, 12)), max_size=60))
def test_counts_always_agree(steps: list[tuple[str, int]]) -> None:
    """Whatever happens, the queues, the bytes and the names say the same as the entries."""
    pool = Pool()
    for verb, number in steps:
        item = entry(number, account=number % 3)
        if verb == "a":
            pool.admit(item)
        elif verb == "t":
            pool.take(number * 100, nobody)
        elif verb == "s":
            pool.settle(item.transaction)
        elif verb == "g":
            pool.give_back([item.transaction])
        else:
            pool.expire(number)
        waiting = {t for queue in pool.queues.values() for t in queue}
        assert waiting == set(pool.waiting)
        assert not any(not queue for queue in pool.queues.values())
        assert pool.waiting_bytes == sum(len(e.data) for e in pool.waiting.values())
        assert set(pool.names.values()) == set(pool.waiting) | set(pool.sealed)
        assert not set(pool.waiting) & set(pool.sealed)
