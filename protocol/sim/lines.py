"""The last lines of a node, as a failing run prints them: notes and faults in few words."""

from __future__ import annotations

from protocol.errors import PapilioError
from protocol.node.interface import Note

LINES_KEPT = 40


def words_of_fault(fault: Exception) -> str:
    """An exception out of a node: its class, the innermost function and line, its words."""
    words = fault.words if isinstance(fault, PapilioError) else str(fault)
    where = ""
    trace = fault.__traceback__
    while trace is not None:
        where = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(fault).__name__} in {where}: {words}"


def words_of_note(note: Note) -> str:
    """A note's name and facts."""
    facts = " ".join(f"{key}={short(value)}" for key, value in note.facts.items())
    return f"{note.name} {facts}" if facts else note.name


def short(value: int | str | bytes | bool | None) -> str:
    """Bytes by their first four."""
    return value[:4].hex() if isinstance(value, bytes) else str(value)
