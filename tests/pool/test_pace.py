"""How long what waits will take: known only of a node that has much to do, and for a while."""

from __future__ import annotations

from protocol.pool.pace import COUNTS_MAX, MUCH, SURE_MS, Pace
from protocol.pool.pool import Pool
from tests.pool.test_pool import entry, nobody


def busy(pace: Pace, until_ms: int, step_ms: int = 50, count: int = 10) -> None:
    """So many final every so often, from 0 on, while much waits."""
    for now_ms in range(0, until_ms + 1, step_ms):
        pace.settled(now_ms, count, MUCH)


def test_a_rate_becomes_known_after_a_second_of_much_to_do() -> None:
    pace = Pace()
    busy(pace, SURE_MS - 50)
    assert pace.wait_ms(SURE_MS - 50, 1_000) is None
    busy(pace := Pace(), 2_000)
    assert pace.wait_ms(2_000, 1_000) == 5_000, "200 a second"
    assert pace.wait_ms(2_000, MUCH - 1) is None, "few are no load"


def test_the_first_block_counts_for_the_time_before() -> None:
    pace = Pace()
    pace.settled(0, 10_000, MUCH)
    pace.settled(2_000, 100, MUCH)
    assert pace.wait_ms(2_000, 1_000) == 20_000


def test_what_was_long_ago_is_forgotten_and_a_quiet_moment_ends_the_look() -> None:
    pace = Pace()
    busy(pace, 60_000)
    for now_ms in range(60_050, 70_001, 50):
        pace.settled(now_ms, 1, MUCH)
    assert 48_000 < (pace.wait_ms(70_000, 1_000) or 0) < 52_000, "20 a second, of late"
    assert len(pace.counts) <= COUNTS_MAX
    pace.settled(70_001, 1, MUCH - 1)
    assert pace.wait_ms(72_000, 1_000) is None


def test_nothing_final_is_no_rate_and_an_outage_makes_it_fall() -> None:
    pace = Pace()
    assert pace.wait_ms(10_000, 1_000) is None
    pace.settled(0, 0, MUCH)
    assert pace.wait_ms(10_000, 1_000) is None
    busy(pace := Pace(), 2_000)
    assert pace.wait_ms(20_000, 1_000) == 50_000


def test_who_has_nothing_here_waits_for_one_turn_of_the_others() -> None:
    """L-12: an account that posts a thousand delays its own thousand."""
    pool = Pool()
    for number in range(100):
        pool.admit(entry(number, account=1))
    pool.admit(entry(200, account=2))
    assert pool.ahead_of(entry(0, account=1).account) == 101
    assert pool.ahead_of(entry(0, account=2).account) == 4
    assert pool.ahead_of(entry(0, account=3).account) == 2
    pool.take(20 * 105, nobody)
    assert pool.ahead_of(entry(0, account=3).account) > 2, "what is in batches comes first"
