"""What an audit finds: differences, each with its height, record, field and both values, and the report of all.

A difference is *of* one of three things. `history`: the blocks themselves do not hold (damage, a bad signature, no
quorum, other results than a header states). `state`: the node's own state store holds something else than the history
executes to. `against`: what it was compared with is another. The history is the heaviest: nothing else counts if it
does not hold.

Differences follow one another: where one record differs, roots above it do too. So only the first ones are kept, in the
order in which they were met, which is by height within one thing; the others are counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from protocol.ledger.records import Executed

KEPT: Final = 20
"""Differences that a report names for each thing; past it they are counted."""
VALUE_SHOWN: Final = 160
"""Characters of a value in words; `--json` has it whole."""


class Of(Enum):
    """What a difference is of."""

    HISTORY = "history"
    STATE = "state"
    AGAINST = "against"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it must be.

    height: of the block it belongs to. where: a file, a directory, a URL. record, field: which, as the formats name
    them; field is empty if it is the record as a whole. expected: what follows from genesis and the blocks below, or
    what the audited history has; found: what stands there. words: why it matters.
    """

    of: Of
    height: int
    where: str
    record: str
    field: str
    expected: str
    found: str
    words: str

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "of": self.of.value,
            "height": self.height,
            "where": self.where,
            "record": self.record,
            "field": self.field or None,
            "expected": self.expected,
            "found": self.found,
            "words": self.words,
        }

    def __str__(self) -> str:
        what = self.record if not self.field else f"{self.record}, {self.field}"
        return (
            f"height {self.height}, {what}: expected {_short(self.expected)}, found {_short(self.found)}: {self.words}"
        )


def _short(value: str) -> str:
    return value if len(value) <= VALUE_SHOWN else f"{value[: VALUE_SHOWN - 1]}…"


@dataclass(slots=True)
class Compared:
    """One thing that the history was compared with: up to which height, and in words what could not be compared."""

    of: Of
    where: str
    what: str
    height: int = 0
    records: int = 0
    whole: bool = False
    """Whether everything that it holds was compared, its current values too."""
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "of": self.of.value,
            "where": self.where,
            "what": self.what,
            "height": self.height,
            "records": self.records,
            "whole": self.whole,
            "notes": self.notes,
        }


@dataclass(slots=True)
class Report:
    """What came out.

    executed: the results at the last height that could be executed. last_height: the last block that was read.
    certified_height: the last block with a good certificate of its own: up to there this disk alone proves that all is
    final. epochs: how many began. codes: final transactions by the code of their receipt. skipped: envelopes in batches
    that left nothing, by code (L-7). counts: of differences, by what they are of; `differences` holds the first ones.
    """

    network: str
    network_id: bytes
    executed: Executed
    last_height: int = 0
    beginning: int = 0
    """The height that the network begins at: its first block stands one above."""
    certified_height: int = 0
    certificates: int = 0
    epochs: int = 1
    batches: int = 0
    signatures: int = 0
    read_bytes: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    compared: list[Compared] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    counts: Counter[Of] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def differs(self, difference: Difference) -> None:
        """Keep it, or count it."""
        self.counts[difference.of] += 1
        if self.counts[difference.of] <= KEPT:
            self.differences.append(difference)

    @property
    def holds(self) -> bool:
        """Whether the history holds, whatever it was compared with."""
        return not self.counts[Of.HISTORY]

    @property
    def first(self) -> Difference | None:
        """The first difference: of the lowest height, of the history before others."""
        order = list(Of)
        return min(self.differences, key=lambda one: (one.height, order.index(one.of)), default=None)

    def as_json(self) -> dict[str, Any]:
        """For programs. `wrong` is every difference in words, empty if all is well."""
        first = self.first
        return {
            "network": self.network,
            "network_id": self.network_id.hex(),
            "height": self.executed.height,
            "last_height": self.last_height,
            "certified_height": self.certified_height,
            "certificates": self.certificates,
            "epochs": self.epochs,
            "state_root": self.executed.state_root.hex(),
            "transactions": self.executed.log_size,
            "log_root": self.executed.log_root.hex(),
            "batches": self.batches,
            "signatures": self.signatures,
            "read_bytes": self.read_bytes,
            "codes": dict(sorted(self.codes.items())),
            "skipped": dict(sorted(self.skipped.items())),
            "compared": [one.as_json() for one in self.compared],
            "notes": self.notes,
            "holds": self.holds,
            "first_difference": None if first is None else first.as_json(),
            "differences": [one.as_json() for one in self.differences],
            "difference_counts": {of.value: self.counts[of] for of in Of if self.counts[of]},
            "wrong": [str(one) for one in self.differences],
        }
