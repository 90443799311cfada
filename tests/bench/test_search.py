"""The search for the highest rate: on machines whose limit is known."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.bench.search import CLOSE_PERCENT, RATE_MIN, TRIES_MAX, RateSearch, is_held


def searched(first: float, short_limit: float, full_limit: float) -> tuple[RateSearch, list[tuple[float, bool]]]:
    """Search on a machine that holds `short_limit` for a short while, and `full_limit` for the full time."""
    search, tried = RateSearch(first), []
    while not search.done:
        tried.append((search.rate, search.full))
        search.told(held=search.rate <= (full_limit if search.full else short_limit))
    return search, tried


@pytest.mark.parametrize("limit", [130.0, 800.0, 1_462.0, 3_333.0, 9_000.0])
def test_what_is_found_is_held_for_the_full_time_and_near_the_limit(limit: float) -> None:
    search, tried = searched(800, limit, limit)
    assert search.answer is not None
    assert tried[-1] == (search.answer, True)
    assert limit * 100 / (100 + CLOSE_PERCENT) * 0.95 <= search.answer <= limit


def test_a_rate_that_is_held_for_a_while_only_is_not_the_answer() -> None:
    search, tried = searched(800, 2_000, 1_500)
    assert search.answer is not None
    assert 1_350 <= search.answer <= 1_500
    assert [full for _, full in tried].count(True) >= 2


def test_where_nothing_is_held_there_is_no_answer() -> None:
    search, tried = searched(800, 0, 0)
    assert search.answer is None
    assert len(tried) == TRIES_MAX
    search, tried = searched(5, 0, 0)
    assert (search.answer, tried[-1][0]) == (None, RATE_MIN), "nothing lower is left to try"


@pytest.mark.parametrize("first", [3, 7, 12, 40, 800])
def test_no_rate_is_tried_twice_in_the_hope_that_it_is_held_once(first: float) -> None:
    """A rate may have one short and one full try."""
    for limit in (first / 2, first, first * 3):
        _, tried = searched(first, limit, limit / 4)
        assert len(tried) == len(set(tried))


def test_no_try_after_the_end() -> None:
    search, _ = searched(100, 100, 100)
    with pytest.raises(AssertionError, match="over"):
        search.told(held=True)


@pytest.mark.parametrize(
    ("p99_ms", "final", "held"), [(999.9, 1000, True), (1000.0, 1000, False), (10.0, 994, False), (None, 0, False)]
)
def test_held_is_all_final_and_p99_below_a_second(p99_ms: float | None, final: int, held: bool) -> None:
    summary: dict[str, Any] = {"latency_final": {"p99_ms": p99_ms}, "final_ok": final, "sent": {"good": 1000}}
    assert is_held(summary) is held
