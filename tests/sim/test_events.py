"""Time in the simulator."""

from __future__ import annotations

import pytest

from protocol.sim.events import Schedule, chance, stream


def test_events_come_by_time_then_in_the_order_in_which_they_were_planned() -> None:
    schedule, seen = Schedule(), list[str]()
    for time_us, name in ((5, "c"), (1, "a"), (5, "d"), (2, "b")):
        schedule.at(time_us, seen.append, name)
    schedule.run(100)
    assert seen == ["a", "b", "c", "d"]
    assert schedule.now_us == 100


def test_what_is_planned_during_an_event_comes_after_it_and_not_beyond_the_end() -> None:
    schedule, seen = Schedule(), list[int]()

    def again() -> None:
        seen.append(schedule.now_us)
        schedule.after(10, again)

    schedule.at(0, again)
    schedule.run(35)
    assert seen == [0, 10, 20, 30]


def test_a_stopped_schedule_keeps_the_time_of_its_last_event() -> None:
    schedule = Schedule()
    schedule.at(7, schedule.stop)
    schedule.at(8, pytest.fail, "carried out after stop")
    schedule.run(100)
    assert schedule.now_us == 7


def test_nothing_is_planned_for_the_past() -> None:
    schedule = Schedule()
    schedule.run(10)
    with pytest.raises(AssertionError):
        schedule.at(9, print)


def test_streams_are_repeatable_and_independent() -> None:
    first = [stream(1, "disk").randrange(1000) for _ in range(3)]
    assert first == [stream(1, "disk").randrange(1000)] * 3
    assert stream(1, "disk").random() != stream(2, "disk").random()
    assert stream(1, "disk").random() != stream(1, "network").random()


def test_a_chance_of_nothing_draws_nothing() -> None:
    generator, other = stream(1, "x"), stream(1, "x")
    assert not chance(generator, 0)
    assert generator.random() == other.random()
    assert chance(generator, 1000)
