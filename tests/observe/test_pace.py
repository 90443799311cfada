"""How long something will still take, and how the log says so for block sync."""

from __future__ import annotations

from dataclasses import replace

import structlog

from daemon.observe.pace import Pace, spoken
from daemon.runtime.catching_up import CatchingUp
from protocol.node.setup import NodeStatus


def test_time_left_is_at_the_pace_of_the_last_minute() -> None:
    pace = Pace()
    assert pace.left(0, 1_000, 0.0) is None, "nothing is known yet"
    assert pace.left(10, 1_000, 1.0) is None, "a second says nothing"
    assert pace.left(100, 1_000, 10.0) == 90.0
    for second in range(11, 200):
        pace.left(100 + (second - 10), 1_000, float(second))
    left = pace.left(290, 1_000, 200.0)
    assert left is not None
    assert 700 <= left <= 720, "one a second now, whatever it was at first"
    assert pace.left(290, 1_000, 400.0) is None, "it stands still"


def test_what_begins_anew_has_no_pace() -> None:
    pace = Pace()
    pace.left(500, 1_000, 0.0)
    pace.left(600, 1_000, 10.0)
    assert pace.left(5, 1_000, 11.0) is None


def test_durations_are_for_people() -> None:
    assert [spoken(s) for s in (3, 89, 600, 7_199, 9_000)] == ["3 s", "89 s", "10 min", "2 h 00 min", "2 h 30 min"]


def test_block_sync_is_told_with_what_is_left() -> None:
    status = NodeStatus(final_height=0, executed_height=0, syncing_to_height=1_000)
    catching_up = CatchingUp(lambda: status)
    with structlog.testing.capture_logs() as logs:
        for second in range(0, 40, 2):
            catching_up.look(replace(status, final_height=10 * second, executed_height=10 * second), float(second))
    assert catching_up.left_seconds is not None
    assert 60 <= catching_up.left_seconds <= 64, "620 blocks at ten a second"
    told = [line for line in logs if line["event"] == "catching_up"]
    assert 2 <= len(told) <= 4, "now and then"
    assert "block 300 of 1000, about 70 s left" in [line["words"] for line in told]
    catching_up.look(NodeStatus(final_height=1_000, executed_height=1_000), 41.0)
    assert catching_up.left_seconds is None
