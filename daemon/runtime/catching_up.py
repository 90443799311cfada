"""Block sync as people see it: how far, and how long still, in the log and for the API.

The node says which height it is after; the pace is that of the last minute (observe/pace.py). One line at most every
`TELL_SECONDS`, and none for what takes less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog
import trio

from daemon.beats import next_beat
from daemon.observe.pace import Pace, spoken
from protocol.node.setup import NodeStatus

LOOK_SECONDS: Final = 2.0
TELL_SECONDS: Final = 10.0


class CatchingUp:
    """See the essay. left_seconds: until the height that block sync is after; None while there is none, or no pace."""

    def __init__(self, status: Callable[[], NodeStatus]) -> None:
        self._status = status
        self._pace = Pace()
        self._told = 0.0
        self._log: Any = structlog.get_logger()
        self.left_seconds: int | None = None

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        self._told = trio.current_time()
        while True:
            await next_beat(LOOK_SECONDS)
            self.look(self._status(), trio.current_time())

    def look(self, status: NodeStatus, now: float) -> None:
        """Judge one snapshot of the node; `now` in seconds."""
        target, height = status.syncing_to_height, status.executed_height
        if target <= status.final_height and target <= height:
            self.left_seconds, self._told = None, now
            return
        left = self._pace.left(height, max(target, status.final_height), now)
        self.left_seconds = None if left is None else round(left)
        if now - self._told >= TELL_SECONDS:
            self._told = now
            words = f"block {height} of {target}" + ("" if left is None else f", about {spoken(left)} left")
            self._log.info("catching_up", height=height, target=target, words=words)
