"""Looks that share a wake (daemon/beats.py)."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from daemon.beats import next_beat


async def test_those_that_look_as_often_look_together(autojump_clock: MockClock) -> None:
    looked: list[tuple[float, int]] = []

    async def look(begins: float, seconds: float) -> None:
        await trio.sleep(begins)
        for _ in range(3):
            await next_beat(seconds)
            looked.append((trio.current_time(), int(seconds)))

    async with trio.open_nursery() as nursery:
        for begins, seconds in ((0.25, 1.0), (0.5, 1.0), (0.75, 2.0)):
            nursery.start_soon(look, begins, seconds)
    began = min(time for time, _ in looked) - 1
    assert autojump_clock.current_time() == began + 6
    assert sorted((time - began, seconds) for time, seconds in looked) == [
        (1, 1), (1, 1), (2, 1), (2, 1), (2, 2), (3, 1), (3, 1), (4, 2), (6, 2)
    ]  # fmt: skip
