"""Each mistake is refused with its code, by whom it says, and nothing changes."""

from __future__ import annotations

import time

import pytest

from daemon.client import evidence, points
from daemon.demo import mistakes
from daemon.demo.data import DOCUMENTS, TRIPS, TRIPS_SYSTEM
from daemon.demo.documents import read_documents, statement_of
from daemon.demo.load import Task, bundles, divide
from daemon.demo.mistakes import Scene
from daemon.demo.programme import LABEL, LASTING_TERMS, opening
from daemon.demo.trips import read_trips
from protocol.ledger.tables import Table
from tests.demo.kit import Ledger


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    """A document recorded, trips claimed, an order redeemed."""
    people, desk = ledger.people, ledger.desk
    document = read_documents(DOCUMENTS)[0]
    sender = people.members[document.member]
    first = desk.sign(sender, [evidence.record_of(statement_of(document))])
    division = divide(read_trips(TRIPS, TRIPS_SYSTEM, 50).trips, time.time_ns() // 1_000_000)
    programme = points.programme_id(people.issuer.name, LABEL)
    rider = people.riders[0]
    redeem = points.Redeem(programme, people.shop.name, "order-first", 5)
    ledger.play_well([Task("evidence", "ok", first)])
    ledger.play_well([Task("programme", "ok", desk.sign(people.issuer, opening(people, LABEL, LASTING_TERMS)))])
    ledger.play_well(bundles(desk, people, programme, division))
    ledger.play_well([Task("redemption", "ok", desk.sign(rider, [redeem], consents=(people.shop,)))])
    return Scene(
        desk,
        people,
        programme,
        rider=rider,
        claimed=division.bundled[0][1],
        fresh=division.single[-1][1],
        document=document,
        first=first,
        first_sender=sender,
        redeemed="order-first",
    )


def applications_state(ledger: Ledger) -> dict[bytes, bytes]:
    return dict(ledger.world.tables.scan(Table.STATE, b"", limit=1_000_000))


def test_each_is_refused_as_it_says(ledger: Ledger, scene: Scene) -> None:
    """L-7, L-8, L-13: refused at the door or on the ledger, and nothing changed."""
    listed = [*mistakes.at_the_node(scene), *mistakes.on_the_ledger(scene)]
    before = applications_state(ledger)
    judged = ledger.play([Task(each.words, each.code, each.sealed) for each in listed])
    assert judged == [(each.by, each.code) for each in listed]
    assert applications_state(ledger) == before
    assert len({each.code for each in listed}) == len(listed) == 16


def test_without_points_nothing_is_redeemed_twice(scene: Scene) -> None:
    poor = Scene(**{name: getattr(scene, name) for name in Scene.__slots__} | {"redeemed": None})
    assert "already_redeemed" not in {each.code for each in mistakes.on_the_ledger(poor)}


def test_words_are_short_and_distinct(scene: Scene) -> None:
    words = [each.words for each in (*mistakes.at_the_node(scene), *mistakes.on_the_ledger(scene))]
    assert len(set(words)) == len(words)
    assert max(len(each) for each in words) <= 50
