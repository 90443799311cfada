"""Which of two channels stays (L-29), and pauses between dials: both ends decide alike, and nothing flaps."""

from __future__ import annotations

from itertools import permutations, product
from random import Random

import pytest

from daemon import limits
from daemon.net.dialing import Backoff
from daemon.net.opening import Remote
from daemon.net.standing import stays
from protocol.wire.channel import Side
from tests.net.kit import HIGH, LOW

FIRST_RUN, SECOND_RUN = bytes([1]) * 32, bytes([2]) * 32


def ends(dialer_is_low: bool, low_run: bytes = FIRST_RUN, high_run: bytes = FIRST_RUN) -> tuple[Remote, Remote]:
    """One channel as LOW and as HIGH sees it."""
    at_low = Remote(HIGH.public, high_run, Side.RESPONDER if dialer_is_low else Side.INITIATOR)
    at_high = Remote(LOW.public, low_run, Side.INITIATOR if dialer_is_low else Side.RESPONDER)
    return at_low, at_high


@pytest.mark.parametrize("order", list(permutations((True, False))))
def test_of_two_dialed_at_once_both_ends_keep_the_one_dialed_by_the_lower_key(order: tuple[bool, bool]) -> None:
    """In whatever order each end sees them."""
    (old_low, old_high), (new_low, new_high) = ends(order[0]), ends(order[1])
    kept_low, kept_high = stays(LOW.public, old_low, new_low), stays(HIGH.public, old_high, new_high)
    assert kept_low.side is Side.RESPONDER
    assert kept_high.side is Side.INITIATOR


@pytest.mark.parametrize("first,second", list(product((True, False), repeat=2)))
def test_a_process_started_again_is_let_in_at_once_whoever_dialed(first: bool, second: bool) -> None:
    """Also when the old connection still looks alive: its channel key, signed by its node key, says so."""
    old, _ = ends(first)
    new, _ = ends(second, high_run=SECOND_RUN)
    assert stays(LOW.public, old, new) is new


@pytest.mark.parametrize("by_low", [True, False])
def test_who_dials_again_has_given_up_the_old_one(by_low: bool) -> None:
    for own, at in ((LOW.public, 0), (HIGH.public, 1)):
        old, new = ends(by_low)[at], ends(by_low)[at]
        assert stays(own, old, new) is new


def test_what_stays_is_never_replaced_by_what_it_replaced() -> None:
    """No pair of channels of one run of both processes replaces each other in turn."""
    low, high = ends(True)[0], ends(False)[0]
    kept = stays(LOW.public, high, low)
    assert stays(LOW.public, kept, high) is kept


def test_pauses_grow_to_the_longest_with_jitter_and_begin_again() -> None:
    first, longest = limits.NET_DIAL_PAUSE_SECONDS
    backoff = Backoff(Random(1))
    pauses = [backoff.pause() for _ in range(200)]
    for number, pause in enumerate(pauses):
        middle = min(longest, first * 2**number)
        assert middle / 2 <= pause <= middle * 1.5
    assert len(set(pauses)) == 200
    assert sum(pauses[50:]) / 150 == pytest.approx(longest, rel=0.1)
    backoff.reset()
    assert backoff.pause() <= first * 1.5


def test_the_same_seed_gives_the_same_pauses() -> None:
    one, two = Backoff(Random(7)), Backoff(Random(7))
    assert [one.pause() for _ in range(9)] == [two.pause() for _ in range(9)]
