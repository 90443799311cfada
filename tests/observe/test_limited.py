"""Repetition kept short: a readable log under garbage, and no memory without end."""

from __future__ import annotations

from daemon import limits
from daemon.observe.limited import WINDOW_SECONDS, Limited


def test_a_few_lines_of_a_kind_pass_each_minute_and_the_next_says_how_many_did_not() -> None:
    now = [0.0]
    limited = Limited(5, lambda: now[0])
    assert [limited.allow("x") for _ in range(1_000)] == [0] * 5 + [None] * 995
    now[0] = WINDOW_SECONDS - 0.001
    assert limited.allow("x") is None
    now[0] = WINDOW_SECONDS
    assert [limited.allow("x") for _ in range(6)] == [996, 0, 0, 0, 0, None]


def test_kinds_do_not_disturb_each_other() -> None:
    limited = Limited(1, lambda: 0.0)
    assert limited.allow("x") == 0
    assert limited.allow("x") is None
    assert limited.allow("y") == 0


def test_kinds_made_of_foreign_input_cost_no_memory_and_do_not_push_out_busy_ones() -> None:
    limited = Limited(1, lambda: 0.0)
    limited.allow("busy")
    for number in range(3 * limits.LOG_KINDS_MAX):
        limited.allow(f"kind {number}")
        assert limited.allow("busy") is None
    assert len(limited._kinds) == limits.LOG_KINDS_MAX
