"""The canonical lines: one for each block, one for each refused thing, one for each note of the node.

A line has everything that one wants to know of its subject, so that nobody has to join lines: for a block its height,
how many transactions, how many of them failed or were skipped, bytes of the log, how long after its block time it was
executed here. Names and fields are stable: dashboards and alerts are built on them.

So what the node notes when a block becomes final is kept until its results are there, and told with them.

What can be provoked from outside (refusals, peers' faults) is limited: of each kind a few a minute, then one line that
says how many were left out (`limited`). Counters count all of them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import structlog

from protocol import errors
from protocol.node.interface import BlockExecuted, Fate, Note, Outcome, Refusal

FINAL_REMEMBERED: Final = 1_024
"""Blocks that are final and not executed; of older ones the line says less."""


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
        self._final: dict[int, dict[str, Any]] = {}
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
        final = self._final.pop(executed.height, {})
        self._log.info(
            "block",
            height=executed.height,
            transactions=len(kept),
            failed=dict(sorted(failed.items())),
            skipped=len(skipped),
            log_size=executed.log_size,
            state_root=executed.state_root,
            batches=final.get("batches"),
            hash=final.get("hash"),
            proposer=final.get("proposer"),
            delay_ms=self._wall_ms() - time_ms,
        )
        for outcome in skipped:
            self._skipped(executed.height, outcome)

    def _skipped(self, height: int, outcome: Outcome) -> None:
        self._limited("skipped", outcome.code, height=height, transaction=outcome.transaction, code=outcome.code)

    def refused(self, refusal: Refusal, source: str, count: int = 1) -> None:
        """Something was refused, `count` of them alike; `source` is who brought it (`api`, or a peer's name)."""
        self.counters[f"refused_{refusal.code}"] += count
        self._limited(
            "refused",
            refusal.code,
            code=refusal.code,
            words=refusal.words,
            count=count,
            source=source,
        )

    def note(self, note: Note) -> None:
        """Something that the node said."""
        self.counters[f"note_{note.name}"] += 1
        if note.name == "block_final":
            self._remember(note.facts)
        elif note.name == "envelope_refused":
            code = str(note.facts["code"])
            self.counters[f"refused_{code}"] += 1
            self._limited("refused", code, **note.facts)
        else:
            facts = {f"{name}_" if name in _TAKEN else name: value for name, value in note.facts.items()}
            self._limited(note.name, note.name, **facts)

    def _remember(self, facts: Mapping[str, Any]) -> None:
        self._final[int(facts["height"])] = dict(facts)
        if len(self._final) > FINAL_REMEMBERED:
            del self._final[next(iter(self._final))]

    def _limited(self, event: str, kind: str, **facts: Any) -> None:
        left_out = self._limiter.allow(f"{event}/{kind}")
        if left_out is None:
            return
        if left_out:
            facts["left_out"] = left_out
        self._log.log(LEVELS.get(event, logging.INFO), event, **facts)


LEVELS: Final[Mapping[str, int]] = {
    "amnesiac": logging.ERROR,
    "equivocation": logging.ERROR,
    "memory_restored": logging.WARNING,
    "memory_known": logging.WARNING,
    "proposal_invalid": logging.WARNING,
}
"""Notes that somebody should look at: a validator that cannot vote, and validators that lie or compute otherwise."""
_TAKEN = frozenset({"event", "level", "time", "left_out"})
