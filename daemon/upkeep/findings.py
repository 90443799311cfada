"""What a check found: where exactly, what it is, and what puts it right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class Part(Enum):
    """What of the directory is concerned."""

    IDENTITY = "identity"
    """`format.json`: whose directory it is."""
    SEGMENT = "segment"
    INDEX = "index"
    JOURNAL = "journal"
    STATE = "state"


class Remedy(Enum):
    """What puts it right."""

    NOTHING = "nothing"
    """Not damage, but worth knowing: the next start deals with it."""
    REMAKE = "remake"
    """`store repair` makes it anew from what else is in the directory."""
    SALVAGE = "salvage"
    """`store repair` puts blocks back in place that are in the directory under another name."""
    FETCH = "fetch"
    """Blocks that another node has to give: `store repair --from URL`, or the running node by itself."""
    AMNESIA = "amnesia"
    """A memory of what was signed, which nobody else has (C-24)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    file: relative to the data directory. offset: in bytes, None where the whole file is meant. first_height,
    last_height: the blocks concerned, None where no single ones are.
    """

    part: Part
    file: str
    words: str
    remedy: Remedy
    offset: int | None = None
    first_height: int | None = None
    last_height: int | None = None

    @property
    def is_damage(self) -> bool:
        """False for what the next start deals with."""
        return self.remedy is not Remedy.NOTHING

    @property
    def heights(self) -> range:
        """The blocks concerned; empty if none."""
        if self.first_height is None or self.last_height is None:
            return range(0)
        return range(self.first_height, self.last_height + 1)

    def __str__(self) -> str:
        """One line for people."""
        where = self.file if self.offset is None else f"{self.file} at byte {self.offset}"
        return f"{where}{heights_text(self.first_height, self.last_height)}: {self.words}"

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self) | {"part": self.part.value, "remedy": self.remedy.value, "damage": self.is_damage}


def heights_text(first: int | None, last: int | None) -> str:
    """`, block 7` or `, blocks 7 to 9`; nothing without heights."""
    if first is None:
        return ""
    return f", block {first}" if first == last else f", blocks {first} to {last}"


@dataclass(slots=True)
class Report:
    """All that a check found, and how much it looked at.

    certified_height: the newest block with a certificate of its own. state_height: what the state says it is at, None
    if there is none. state_compared: how its content was judged, in words.
    """

    findings: list[Finding] = field(default_factory=list)
    segments: int = 0
    blocks: int = 0
    bytes: int = 0
    first_height: int = 0
    last_height: int = 0
    certified_height: int = 0
    certificates: int = 0
    journal_records: int = 0
    state_height: int | None = None
    state_compared: str = "not looked at"

    @property
    def damage(self) -> list[Finding]:
        """What has to be put right."""
        return [finding for finding in self.findings if finding.is_damage]

    @property
    def lost_heights(self) -> list[int]:
        """Blocks that have to come from elsewhere, ascending."""
        remedies = (Remedy.FETCH, Remedy.SALVAGE)
        return sorted({h for finding in self.findings if finding.remedy in remedies for h in finding.heights})

    def needs(self, remedy: Remedy) -> list[Finding]:
        """What this remedy puts right."""
        return [finding for finding in self.findings if finding.remedy is remedy]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        facts = {
            name: getattr(self, name)
            for name in (
                "segments",
                "blocks",
                "bytes",
                "first_height",
                "last_height",
                "certified_height",
                "certificates",
                "journal_records",
                "state_height",
                "state_compared",
            )
        }
        return {"whole": not self.damage, **facts, "findings": [finding.as_json() for finding in self.findings]}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long work is: what it does, and how much of how much."""

    doing: str
    done: int
    total: int


Tell = Callable[[Progress], None]
"""Hears of progress; called often, so it is quick."""


def untold(_progress: Progress) -> None:
    """For who does not want to hear."""
