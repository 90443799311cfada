"""Looks at regular times, all at the same moments.

A node that nobody uses does little but wake up, and waking costs more than looking: caches are cold, and the processor
has to be given back. So what looks every second or every few does so on the beat, and one wake serves all of it.
"""

from __future__ import annotations

from typing import Final

import trio

_ROUNDING_SECONDS: Final = 1e-6


async def next_beat(seconds: float) -> None:
    """Return when Trio's clock next shows a multiple of `seconds`, which is after so many at most."""
    now = trio.current_time()
    rest = seconds - now % seconds
    if rest < _ROUNDING_SECONDS:  # this is the beat, a hair early: what looks then has looked
        rest += seconds
    await trio.sleep_until(now + rest)
