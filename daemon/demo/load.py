"""Everything that is sent at once: what, by whom, and what has to come of it.

The trips are cut in two. The first part goes in *bundles*, many trips signed once, as a platform does that records for
its users. The rest goes one trip an envelope, mixed with riders' transfers and redemptions: one signature at least for
each, checked by all four nodes. Some of it is wrong on purpose. What each envelope has to become is known beforehand,
whatever order the nodes put them in: so the end can say not only how many, but that every single one is right.

* Trips that the ledger cannot take together with others (too long, not over yet) are sent alone, never in a bundle.
* A trip whose claim stands above in the file already goes last, after the one that counts.
* Riders move points of bundled trips only, which are final by then; each gives away less than it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from daemon.client.sealing import Sealed
from daemon.demo.desk import Desk, with_bad_signature
from daemon.demo.mistakes import FORTUNE
from daemon.demo.people import People
from daemon.demo.programme import is_plain, trip_operations, units_of
from daemon.demo.trips import Trip
from protocol.apps.points.records import Redeem, Transfer
from protocol.errors import ALREADY_CLAIMED, BAD_SIGNATURE, INSUFFICIENT_BALANCE, OK

T = TypeVar("T")

BUNDLE_TRIPS: Final = 100
"""Trips of one bundle: 200 operations and one signature."""
BUNDLED_PART: Final = 5
"""One of so many trips goes in a bundle."""
TRANSFERS_EACH: Final = 10
REDEMPTIONS_EACH: Final = 4
"""Of each rider who has enough."""
TRANSFER_UNITS: Final = 1
REDEMPTION_UNITS: Final = 5
WRONG_EVERY: Final = 25
"""With every so many transfers goes an overdraft and a forged one; of so many bundled trips one is claimed again."""
SPARE_UNITS: Final = 10
"""What single steps of the story take from a rider besides."""
ENOUGH_UNITS: Final = TRANSFERS_EACH * TRANSFER_UNITS + REDEMPTIONS_EACH * REDEMPTION_UNITS + SPARE_UNITS
"""A rider who has at least so many points from bundled trips gives and redeems."""


@dataclass(frozen=True, slots=True)
class Task:
    """An envelope to send. kind: what it is, for people. code: what it has to become; "" where any refusal is right."""

    kind: str
    code: str
    sealed: Sealed


@dataclass(frozen=True, slots=True)
class Division:
    """The trips as they are sent, with their places in the file: rider and wording follow from the place."""

    bundled: tuple[tuple[int, Trip], ...]
    single: tuple[tuple[int, Trip], ...]
    doubtful: tuple[tuple[int, Trip], ...]
    repeated: tuple[tuple[int, Trip], ...]


def divide(trips: Sequence[Trip], now_ms: int) -> Division:
    """Which trip goes how; every trip is in exactly one part."""
    plain: list[tuple[int, Trip]] = []
    doubtful: list[tuple[int, Trip]] = []
    repeated: list[tuple[int, Trip]] = []
    claims: set[bytes] = set()
    for place, trip in enumerate(trips):
        if not is_plain(trip, now_ms):
            doubtful.append((place, trip))
        elif trip.claim in claims:
            repeated.append((place, trip))
        else:
            claims.add(trip.claim)
            plain.append((place, trip))
    cut = len(plain) // BUNDLED_PART
    return Division(tuple(plain[:cut]), tuple(plain[cut:]), tuple(doubtful), tuple(repeated))


def bundles(desk: Desk, people: People, programme: bytes, division: Division) -> list[Task]:
    """The bundled trips, `BUNDLE_TRIPS` an envelope, signed by the operator."""
    tasks = []
    for chunk in chunks(division.bundled, BUNDLE_TRIPS):
        operations = [
            operation
            for place, trip in chunk
            for operation in trip_operations(programme, trip, people.rider_of(place).name)
        ]
        tasks.append(Task("bundle of trips", OK, desk.sign(people.operator, operations)))
    return tasks


def singles(desk: Desk, people: People, programme: bytes, division: Division) -> list[Task]:
    """Everything that goes one by one, mixed: trips, transfers, redemptions, and what is wrong among them."""
    kinds = [
        _trips(desk, people, programme, division.single, OK, "trip"),
        _trips(desk, people, programme, division.doubtful, "", "doubtful trip"),
        list(_second_claims(desk, people, programme, division)),
        list(_transfers(desk, people, programme, division)),
        list(_redemptions(desk, people, programme, division)),
    ]
    return mixed(kinds)


def repeats(desk: Desk, people: People, programme: bytes, division: Division) -> list[Task]:
    """Trips that stand in the file twice, the second time."""
    return _trips(desk, people, programme, division.repeated, ALREADY_CLAIMED, "repeated trip")


def expected_units(people: People, division: Division) -> dict[bytes, int]:
    """Rider's account to points of the bundled trips."""
    units = {rider.name: 0 for rider in people.riders}
    for place, trip in division.bundled:
        units[people.rider_of(place).name] += units_of(trip)
    return units


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items, so many at a time."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def mixed(lists: Sequence[Sequence[T]]) -> list[T]:
    """All items, each list's in its order and spread evenly over the whole."""
    placed = [
        ((index + 1) / (len(items) + 1), number, item)
        for number, items in enumerate(lists)
        for index, item in enumerate(items)
    ]
    return [item for _, _, item in sorted(placed, key=lambda entry: entry[:2])]


def _trips(
    desk: Desk, people: People, programme: bytes, trips: Iterable[tuple[int, Trip]], code: str, kind: str
) -> list[Task]:
    return [
        Task(kind, code, desk.sign(people.operator, trip_operations(programme, trip, people.rider_of(place).name)))
        for place, trip in trips
    ]


def _second_claims(desk: Desk, people: People, programme: bytes, division: Division) -> Iterator[Task]:
    """Bundled trips, which are final by then, claimed again for the next rider."""
    for place, trip in division.bundled[::WRONG_EVERY]:
        operations = trip_operations(programme, trip, people.rider_of(place + 1).name)
        yield Task("second claim", ALREADY_CLAIMED, desk.sign(people.operator, operations))


def _transfers(desk: Desk, people: People, programme: bytes, division: Division) -> Iterator[Task]:
    units = expected_units(people, division)
    count = 0
    for turn in range(TRANSFERS_EACH):
        for number, rider in enumerate(people.riders):
            if units[rider.name] < ENOUGH_UNITS:
                continue
            friend = people.riders[(number + 1 + turn % (len(people.riders) - 1)) % len(people.riders)]
            good = desk.sign(rider, [Transfer(programme, friend.name, TRANSFER_UNITS, "")])
            yield Task("transfer", OK, good)
            if count % WRONG_EVERY == 0:
                overdraft = desk.sign(rider, [Transfer(programme, friend.name, FORTUNE, "")])
                yield Task("overdraft", INSUFFICIENT_BALANCE, overdraft)
                forged = desk.sign(rider, [Transfer(programme, friend.name, TRANSFER_UNITS, "forged")])
                yield Task("forged transfer", BAD_SIGNATURE, with_bad_signature(forged))
            count += 1


def _redemptions(desk: Desk, people: People, programme: bytes, division: Division) -> Iterator[Task]:
    """Signed by rider and shop."""
    units = expected_units(people, division)
    for turn in range(REDEMPTIONS_EACH):
        for number, rider in enumerate(people.riders):
            if units[rider.name] >= ENOUGH_UNITS:
                order = Redeem(programme, people.shop.name, f"order-{number}-{turn}", REDEMPTION_UNITS)
                yield Task("redemption", OK, desk.sign(rider, [order], consents=(people.shop,)))
