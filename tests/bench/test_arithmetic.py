"""Percentiles, due times of an open loop, series, histogram: on numbers worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.bench.arithmetic import (
    bucket_width,
    dealt,
    distribution,
    due_times,
    growth_marks,
    histogram,
    longest_gap,
    percentile,
    requests_within,
    series,
)

LATENCIES = st.lists(st.floats(min_value=0.0001, max_value=100), min_size=1, max_size=200)


def test_percentiles_are_of_the_nearest_rank() -> None:
    hundred = [float(number) for number in range(1, 101)]
    assert [percentile(hundred, percent) for percent in (1, 50, 90, 99, 100)] == [1, 50, 90, 99, 100]
    assert percentile([7.0], 1) == percentile([7.0], 100) == 7.0
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0
    assert percentile([1.0, 2.0], 50) == 1.0


@pytest.mark.parametrize("percent", [0, -1, 101])
def test_a_percentage_is_one(percent: float) -> None:
    with pytest.raises(AssertionError, match="a percentage"):
        percentile([1.0], percent)


@given(LATENCIES, st.sampled_from([1, 50, 90, 99, 100]))
def test_so_many_percent_do_not_pass_a_percentile(values: list[float], percent: int) -> None:
    ordered = sorted(values)
    found = percentile(ordered, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_a_distribution_is_in_milliseconds_and_of_nothing_has_no_numbers() -> None:
    told = distribution([0.0101, 0.020, 0.030])
    assert (told.count, told.p50_ms, told.p99_ms, told.max_ms, told.mean_ms) == (3, 20.0, 30.0, 30.0, 20.0)
    nothing = distribution([])
    assert nothing.as_json() == {
        "count": 0, "p50_ms": None, "p90_ms": None, "p99_ms": None, "max_ms": None, "mean_ms": None
    }  # fmt: skip


def test_due_times_are_even_and_do_not_depend_on_anything_that_happens() -> None:
    assert due_times(4, 1, 100) == pytest.approx([0.0, 0.01, 0.02, 0.03])
    assert due_times(3, 50, 1000) == [0.0, 0.05, 0.1]
    assert due_times(0, 1, 100) == []


def test_a_burst_is_the_last_of_every_five_seconds() -> None:
    due = due_times(requests_within(10, 1, 10, burst=5), 1, 10, burst=5)
    assert len(due) == 10 * 10 + 2 * 4 * 10
    by_second = [sum(second <= at < second + 1 for at in due) for second in range(10)]
    assert by_second == [10, 10, 10, 10, 50] * 2
    assert due == sorted(due)


@given(st.floats(1, 60), st.integers(1, 50), st.floats(1, 5_000), st.floats(1, 10))
def test_what_is_due_in_a_time_is_due_in_it(seconds: float, each: int, rate: float, burst: float) -> None:
    count = requests_within(seconds, each, rate, burst)
    due = due_times(count, each, rate, burst)
    assert len(due) == count >= 1
    assert due[-1] <= seconds + each / rate + 1e-6, "at most one request late"


def test_costs_are_compared_by_tens_from_ten_thousand_on() -> None:
    assert growth_marks(1_000_000) == [10_000, 100_000, 1_000_000]
    assert growth_marks(50_000) == [10_000, 50_000]
    assert growth_marks(10_000) == [5_000, 10_000]
    assert growth_marks(400) == [200, 400]
    assert growth_marks(1) == [1]


@given(st.integers(0, 300), st.integers(1, 5))
def test_generators_share_all_requests_and_each_keeps_an_even_pace(requests: int, generators: int) -> None:
    shares = [dealt(requests, index, generators) for index in range(generators)]
    assert sorted(request for share in shares for request in share) == list(range(requests))
    assert {later - earlier for share in shares for earlier, later in pairwise(share)} <= {generators}


def test_a_series_holds_each_point_in_its_bucket() -> None:
    buckets = series([(0.0, 0.010), (0.49, 0.030), (0.5, 0.020), (9.0, 1.0), (-1.0, 1.0)], 1.0, 0.5)
    assert [(bucket.at_s, bucket.count, bucket.max_ms) for bucket in buckets] == [(0.0, 2, 30.0), (0.5, 1, 20.0)]
    assert series([], 0.4, 0.5)[0].p50_ms is None


@pytest.mark.parametrize(("seconds", "width"), [(2, 0.1), (6, 0.1), (30, 0.5), (60, 1.0), (3600, 60.0)])
def test_a_run_has_sixty_buckets_at_most(seconds: float, width: float) -> None:
    assert bucket_width(seconds) == width
    assert seconds / width <= 60


@given(LATENCIES)
def test_a_histogram_counts_everything_below_its_upper_edge(values: list[float]) -> None:
    bins = histogram(values)
    assert sum(count for _, count in bins) == len(values)
    assert [edge for edge, _ in bins] == sorted({edge for edge, _ in bins})
    assert bins[-1][0] >= max(values) * 1000 * 0.999
    for edge, _ in bins:
        below = sum(count for each, count in bins if each <= edge)
        assert below >= sum(value * 1000 < edge * 0.999 for value in values)


def test_the_longest_gap_counts_both_ends() -> None:
    assert longest_gap([1.0, 2.0, 2.5], 0.0, 3.0) == 1.0
    assert longest_gap([1.0, 2.0], 0.0, 5.0) == 3.0
    assert longest_gap([], 0.0, 4.0) == 4.0
    assert longest_gap([9.0, -1.0], 0.0, 4.0) == 4.0, "what is outside does not count"
    assert math.isclose(longest_gap([0.25 * n for n in range(5)], 0.0, 1.0), 0.25)
