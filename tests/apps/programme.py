"""A programme of points for tests: the bank's, with an issuer, a recorder, a redeemer, and riders who hold points."""

from __future__ import annotations

from dataclasses import replace

from protocol.apps.points.amounts import grams_avoided, units_for
from protocol.apps.points.holdings import spendable
from protocol.apps.points.records import (
    SUPPLIES,
    TALLIES,
    AddMethodology,
    Expiry,
    Factors,
    Issue,
    OpenProgramme,
    RecordActivity,
    Roles,
    Supply,
    Tally,
    Terms,
    Transfer,
    programme_id,
)
from tests.apps.world import START_MS, World, account

DAY_MS = 24 * 3600 * 1000
TERMS = Terms("Green travel", "point", True, True, None, 100_000, 10**9)
EXPIRY = Expiry(10 * DAY_MS, DAY_MS)
ROLES = Roles((account("platform"),), (account("bikes"),), (account("shop"),))
FACTORS = Factors("m", 100_000, 192, 12, 3, 10)
"""180 mg a metre, 3 points for 10 g: 1,000 m avoid 180 g and bring 54 points."""
P = programme_id(account("bank"), "green")
Q = programme_id(account("bank"), "other")


def claim(number: int) -> bytes:
    """A claim key."""
    return number.to_bytes(32, "big")


def opened(terms: Terms = TERMS, roles: Roles = ROLES) -> OpenProgramme:
    """The programme P."""
    return OpenProgramme("green", terms, roles)


def activity(number: int, rider: str = "ann", quantity: int = 1000) -> RecordActivity:
    """An activity of the day before."""
    return RecordActivity(P, claim(number), account(rider), quantity, START_MS - DAY_MS, START_MS - 1, None)


def issue_for(number: int, quantity: int = 1000, factors: Factors = FACTORS, version: int = 1) -> Issue:
    """The right issue against an activity."""
    grams = grams_avoided(factors, quantity)
    return Issue(P, claim(number), version, grams, units_for(factors, grams))


def green_world(terms: Terms = TERMS) -> World:
    """P is open, with methodology 1."""
    world = World()
    world.run("bank", opened(terms))
    world.run("bank", AddMethodology(P, 1, FACTORS, "example factors of this test"))
    return world


def earn(world: World, number: int, rider: str = "ann", quantity: int = 1000) -> None:
    """A rider did something and got points for it."""
    world.run("bikes", activity(number, rider, quantity))
    world.run("platform", issue_for(number, quantity))


def rider_world(*, expiry: bool = False) -> World:
    """The same, and Ann has 54 points."""
    world = green_world(replace(TERMS, expiry=EXPIRY) if expiry else TERMS)
    earn(world, 1)
    return world


def points(world: World, rider: str) -> int:
    """What a rider can spend now."""
    return spendable(P, account(rider), world.time_ms, world.reader())


def supply(world: World) -> Supply:
    """P's."""
    found = world.reader().get(SUPPLIES, (P,))
    assert found is not None
    return found


def tally(world: World) -> Tally:
    """P's."""
    found = world.reader().get(TALLIES, (P,))
    assert found is not None
    return found


def passed_on(to: str, units: int) -> Transfer:
    """A transfer of P's points."""
    return Transfer(P, account(to), units, "")
