"""Counting what became final, and percentiles."""

from __future__ import annotations

import pytest

from daemon.client import Event
from daemon.demo.meter import Meter, percentile_ms


def event(number: int, code: str = "ok", operations: int = 1) -> Event:
    names = (("points", "transfer"),) * operations
    return Event(number, number.to_bytes(32, "big"), 10 + number, 1_000, code, bytes(32), names, {})


def test_percentiles_are_of_the_nearest_rank_in_whole_milliseconds() -> None:
    assert percentile_ms([], 50) is None
    assert percentile_ms([0.0101], 50) == 11
    hundred = [number / 1000 for number in range(1, 101)]
    assert [percentile_ms(hundred, percent) for percent in (1, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile_ms([0.003, 0.001, 0.002], 50) == 2


def test_what_is_counted() -> None:
    meter = Meter()
    meter.sending([event(0).transaction, event(1).transaction])
    meter.sending([event(1).transaction, event(2).transaction])
    assert meter.sent == 3
    meter.take(event(0, operations=3))
    meter.take(event(1, "already_claimed"))
    meter.refuse("bad_signature")
    meter.refuse("bad_signature")
    assert (meter.transactions, meter.height, meter.position) == (2, 11, 1)
    assert dict(meter.final) == {"ok": 1, "already_claimed": 1}
    assert meter.refusals() == {"bad_signature": 2, "already_claimed": 1}
    assert list(meter.refusals()) == ["bad_signature", "already_claimed"], "most frequent first"
    assert (meter.span.final, meter.span.operations, len(meter.span.latencies)) == (2, 4, 2)
    assert meter.span.seconds > 0


def test_a_new_part_counts_anew_and_the_whole_goes_on() -> None:
    meter = Meter()
    meter.take(event(0))
    span = meter.begin()
    meter.take(event(1))
    assert (span.final, meter.transactions) == (1, 2)
    assert span.latencies == [], "nobody here sent it"


def test_a_transaction_that_is_final_twice_stops_it() -> None:
    """L-7: an envelope acts once."""
    meter = Meter()
    meter.take(event(0))
    with pytest.raises(AssertionError, match="final once"):
        meter.take(event(0))
