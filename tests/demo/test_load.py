"""What is sent becomes what it has to, on the real ledger, in whatever order."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from daemon.client import points
from daemon.demo import load
from daemon.demo.data import TRIPS, TRIPS_SYSTEM
from daemon.demo.load import Division, Task, chunks, divide, mixed
from daemon.demo.people import ISSUER
from daemon.demo.programme import LABEL, LASTING_TERMS, grams_of, opening, units_of
from daemon.demo.trips import Trip, read_trips
from protocol.apps.points.audit import audit
from protocol.codec import decode
from protocol.ledger.state import StateReader
from tests.demo.kit import Ledger

NOW_MS = time.time_ns() // 1_000_000
FIRST = read_trips(TRIPS, TRIPS_SYSTEM, 150).trips
REAL = (*FIRST[:20], replace(FIRST[20], distance_m=0), *FIRST[21:149], replace(FIRST[149], distance_m=0))
LONG = replace(REAL[0], claim=b"L" * 32, distance_m=100_001)
RICH = replace(REAL[0], claim=b"R" * 32, distance_m=143_000)
GOING_ON = replace(REAL[0], claim=b"G" * 32, ended_ms=NOW_MS + 3_600_000)
TRIPS_SENT: tuple[Trip, ...] = (*REAL, LONG, GOING_ON, REAL[3], REAL[140], RICH, LONG)


@pytest.fixture
def ledger() -> Ledger:
    """With the programme opened."""
    made = Ledger()
    signed = made.desk.sign(made.people.issuer, opening(made.people, LABEL, LASTING_TERMS))
    made.play_well([Task("programme", "ok", signed)])
    return made


@pytest.fixture
def programme(ledger: Ledger) -> bytes:
    return points.programme_id(ledger.people.members[ISSUER].name, LABEL)


def test_every_trip_goes_one_way() -> None:
    division = divide(TRIPS_SENT, NOW_MS)
    parts = (division.bundled, division.single, division.doubtful, division.repeated)
    assert sorted(place for part in parts for place, _ in part) == list(range(len(TRIPS_SENT)))
    assert {trip.claim for _, trip in division.doubtful} == {LONG.claim, RICH.claim, GOING_ON.claim}
    assert [place for place, _ in division.repeated] == [152, 153]
    assert len(division.bundled) == 30


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_all_becomes_what_it_has_to_in_any_order(ledger: Ledger, programme: bytes, seed: int) -> None:
    """P-5, P-6, P-9, P-10, and L-8: what is wrong is refused alone."""
    division = divide(TRIPS_SENT, NOW_MS)
    people = ledger.people
    ledger.play_well(load.bundles(ledger.desk, people, programme, division))
    tasks = load.singles(ledger.desk, people, programme, division)
    kinds = Counter(task.kind for task in tasks)
    assert kinds["transfer"] == 10 * len(people.riders)
    assert kinds["redemption"] == 4 * len(people.riders)
    assert all(kinds[kind] for kind in ("overdraft", "forged transfer", "second claim", "doubtful trip", "trip"))
    Random(seed).shuffle(tasks)
    ledger.play_well(tasks, block=50)
    ledger.play_well(load.repeats(ledger.desk, people, programme, division))
    _check_books(ledger, programme, division, redeemed=kinds["redemption"] * load.REDEMPTION_UNITS)


def _check_books(ledger: Ledger, programme: bytes, division: Division, redeemed: int) -> None:
    (found,) = audit(ledger.world.tables)
    assert found.wrong == []
    counted = [trip for _, trip in (*division.bundled, *division.single)]
    supply = StateReader(ledger.world.tables).get(points.SUPPLIES, (programme,))
    tally = StateReader(ledger.world.tables).get(points.TALLIES, (programme,))
    assert supply is not None
    assert tally is not None
    assert (tally.activities, tally.zero) == (150, sum(trip.distance_m == 0 for trip in counted))
    assert tally.zero == 2
    assert supply.issued == sum(units_of(trip) for trip in counted)
    assert supply.grams == sum(grams_of(trip) for trip in counted)
    assert supply.redeemed == redeemed


def test_bundles_are_cut(ledger: Ledger, programme: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "BUNDLE_TRIPS", 12)
    tasks = load.bundles(ledger.desk, ledger.people, programme, divide(REAL, NOW_MS))
    assert [len(task.sealed.operations) for task in tasks] == [24, 24, 12]
    ledger.play_well(tasks)


def test_riders_without_points_send_nothing(ledger: Ledger, programme: bytes) -> None:
    """All trips end where they began: nobody has anything to give."""
    nowhere = tuple(replace(trip, distance_m=0) for trip in REAL)
    division = divide(nowhere, NOW_MS)
    tasks = load.singles(ledger.desk, ledger.people, programme, division)
    assert {task.kind for task in tasks} == {"trip", "second claim"}


def test_a_rider_never_gives_more_than_is_there() -> None:
    """Whatever is received comes on top: so the order of transfers cannot matter."""
    given = load.TRANSFERS_EACH * load.TRANSFER_UNITS + load.REDEMPTIONS_EACH * load.REDEMPTION_UNITS
    assert given + load.SPARE_UNITS <= load.ENOUGH_UNITS


@pytest.mark.parametrize("riders", [2, 3, 11])
def test_nobody_gives_to_themselves(riders: int) -> None:
    ledger = Ledger(riders)
    tasks = load.singles(ledger.desk, ledger.people, bytes(16), divide(REAL, NOW_MS))
    for task in tasks:
        if task.kind == "transfer":
            given = decode(points.Transfer, task.sealed.operations[0].arguments)
            assert given.to != task.sealed.account


def test_mixing_keeps_order_and_loses_nothing() -> None:
    assert mixed([["a", "b", "c"], [], ["1"]]) == ["a", "b", "1", "c"]
    assert list(chunks(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(chunks([], 2)) == []
