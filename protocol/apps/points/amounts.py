"""Arithmetic of points: what an activity brings, when points expire, how lots are spent. Pure, integers only.

Rounding is down at each step, for each activity alone: so cutting an activity in two never brings more, and a
programme never issues what its factors do not cover.

    grams = quantity * (baseline_mg - actual_mg) // 1000
    units = grams * points // grams_of_rate

**Lots.** Points of a programme with expiry stand in lots, one for each time of expiry. These times are multiples of
the step: issued at time t, points expire at the next multiple of `step_ms` at or after t + `lifetime_ms`. They are
spendable while block time is below. The oldest are spent first, and whoever receives points receives the lots.

Why a balance never has more than `LOTS_MAX` lots: points that are alive at time t expire after t and at or before
the first multiple at or after t + lifetime; these are at most lifetime // step + 2 multiples. Expired lots are put
together into one whenever a balance is written. So lifetime <= (LOTS_MAX - 3) * step suffices, and programmes with
longer ones are refused when they are opened.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from protocol import limits
from protocol.apps.points.records import Balance, Expiry, Factors, Lot
from protocol.errors import BAD_ARGUMENTS, INSUFFICIENT_BALANCE, Refused


class Portion(NamedTuple):
    """Points on their way from one place to another: those that never expire, and lots, ascending by time."""

    lasting: int
    lots: tuple[Lot, ...]


def grams_avoided(factors: Factors, quantity: int) -> int:
    """Grams of CO2 that an activity of this quantity avoids, rounded down."""
    return quantity * (factors.baseline_mg - factors.actual_mg) // 1000


def units_for(factors: Factors, grams: int) -> int:
    """Points for so many grams, rounded down."""
    return grams * factors.points // factors.grams


def check_factors(factors: Factors) -> None:
    """Raises Refused(bad_arguments) if the activity is said to cause more than it avoids."""
    if factors.actual_mg > factors.baseline_mg:
        raise Refused(BAD_ARGUMENTS, "factors: actual_mg is more than baseline_mg, nothing would be avoided")


def check_expiry(expiry: Expiry) -> None:
    """Raises Refused(bad_arguments) if a balance could need more than `LOTS_MAX` lots."""
    longest = (limits.LOTS_MAX - 3) * expiry.step_ms
    if expiry.lifetime_ms > longest:
        raise Refused(BAD_ARGUMENTS, f"expiry: with this step_ms, lifetime_ms is at most {longest}")


def expires_ms(expiry: Expiry, time_ms: int) -> int:
    """Block time from which points issued at `time_ms` are expired."""
    return -(-(time_ms + expiry.lifetime_ms) // expiry.step_ms) * expiry.step_ms


def new_portion(expiry: Expiry | None, units: int, time_ms: int) -> Portion:
    """Points as they are issued; `units` > 0."""
    if expiry is None:
        return Portion(units, ())
    return Portion(0, (Lot(expires_ms(expiry, time_ms), units),))


def units_of(balance: Balance | Portion | None) -> int:
    """All points in it, expired ones too."""
    if balance is None:
        return 0
    return balance.lasting + sum(lot.units for lot in balance.lots)


def spendable_units(balance: Balance | None, time_ms: int) -> int:
    """Points in it that have not expired."""
    if balance is None:
        return 0
    return balance.lasting + sum(lot.units for lot in balance.lots if lot.expires_ms > time_ms)


def take(balance: Balance | None, units: int, time_ms: int) -> tuple[Portion, Balance | None]:
    """Take `units` > 0 unexpired points out of a balance, the oldest first: what was taken, and what is left.

    Raises Refused(insufficient_balance).
    """
    spendable = spendable_units(balance, time_ms)
    if balance is None or spendable < units:
        raise Refused(INSUFFICIENT_BALANCE, f"{units} points are needed and {spendable} are there")
    if not balance.lots:
        return Portion(units, ()), made_balance(balance.lasting - units, ())
    wanted, taken, left = units, list[Lot](), list[Lot]()
    for lot in balance.lots:
        part = min(wanted, lot.units) if lot.expires_ms > time_ms else 0
        wanted -= part
        if part:
            taken.append(Lot(lot.expires_ms, part))
        if part < lot.units:
            left.append(Lot(lot.expires_ms, lot.units - part))
    assert wanted <= balance.lasting, "what is spendable can be taken"
    return Portion(wanted, tuple(taken)), made_balance(balance.lasting - wanted, _gathered(left, time_ms))


def add(balance: Balance | None, portion: Portion, time_ms: int) -> Balance:
    """A balance with a portion more; the portion is not empty."""
    lasting = portion.lasting if balance is None else balance.lasting + portion.lasting
    lots = () if balance is None else balance.lots
    if portion.lots:
        lots = _gathered(_merged(lots, portion.lots), time_ms)
    added = made_balance(lasting, lots)
    assert added is not None, "a portion is not empty"
    return added


def without_expired(balance: Balance | None, time_ms: int) -> tuple[int, Balance | None]:
    """How many points of a balance have expired, and what is left without them."""
    if balance is None:
        return 0, None
    live = tuple(lot for lot in balance.lots if lot.expires_ms > time_ms)
    return units_of(balance) - balance.lasting - sum(lot.units for lot in live), made_balance(balance.lasting, live)


def made_balance(lasting: int, lots: tuple[Lot, ...]) -> Balance | None:
    """A balance, or None if it would be empty."""
    return Balance(lasting, lots) if lasting or lots else None


def _merged(first: tuple[Lot, ...], second: tuple[Lot, ...]) -> list[Lot]:
    units: dict[int, int] = {}
    for lot in (*first, *second):
        units[lot.expires_ms] = units.get(lot.expires_ms, 0) + lot.units
    return [Lot(expires, units[expires]) for expires in sorted(units)]


def _gathered(lots: Iterable[Lot], time_ms: int) -> tuple[Lot, ...]:
    """Ascending lots with the expired ones put together into the last of them."""
    dead = [lot for lot in lots if lot.expires_ms <= time_ms]
    live = [lot for lot in lots if lot.expires_ms > time_ms]
    if dead:
        live.insert(0, Lot(dead[-1].expires_ms, sum(lot.units for lot in dead)))
    assert len(live) <= limits.LOTS_MAX, "the step of expiry bounds the lots"
    return tuple(live)
