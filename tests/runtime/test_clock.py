"""Time is an argument: what the daemon promises about it."""

from __future__ import annotations

from daemon.runtime.clock import Clock
from protocol import limits

MS = 1_000_000


class Hands:
    def __init__(self) -> None:
        self.monotonic = 5_000 * MS
        self.wall = 1_700_000_000_000 * MS

    def clock(self) -> Clock:
        return Clock(lambda: self.monotonic, lambda: self.wall)


def test_timers_never_go_back() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.monotonic -= 100 * MS
    assert clock.now().monotonic_ms == 5_000
    hands.monotonic += 150 * MS
    assert clock.now().monotonic_ms == 5_050


def test_a_jump_of_the_wall_clock_moves_no_timer_and_is_told_once() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.wall -= 3_600_000 * MS
    hands.monotonic += 10 * MS
    now = clock.now()
    assert (now.monotonic_ms, now.wall_ms) == (5_010, 1_700_000_000_000 - 3_600_000)
    assert clock.jump_ms() == -3_600_010
    assert clock.jump_ms() == 0


def test_drift_is_not_a_jump() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.wall += 900 * MS
    assert clock.jump_ms() == 0


def test_a_wild_wall_clock_stays_within_what_records_hold() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.wall = -5 * MS
    assert clock.now().wall_ms == 0
    hands.wall = 2**80
    assert clock.now().wall_ms == limits.U53_MAX
