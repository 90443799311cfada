"""What was sent, what became of it, and how long that took: counted from outside, as a client sees it.

Final transactions come from the stream of events of one node, each once, in the order of the ledger; a node's own
refusals come with the answer to the post. Finality is measured for each transaction, from just before it is posted to
when its event arrives here: with queueing, batching, agreement, durable writes, execution, and the stream.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from daemon.client import Event
from protocol.errors import OK

RATE_SECONDS: Final = 1.0
"""The rate that is shown live is of the last second."""


@dataclass(slots=True)
class Span:
    """One part of the story. began, ended: monotonic seconds; ended at its last final transaction."""

    began: float
    ended: float = 0.0
    final: int = 0
    operations: int = 0
    latencies: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """From its beginning to its last final transaction."""
        return max(self.ended - self.began, 1e-9)

    @property
    def rate(self) -> float:
        """Final transactions a second."""
        return self.final / self.seconds


class Meter:
    """See the essay. final: codes of final transactions. refused: codes of what nodes refused. height: the newest."""

    def __init__(self) -> None:
        self.final: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.codes: dict[bytes, str] = {}
        self.height = 0
        self.position: int | None = None
        self.sent = 0
        self._sent_at: dict[bytes, float] = {}
        self._recent: deque[float] = deque()
        self.span = Span(time.monotonic())

    @property
    def transactions(self) -> int:
        """Final transactions seen."""
        return len(self.codes)

    def begin(self) -> Span:
        """A new part of the story."""
        self.span = Span(time.monotonic())
        return self.span

    def sending(self, transactions: Iterable[bytes]) -> None:
        """These are posted now; a transaction that is posted again keeps its first time."""
        now = time.monotonic()
        for transaction in transactions:
            if transaction not in self._sent_at:
                self._sent_at[transaction] = now
                self.sent += 1

    def refuse(self, code: str) -> None:
        """A node refused one."""
        self.refused[code] += 1

    def take(self, event: Event) -> None:
        """A transaction is final."""
        now = time.monotonic()
        assert event.transaction not in self.codes, "a transaction is final once"
        self.codes[event.transaction] = event.code
        self.final[event.code] += 1
        self.height = max(self.height, event.height)
        self.position = event.position
        self.span.final += 1
        self.span.operations += len(event.operations)
        self.span.ended = now
        sent = self._sent_at.pop(event.transaction, None)
        if sent is not None:
            self.span.latencies.append(now - sent)
        self._recent.append(now)

    def rate_now(self) -> int:
        """Final transactions in the last second."""
        since = time.monotonic() - RATE_SECONDS
        while self._recent and self._recent[0] < since:
            self._recent.popleft()
        return len(self._recent)

    def refusals(self) -> dict[str, int]:
        """All refusals by code, on the ledger and by nodes, most frequent first."""
        counted = Counter({code: count for code, count in self.final.items() if code != OK})
        counted.update(self.refused)
        return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def percentile_ms(seconds: Sequence[float], percent: int) -> int | None:
    """The value that so many percent do not pass (nearest rank), in whole ms, rounded up; None of nothing."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    rank = max(1, -(-len(ordered) * percent // 100))
    return math.ceil(ordered[rank - 1] * 1000)
