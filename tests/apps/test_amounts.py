"""Arithmetic of points: what is taken is what was there, and lots stay few."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.apps.points.amounts import (
    add,
    check_expiry,
    expires_ms,
    grams_avoided,
    new_portion,
    spendable_units,
    take,
    units_for,
    units_of,
    without_expired,
)
from protocol.apps.points.records import Balance, Expiry, Factors, Lot
from protocol.codec import decode, encode
from protocol.errors import Refused

FACTOR = st.integers(0, limits.FACTOR_MAX)
RATE = st.integers(1, limits.FACTOR_MAX)
QUANTITY = st.integers(0, limits.QUANTITY_MAX // 2)


@given(QUANTITY, QUANTITY, FACTOR, FACTOR, RATE, RATE)
def test_cutting_an_activity_never_brings_more(a: int, b: int, one: int, other: int, points: int, grams: int) -> None:
    factors = Factors("m", limits.QUANTITY_MAX, max(one, other), min(one, other), points, grams)

    def units(quantity: int) -> int:
        return units_for(factors, grams_avoided(factors, quantity))

    assert units(a) + units(b) <= units(a + b)
    assert units(a) <= a * (factors.baseline_mg - factors.actual_mg) * points / (1000 * grams) * 1.000001 + 1
    assert grams_avoided(factors, a) <= limits.U63_MAX, "grams fit their field whatever the factors"


@given(st.integers(0, limits.U53_MAX), st.integers(1, limits.LIFETIME_MS_MAX), st.integers(1, limits.LIFETIME_MS_MAX))
def test_expiry_is_the_next_multiple_of_the_step(now: int, lifetime: int, step: int) -> None:
    ends = expires_ms(Expiry(lifetime, step), now)
    assert ends % step == 0
    assert now + lifetime <= ends < now + lifetime + step
    assert ends <= limits.U63_MAX


@given(
    st.integers(1, 1000),
    st.data(),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 9)), max_size=60),
)
def test_lots_never_pass_their_bound(step: int, data: st.DataObject, issues: list[tuple[int, int]]) -> None:
    """The argument in the module's essay, tried: the longest lifetime allowed, issues at any times, nobody expires."""
    expiry = Expiry(data.draw(st.integers(1, (limits.LOTS_MAX - 3) * step)), step)
    check_expiry(expiry)
    now, balance, total = 0, None, 0
    for wait, units in issues:
        now += wait
        balance = add(balance, new_portion(expiry, units, now), now)
        total += units
        assert len(balance.lots) <= limits.LOTS_MAX
        assert decode(Balance, encode(balance)) == balance
    assert units_of(balance) == total
    gone, left = without_expired(balance, now)
    assert gone + units_of(left) == total
    assert spendable_units(left, now) == units_of(left) == spendable_units(balance, now)


@given(
    st.integers(0, 20),
    st.dictionaries(st.integers(1, 30), st.integers(1, 20), max_size=10),
    st.integers(1, 200),
    st.integers(0, 31),
)
def test_taking_loses_nothing_and_takes_the_oldest(lasting: int, lots: dict[int, int], units: int, now: int) -> None:
    balance = Balance(lasting, tuple(Lot(at, lots[at]) for at in sorted(lots)))
    before = balance if units_of(balance) else None
    can = spendable_units(before, now)
    if units > can:
        with pytest.raises(Refused) as caught:
            take(before, units, now)
        assert caught.value.code == "insufficient_balance"
        return
    portion, left = take(before, units, now)
    assert units_of(portion) == units
    assert all(lot.expires_ms > now for lot in portion.lots)
    assert units_of(left) + units == units_of(before)
    assert spendable_units(left, now) == can - units
    live = [lot.expires_ms for lot in (left.lots if left else ()) if lot.expires_ms > now]
    if live and portion.lots:
        assert portion.lots[-1].expires_ms <= live[0], "the oldest go first"
    if portion.lasting:
        assert not live, "what lasts goes last"
    back = add(left, portion, now)
    assert (units_of(back), spendable_units(back, now)) == (units_of(before), can)
