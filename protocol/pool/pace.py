"""How long what waits here will take, by what became final of it lately: so that a node says no in time (L-13, L-30).

The bounds of the pool are bounds of memory. A node that takes in twice what the network can do would fill them for a
minute before it refused anything, and everybody would wait for that minute. So what is ahead of a newcomer, divided by
the rate at which this node's own envelopes become final, is what a client is told: a second is fine, many are not.

The rate is one of a node that has much to do, so it is looked at only while much waits, and only once that has lasted
for a while: what a quiet network did before says nothing about what it can do. In an outage of a quiet network nothing
is known, and the pool's own bounds count; in one of a busy network the rate falls with every second.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

MUCH: Final = 256
"""Envelopes of this node that are not final: with fewer it is not busy, whatever they wait for."""
WINDOW_MS: Final = 4_000
SURE_MS: Final = 1_000
"""A shorter look tells no rate: blocks come in lumps."""
_BUCKET_MS: Final = 100
COUNTS_MAX: Final = WINDOW_MS // _BUCKET_MS + 3
"""Entries of `Pace.counts`."""


@dataclass(slots=True)
class Pace:
    """What became final, in the last while in which much waited."""

    counts: deque[tuple[int, int]] = field(default_factory=deque)
    """(ms, envelopes that became final within the 100 ms from then on), ascending; the first began the look."""

    def settled(self, now_ms: int, count: int, pending: int) -> None:
        """So many became final now, and so many more of this node's own are not."""
        if pending < MUCH:
            self.counts.clear()
            return
        if not self.counts:
            self.counts.append((now_ms, 0))  # what was done before is not of this look
            return
        since_ms, before = self.counts[-1]
        if before and now_ms - since_ms < _BUCKET_MS:
            self.counts[-1] = (since_ms, before + count)
        else:
            self.counts.append((now_ms, count))
        while len(self.counts) > 2 and now_ms - self.counts[1][0] > WINDOW_MS:
            self.counts.popleft()

    def wait_ms(self, now_ms: int, ahead: int) -> int | None:
        """How long `ahead` envelopes take until they are final; None if they are few, or nothing is known."""
        if ahead < MUCH or not self.counts:
            return None
        first_ms = self.counts[0][0]
        done = sum(count for _, count in self.counts) - self.counts[0][1]
        if not done or now_ms - first_ms < SURE_MS:
            return None
        return ahead * (now_ms - first_ms) // done
