"""The canonical lines: one for each block, one for each refused thing, one for each note of the node.

A line has everything that one wants to know of its subject, so that nobody has to join lines: for a block its height,
how many transactions, how many of them failed or were skipped, bytes of the log, how long after its block time it was
executed here. Names and fields are stable: dashboards and alerts are built on them.

What can be provoked from outside (refusals, peers' faults) is limited: of each kind a few a minute, then one line that
says how many were left out (`limited`). Counters count all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from protocol import errors
from protocol.node.interface import BlockExecuted, Fate, Note, Outcome, Refusal


class Limiter(Protocol):
    """Keeps repetition short."""

    def allow(self, kind: str) -> int | None:
        """None to leave this one out, else how many of its kind were left out since the last that was let through."""
        ...


class Lines:
    """Writes the canonical lines and counts.

    limiter: asked before each line that somebody outside can provoke.
    wall_ms: the wall clock.
    """

    def __init__(self, limiter: Limiter, wall_ms: Callable[[], int]) -> None:
        self._limiter = limiter
        self._wall_ms = wall_ms
        self._log: Any = structlog.get_logger()
        self.counters: Counter[str] = Counter()

    def block(self, result: BlockExecuted, time_ms: int) -> None:
        """A block was executed here; `time_ms` is its block time."""
        kept = [outcome for outcome in result.outcomes if outcome.fate is Fate.FINAL]
        failed = Counter(outcome.code for outcome in kept if outcome.code != errors.OK)
        skipped = [outcome for outcome in result.outcomes if outcome.fate is Fate.SKIPPED]
        self.counters["blocks"] += 1
        self.counters["transactions"] += len(kept)
        self.counters["transactions_failed"] += failed.total()
        self.counters["transactions_skipped"] += len(skipped)
        executed = result.executed
        self._log.info(
            "block",
            height=executed.height,
            transactions=len(kept),
            failed=dict(sorted(failed.items())),
            skipped=len(skipped),
            log_size=executed.log_size,
            state_root=executed.state_root,
            delay_ms=self._wall_ms() - time_ms,
        )
        for outcome in skipped:
            self._skipped(executed.height, outcome)

    def _skipped(self, height: int, outcome: Outcome) -> None:
        self._limited("skipped", outcome.code, height=height, transaction=outcome.transaction, code=outcome.code)

    def refused(self, refusal: Refusal, source: str) -> None:
        """Something was refused; `source` is who brought it (`api`, or a peer's name)."""
        self.counters[f"refused_{refusal.code}"] += 1
        self._limited(
            "refused",
            refusal.code,
            code=refusal.code,
            words=refusal.words,
            transaction=refusal.transaction,
            source=source,
        )

    def note(self, note: Note) -> None:
        """Something that the node said."""
        self.counters[f"note_{note.name}"] += 1
        facts = {f"{name}_" if name in _TAKEN else name: value for name, value in note.facts.items()}
        self._limited(note.name, note.name, **facts)

    def _limited(self, event: str, kind: str, **facts: Any) -> None:
        left_out = self._limiter.allow(f"{event}/{kind}")
        if left_out is None:
            return
        if left_out:
            facts["left_out"] = left_out
        self._log.info(event, **facts)


_TAKEN = frozenset({"event", "level", "time", "left_out"})
