"""Exit codes, and the one way in which a command ends badly. Part of the program's promise: codes are never renumbered.

From 64 on the numbers are those of sysexits.h, where a service manager and `run` meet (daemon/runtime/reports.py).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0, "done"
    FAILED = 1, "refused: by a node, by the ledger, or because what was asked for does not exist"
    USAGE = 2, "not a command or option that papilio knows"
    UNKNOWN = 3, "the outcome is not known yet: the wait ended first; ask again"
    UNREACHABLE = 4, "no node could be reached"
    UNVERIFIED = 5, "a proof, a signature or a history does not verify"
    DIFFERS = 6, "what was compared differs; the words name the first difference"
    BROKEN = 70, "a promise of the program does not hold; the node stopped itself; report it"
    DISK_FAILED = 74, "the disk failed, or what it holds is damaged; see papilio store check"
    IN_USE = 75, "the data directory is in use by another node"
    CONFIGURATION = 78, "a file, a key or the environment is wrong; the words say what to do"
    INTERRUPTED = 130, "interrupted by Ctrl-C"

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """A number with its meaning."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


class Ended(Exception):
    """A command ends here: words for a person, a stable code for a program, and the exit code."""

    def __init__(self, words: str, *, code: str, exit_code: ExitCode = ExitCode.FAILED, **facts: object) -> None:
        super().__init__(words)
        self.words = words
        self.code = code
        self.exit_code = exit_code
        self.facts = facts
        """More for programs, shown with `--json`."""
