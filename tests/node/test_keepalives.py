"""Whom a node says that it hears, and what it makes of what its peers say (L-14)."""

from __future__ import annotations

import pytest

from protocol.codec import decode, encode
from protocol.gossip import Neighbour
from protocol.node import interface as node_io
from protocol.node import talk
from protocol.wire import messages as wire
from tests.ledger.world import key
from tests.node.driver import Driver, one_of_four

PEER, OBSERVER = key(201).public, key(900).public


def met(*others: bytes) -> Driver:
    """A started node of four, with channels to these."""
    driver = one_of_four()
    driver.start()
    for other in others:
        driver.step(node_io.PeerUp(other))
    return driver


def place(driver: Driver, node: bytes) -> int:
    return driver.node.body.roster.signer_of[node]


def said(driver: Driver, hears: bytes, epoch: int = 1) -> Neighbour:
    """The peer says this; what is known of it then."""
    driver.step(node_io.Received(PEER, encode(wire.Keepalive(1, 0, 0, 0, hears, True, epoch))))
    return driver.node.body.neighbours.peers[PEER]


def test_validators_that_are_heard_are_named_by_their_places_and_observers_by_nothing() -> None:
    driver = met(PEER, key(203).public, OBSERVER)
    for other in (PEER, key(203).public, OBSERVER):
        driver.step(node_io.Received(other, encode(wire.BatchesWanted((bytes(32),)))))
    told = decode(wire.Keepalive, talk.keepalive(driver.node.body))
    places = wire.heard_places(told.hears, 4)
    assert places == sorted(place(driver, node) for node in (PEER, key(203).public))
    assert len(told.hears) == 1


def test_between_two_epochs_a_former_validator_has_no_place() -> None:
    """The set is the next one already, and the neighbours are those of the former."""
    driver = met(PEER, key(203).public)
    body = driver.node.body
    del body.roster.signer_of[PEER]
    told = decode(wire.Keepalive, talk.keepalive(body))
    assert wire.heard_places(told.hears, 4) == [place(driver, key(203).public)]


def test_a_peer_that_hears_the_origin_gets_nothing_of_it_passed_on() -> None:
    driver = met(PEER, key(202).public)
    origin, now_ms = key(202).public, driver.clock_ms
    neighbour = said(driver, wire.heard_bitmap([place(driver, origin)], 4))
    assert neighbour.hears == {origin}
    assert PEER not in driver.node.body.neighbours.lacking(origin, now_ms)
    said(driver, wire.heard_bitmap([], 4))
    assert PEER in driver.node.body.neighbours.lacking(origin, now_ms)


@pytest.mark.parametrize("hears", [b"\0\0", b"\x10", b"\xff"])
def test_a_bitmap_of_another_set_is_charged_and_changes_nothing(hears: bytes) -> None:
    """L-31: four validators are one byte, of which four bits are spare."""
    driver = met(PEER)
    before = said(driver, wire.heard_bitmap([0], 4)).hears
    assert not driver.notes("peer_charged")
    assert said(driver, hears).hears == before
    assert driver.notes("peer_charged")


def test_of_a_peer_in_the_epoch_beside_what_it_said_last_counts_on() -> None:
    """C-21: an epoch's first proposal goes on to a neighbour that does not hear its leader, and is a step behind."""
    driver = met(PEER)
    last = said(driver, wire.heard_bitmap([2], 4)).hears
    driver.run(100)
    for epoch in (2, 0):
        neighbour = said(driver, b"\1" * 3, epoch)
        assert neighbour.hears == last, "its bitmap is of another set"
        assert neighbour.hears_ms == driver.clock_ms
    assert not driver.notes("peer_charged")


@pytest.mark.parametrize(("epoch", "known"), [(2, False), (3, True), (9, True)])
def test_nothing_is_passed_on_to_who_is_in_an_epoch_farther_away(epoch: int, known: bool) -> None:
    """It has no use for this one's votes: who fetches blocks for an hour is not sent each of them by everyone."""
    driver = met(PEER)
    if known:
        said(driver, wire.heard_bitmap([], 4))
    assert said(driver, b"\0", epoch).hears == set(driver.node.body.roster.node_keys)
    for node in driver.node.body.roster.node_keys:
        assert PEER not in driver.node.body.neighbours.lacking(node, driver.clock_ms)
