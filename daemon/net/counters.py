"""What the network counts: plain numbers, for metrics and tests. Nothing is decided by them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Traffic:
    """Of one connection, and summed over all of them. Lists are by stream: consensus, batches, sync."""

    bytes_in: int = 0
    bytes_out: int = 0
    frames_in: int = 0
    frames_out: int = 0
    messages_in: list[int] = field(default_factory=lambda: [0, 0, 0])
    messages_out: list[int] = field(default_factory=lambda: [0, 0, 0])
    """Taken for sending."""
    messages_left_out: list[int] = field(default_factory=lambda: [0, 0, 0])
    """Not taken for sending: the peer's line was full."""

    def add(self, other: Traffic) -> None:
        """Add another's numbers."""
        for name in ("bytes_in", "bytes_out", "frames_in", "frames_out"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("messages_in", "messages_out", "messages_left_out"):
            both = zip(getattr(self, name), getattr(other, name), strict=True)
            setattr(self, name, [mine + theirs for mine, theirs in both])


@dataclass(slots=True)
class Counters:
    """Of the whole network since the start."""

    accepted: int = 0
    """Connections that somebody made to the peer port."""
    dialed: int = 0
    opened: int = 0
    """Channels that came about, of both kinds."""
    refused: Counter[str] = field(default_factory=Counter)
    """Openings that failed, by code; refusals at the door by code too."""
    foreign: Counter[str] = field(default_factory=Counter)
    """What came to the peer port and was no preamble, by what it looks like."""
    ended: Counter[str] = field(default_factory=Counter)
    """Open channels that ended, by code."""
    traffic: Traffic = field(default_factory=Traffic)
    """Of connections that have ended; `Network.traffic()` adds those that stand."""
