"""Lives: the processes that were heard with one validator's key, on channels to this node (C-24).

A process draws a *life* when it starts and says it on each of its channels. Two processes with one key take each
other's place on the channel again and again. From that a peer knows two things, which it tells whoever asks: that the
key is *contested* (a channel that was alive has just given way to another), and that a process has a *twin* (an older
one was heard again after it came). And it keeps in which view the others of that key were.

Deliberately absent: belief. Any peer can claim all of this; who asks counts the power behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

RIVAL_RETRIES: Final = 8
"""A key whose channels take each other's place is suspect for so many retry intervals after the last time."""
ALIVE_RETRIES: Final = 2
"""Who was heard within so many retry intervals was alive when its place was taken."""
LIVES_MAX: Final = 4
"""Remembered for each validator; the one heard longest ago is forgotten first."""


@dataclass(slots=True)
class Lives:
    """See the essay. Times are monotonic ms."""

    retry_interval_ms: int
    heard_ms: dict[bytes, int] = field(default_factory=dict)
    """Life -> when last heard, in the order of their coming."""
    views: dict[bytes, int] = field(default_factory=dict)
    """Life -> the highest view in which it was, when a channel to it ended."""
    twins: set[bytes] = field(default_factory=set)
    """Lives after which an older one was heard again."""
    contested_ms: int | None = None

    def said(self, life: bytes, now_ms: int) -> None:
        """A process said its life, first on a channel."""
        if life in self.heard_ms:
            order = list(self.heard_ms)
            self.twins.update(order[order.index(life) + 1 :])
        self.heard_ms[life] = now_ms
        if len(self.heard_ms) > LIVES_MAX:
            oldest = min(self.heard_ms, key=lambda one: self.heard_ms[one])
            del self.heard_ms[oldest]
            self.views.pop(oldest, None)
            self.twins.discard(oldest)

    def gone(self, life: bytes | None, view: int, heard_ms: int, now_ms: int, *, replaced: bool) -> None:
        """A channel ended: last heard then, in that view; `replaced` by another with the same key."""
        if life is not None:
            self.heard_ms[life] = heard_ms
            self.views[life] = max(self.views.get(life, 0), view)
        if replaced and now_ms - heard_ms <= ALIVE_RETRIES * self.retry_interval_ms:
            self.contested_ms = now_ms

    def view_of_others(self, life: bytes) -> int:
        """The highest view in which other processes with this key were seen to be."""
        return max((view for other, view in self.views.items() if other != life), default=0)

    def standing(self, life: bytes, now_ms: int) -> int:
        """As in `Recollection.standing`: 0, 1 contested, 2 a twin."""
        if life in self.twins:
            return 2
        contested = self.contested_ms is not None and now_ms - self.contested_ms <= RIVAL_RETRIES * (
            self.retry_interval_ms
        )
        return 1 if contested else 0
