"""Looks at regular times, all at the same moments.

A node that nobody uses does little but wake up, and waking costs more than looking: caches are cold, and the processor
has to be given back. So what looks every second or every five does so on the beat, and one wake serves all of it.
"""

from __future__ import annotations

import trio


async def next_beat(seconds: float) -> None:
    """Return when Trio's clock next shows a multiple of `seconds`, which is after so many at most."""
    now = trio.current_time()
    await trio.sleep_until(now - now % seconds + seconds)
