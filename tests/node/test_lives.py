"""What a peer sees of two processes with one key (C-24)."""

from __future__ import annotations

from protocol.node.lives import ALIVE_RETRIES, LIVES_MAX, RIVAL_RETRIES, Lives
from protocol.wire.memory import LIFE_BYTES

RETRY = 100
FIRST, SECOND = b"1" * LIFE_BYTES, b"2" * LIFE_BYTES


def test_a_process_that_was_started_again_has_no_twin() -> None:
    lives = Lives(RETRY)
    lives.said(FIRST, 0)
    lives.gone(FIRST, 7, 50, 60, replaced=False)
    lives.said(SECOND, 100)
    assert lives.standing(SECOND, 100) == 0
    assert lives.view_of_others(SECOND) == 7
    assert lives.view_of_others(FIRST) == 0


def test_a_channel_that_was_alive_and_gave_way_makes_the_key_suspect_for_a_while() -> None:
    lives = Lives(RETRY)
    lives.said(FIRST, 0)
    lives.gone(FIRST, 1, 900, 1_000, replaced=True)
    lives.said(SECOND, 1_000)
    assert lives.standing(SECOND, 1_000 + RIVAL_RETRIES * RETRY) == 1
    assert lives.standing(SECOND, 1_001 + RIVAL_RETRIES * RETRY) == 0


def test_a_channel_that_was_silent_for_long_gives_way_without_suspicion() -> None:
    """A machine that lost power said no goodbye, and is back."""
    lives = Lives(RETRY)
    lives.said(FIRST, 0)
    lives.gone(FIRST, 1, 0, ALIVE_RETRIES * RETRY + 1, replaced=True)
    lives.said(SECOND, 500)
    assert lives.standing(SECOND, 500) == 0


def test_an_older_process_that_is_heard_again_makes_the_newer_one_a_twin() -> None:
    """The first one is not told, and goes on."""
    lives = Lives(RETRY)
    lives.said(FIRST, 0)
    lives.said(SECOND, 100)
    lives.said(FIRST, 200)
    assert lives.standing(SECOND, 10_000) == 2
    assert lives.standing(FIRST, 10_000) == 0


def test_lives_are_bounded() -> None:
    lives = Lives(RETRY)
    for count in range(50):
        lives.said(count.to_bytes(LIFE_BYTES, "big"), count)
        lives.gone(count.to_bytes(LIFE_BYTES, "big"), count, count, count, replaced=False)
    assert len(lives.heard_ms) == LIVES_MAX
    assert len(lives.views) <= LIVES_MAX
