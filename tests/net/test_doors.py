"""Doors and budgets (L-31): one address does not take all places, and nothing is remembered without end."""

from __future__ import annotations

import pytest

from daemon import limits
from daemon.net.budget import Budget
from daemon.net.doors import Doors, Place, origin_of
from protocol import errors
from protocol.errors import Refused


def host(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def enter_all(doors: Doors, name: str, count: int) -> list[Place]:
    return [doors.enter(name, 0.0) for _ in range(count)]


def test_half_open_places_of_one_address_are_bounded() -> None:
    doors = Doors()
    places = enter_all(doors, "10.0.0.1", limits.NET_HALF_OPEN_PER_ADDRESS_MAX)
    with pytest.raises(Refused, match="half-open connections from one address") as refused:
        doors.enter("10.0.0.1", 0.0)
    assert refused.value.code == errors.TOO_MANY_CONNECTIONS
    doors.enter("10.0.0.2", 0.0).leave()
    places[0].proven()
    doors.enter("10.0.0.1", 0.0)


def test_half_open_places_in_all_are_bounded() -> None:
    doors = Doors(half_open_max=5)
    places = [doors.enter(host(number), 0.0) for number in range(5)]
    with pytest.raises(Refused, match="5 half-open"):
        doors.enter(host(9), 0.0)
    places[3].leave()
    assert doors.half_open == 4
    doors.enter(host(9), 0.0)


def test_proven_connections_go_on_to_count_for_their_address() -> None:
    doors = Doors(per_address_max=3)
    places = enter_all(doors, "10.0.0.1", 3)
    for place in places:
        place.proven()
    assert doors.half_open == 0
    with pytest.raises(Refused, match="3 connections from one address"):
        doors.enter("10.0.0.1", 0.0)
    places[1].leave()
    doors.enter("10.0.0.1", 0.0)


def test_a_place_is_left_once() -> None:
    doors = Doors()
    place = doors.enter("10.0.0.1", 0.0)
    for _ in range(3):
        place.proven()
        place.leave()
    assert doors.half_open == 0
    enter_all(doors, "10.0.0.1", limits.NET_HALF_OPEN_PER_ADDRESS_MAX)


def test_handshakes_of_one_address_past_its_budget_begin_later() -> None:
    doors = Doors()
    pauses = []
    for _ in range(limits.NET_HANDSHAKES_BURST + 20):
        place = doors.enter("10.0.0.1", 0.0)
        pauses.append(place.pause(0.0))
        place.leave()
    assert set(pauses[: limits.NET_HANDSHAKES_BURST]) == {0.0}
    assert pauses[-1] == pytest.approx(20 / limits.NET_HANDSHAKES_PER_SECOND)
    assert doors.enter("10.0.0.2", 0.0).pause(0.0) == 0.0


def test_addresses_are_forgotten_when_they_are_many_but_not_those_that_stand() -> None:
    doors = Doors()
    standing = doors.enter("192.0.2.1", 0.0)
    for number in range(5 * limits.NET_ADDRESSES_REMEMBERED_MAX):
        doors.enter(host(number), 0.0).leave()
        assert doors.addresses_remembered <= limits.NET_ADDRESSES_REMEMBERED_MAX
    enter_all(doors, "192.0.2.1", limits.NET_HALF_OPEN_PER_ADDRESS_MAX - 1)
    with pytest.raises(Refused):
        doors.enter("192.0.2.1", 0.0)
    standing.leave()
    doors.enter("192.0.2.1", 0.0)


@pytest.mark.parametrize(
    "one,two,same",
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("somewhere", "somewhere", True),
    ],
)
def test_an_ipv6_address_stands_for_its_64(one: str, two: str, same: bool) -> None:
    assert (origin_of(one) == origin_of(two)) == same


def test_a_budget_makes_wait_for_what_is_overdrawn_and_refills_to_its_burst() -> None:
    budget = Budget(10, 100, 0.0)
    assert budget.take(100, 0.0) == 0
    assert budget.take(50, 0.0) == 5
    assert not budget.full(14.9)
    assert budget.full(15)
    assert budget.take(100, 1_000.0) == 0
    assert budget.take(10, 1_000.0) == 1
