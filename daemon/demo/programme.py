"""The green-travel programme: the city gives points for trips by bicycle.

The factors are **examples** and no study's: a trip that avoids a car avoids some grams of CO2 a kilometre. They are
integers in milligrams a metre; the ledger computes grams and points from them itself, rounds down, and refuses whatever
else is stated. A second, small programme has points that expire after a second, to show expiry.
"""

from __future__ import annotations

from typing import Final

from daemon.demo.people import People
from daemon.demo.trips import Trip
from protocol.apps.points.amounts import grams_avoided, units_for
from protocol.apps.points.records import (
    AddMethodology,
    Expiry,
    Factors,
    Issue,
    OpenProgramme,
    RecordActivity,
    Roles,
    Terms,
    programme_id,
)

LABEL: Final = "green-travel"
BRIEF_LABEL: Final = "green-travel-weekend"
METHODOLOGY: Final = 1
FACTORS: Final = Factors(quantity_unit="m", quantity_max=100_000, baseline_mg=150, actual_mg=10, points=1, grams=10)
NOTE: Final = "example factors, not from a study: 150 g/km by car, 10 g/km by shared bicycle"
LASTING_TERMS: Final = Terms(
    name="Green travel",
    unit="point",
    transferable=True,
    redeemer_consents=True,
    expiry=None,
    claim_units_max=2_000,
    supply_max=1_000_000_000,
)
BRIEF_TERMS: Final = Terms(
    name="Green travel weekend",
    unit="weekend point",
    transferable=True,
    redeemer_consents=False,
    expiry=Expiry(lifetime_ms=1_000, step_ms=1_000),
    claim_units_max=2_000,
    supply_max=1_000_000,
)


def opening(people: People, label: str, terms: Terms) -> list[OpenProgramme | AddMethodology]:
    """Open a programme and give it its methodology, in one envelope."""
    roles = Roles(issuers=(people.operator.name,), recorders=(), redeemers=(people.shop.name,))
    programme = programme_id(people.issuer.name, label)
    return [OpenProgramme(label, terms, roles), AddMethodology(programme, METHODOLOGY, FACTORS, NOTE)]


def grams_of(trip: Trip) -> int:
    """Grams of CO2 that the methodology gives for a trip."""
    return grams_avoided(FACTORS, trip.distance_m)


def units_of(trip: Trip) -> int:
    """Points that the methodology gives for a trip."""
    return units_for(FACTORS, grams_of(trip))


def is_plain(trip: Trip, now_ms: int) -> bool:
    """Whether the ledger will take the trip if its claim is new: it is over, and not too long.

    Others are sent alone: in one envelope with others a refusal would take them all with it (L-8).
    """
    minute_ms = 60_000
    fits = trip.distance_m <= FACTORS.quantity_max and units_of(trip) <= LASTING_TERMS.claim_units_max
    return fits and trip.ended_ms < now_ms - minute_ms


def activity(programme: bytes, trip: Trip, rider: bytes) -> RecordActivity:
    """The trip as an activity of the rider's."""
    return RecordActivity(programme, trip.claim, rider, trip.distance_m, trip.started_ms, trip.ended_ms, None)


def trip_operations(programme: bytes, trip: Trip, rider: bytes, *, more_units: int = 0) -> list[RecordActivity | Issue]:
    """Record a trip and issue its points; both or none. more_units: state so many more than the methodology gives."""
    issue = Issue(programme, trip.claim, METHODOLOGY, grams_of(trip), units_of(trip) + more_units)
    return [activity(programme, trip, rider), issue]
