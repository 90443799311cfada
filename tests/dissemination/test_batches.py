"""Batches and wants: states, bounds, whom to ask (L-11, L-13, L-15)."""

from __future__ import annotations

import pytest

from protocol import limits
from protocol.dissemination import Batches, Held, State, Wants, batches, wants
from protocol.ledger.records import Reference


def held(number: int, author: bytes = b"a", size: int = 1000, state: State = State.READY, expiry: int = 100) -> Held:
    return Held(Reference(author, bytes([number]), size, 1), b"data", expiry, state, number, (b"t%d" % number,))


def test_only_a_checked_batch_is_ready_and_given_away() -> None:
    """L-13."""
    all_ = Batches()
    for number, state in enumerate(State):
        all_.add(held(number, state=state))
    assert [all_.ready(bytes([number])) for number in range(2)] == [False, True]
    assert [all_.data(bytes([number])) is not None for number in range(2)] == [False, True]
    assert [h.state for h in all_.unordered()] == [State.READY]


def test_each_author_has_its_own_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-13."""
    monkeypatch.setattr(limits, "UNORDERED_BATCHES_PER_AUTHOR_MAX", 2)
    all_ = Batches()
    all_.add(held(1))
    all_.add(held(2))
    assert not all_.fits(b"a", 1)
    assert all_.fits(b"b", 1)
    all_.drop(b"\x01")
    assert all_.fits(b"a", 1)
    assert not all_.fits(b"a", limits.UNORDERED_BYTES_PER_AUTHOR_MAX)
    all_.drop(b"\x02")
    assert not all_.count_of
    assert not all_.bytes_of


def test_final_batches_stay_at_hand_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "RECENT_BYTES_MAX", 10)
    all_ = Batches()
    for number in range(5):
        all_.add(held(number))
        all_.ordered(bytes([number]), b"data")
    assert list(all_.recent) == [b"\x03", b"\x04"]
    assert all_.data(b"\x04") == b"data"
    assert not all_.held


def test_what_cannot_be_referenced_any_more_is_named() -> None:
    """L-11."""
    all_ = Batches()
    all_.add(held(1, expiry=10))
    all_.add(held(2, expiry=11))
    assert all_.expired(10) == [b"\x01"]


def test_one_is_asked_at_a_time_best_first_then_neighbours() -> None:
    """L-15: the leader, the author, then whoever is a neighbour."""
    missing = Wants(retry_interval_ms=100)
    missing.add(b"d", [b"leader", b"author"], 0)
    neighbours = (b"n", b"author")
    asked = [list(missing.due(time, neighbours)) for time in (0, 50, 100, 200)]
    assert asked == [[b"author"], [], [b"n"], [b"author"]]
    missing.settle(b"d")
    assert missing.due(300, neighbours) == {}
    assert missing.next_ms() is None


def test_wants_are_bounded_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wants, "WANTS_MAX", 3)
    missing = Wants(retry_interval_ms=1)
    for number in range(9):
        missing.add(bytes([number]), [b"p"], 0)
    assert len(missing.missing) == 3
    for time in range(40):
        missing.due(time, (b"p",))
    assert not missing.missing


def test_more_than_a_share_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-13: by count and by bytes."""
    monkeypatch.setattr(limits, "UNORDERED_BATCHES_PER_AUTHOR_MAX", 2)
    all_ = Batches()
    all_.add(held(1))
    all_.add(held(2))
    assert not all_.beyond(b"a")
    all_.add(held(3))
    assert all_.beyond(b"a")
    assert not all_.beyond(b"b")
    all_.add(held(4, author=b"b", size=limits.UNORDERED_BYTES_PER_AUTHOR_MAX + 1))
    assert all_.beyond(b"b")
