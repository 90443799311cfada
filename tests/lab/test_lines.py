"""Faults of lines that overlap: what they come to together, and that nobody heals another's cut."""

from __future__ import annotations

import pytest

from daemon.lab.lines import STALL_SECONDS, Lines, name_of
from daemon.lab.proxy import Proxy
from protocol.sim.network import LinkModel, Pairs, mesh, ring, star
from protocol.sim.scenarios import SlowLinks

MODEL = LinkModel(base_us=5_000, jitter_us=10_000, tail_per_mille=0, tail_us=0)


def lines(links: Pairs, *slow: SlowLinks, model: LinkModel = MODEL) -> Lines:
    return Lines(Proxy(seed=1), links, model, slow, 4)


def blocked(here: Lines) -> set[tuple[int, int]]:
    return {pair for pair in here.ways if here.condition(pair).blocked}


def test_ways_are_those_of_the_topology() -> None:
    assert len(lines(mesh(4)).ways) == 12
    assert set(lines(star(4)).ways) == {(0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3, 0)}
    assert lines(ring(4)).between([0], [2]) == [], "no link, nothing to cut"


def test_cuts_are_counted() -> None:
    here = lines(mesh(4))
    first = here.cut(here.between([0], [1, 2, 3]))
    second = here.cut(here.from_to([0, 1], [2, 3]))
    assert blocked(here) == {(0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3, 0), (1, 2), (1, 3)}
    first()
    assert blocked(here) == {(0, 2), (0, 3), (1, 2), (1, 3)}, "one way: 2 and 3 are still heard"
    second()
    assert blocked(here) == set()


def test_delays_add_up_and_end() -> None:
    here = lines(mesh(4), SlowLinks((3,), (), 120_000))
    assert here.condition((0, 1)).delay_seconds == pytest.approx(0.010)
    assert here.condition((3, 1)).delay_seconds == here.condition((1, 3)).delay_seconds == pytest.approx(0.130)
    ends = [here.delay(list(here.ways), 50_000), here.delay(here.between([3], [0]), 80_000)]
    assert here.condition((0, 3)).delay_seconds == pytest.approx(0.260)
    assert here.condition((0, 1)).delay_seconds == pytest.approx(0.060)
    for end in ends:
        end()
    assert here.condition((0, 3)).delay_seconds == pytest.approx(0.130)


def test_chances_are_of_a_stream() -> None:
    here = lines(mesh(2), model=LinkModel(base_us=0, jitter_us=0, tail_us=0, lose_per_mille=10))
    end = here.lose(40)
    corrupted = here.corrupt(2_000)
    now = here.condition((0, 1))
    assert now.stall_chance == pytest.approx(0.05)
    assert now.stall_seconds == STALL_SECONDS
    assert now.corrupt_chance == 1
    end()
    corrupted()
    assert here.condition((0, 1)).stall_chance == pytest.approx(0.01)
    tail = here.tail(4_000_000)
    assert 0 < here.condition((0, 1)).tail_seconds * 40 <= 4
    tail()
    assert here.condition((0, 1)).tail_seconds == 0


def test_the_proxy_is_told() -> None:
    proxy = Proxy(seed=1)
    here = Lines(proxy, mesh(3), MODEL, (), 3)
    heal = here.cut(here.from_to([2], [0]))
    assert proxy.direction(name_of(2), name_of(0)).condition.blocked
    assert not proxy.direction(name_of(0), name_of(2)).condition.blocked
    heal()
    assert not proxy.direction(name_of(2), name_of(0)).condition.blocked
    assert set(here.counts()) >= {"cut", "delayed", "stalled", "corrupted"}
