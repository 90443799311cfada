"""How one case of a published file came out, and how many came out how."""

from __future__ import annotations

from dataclasses import dataclass, field


class NotOurs(Exception):
    """The case is about another curve, cipher, pattern or proof; its words say which."""


class Disagreement(Exception):
    """The case comes out otherwise than published; its words say where."""


@dataclass(slots=True)
class Tally:
    """Counts of one format in one argument."""

    agree: int = 0
    not_ours: int = 0
    disagreements: list[str] = field(default_factory=list)


def require(holds: bool, words: str) -> None:
    """Raises Disagreement unless `holds`; not an assert, since disagreeing is a result here."""
    if not holds:
        raise Disagreement(words)
