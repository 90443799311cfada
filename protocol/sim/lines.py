"""The last lines of each node, as a failing run prints them: notes and faults in few words, in columns by time."""

from __future__ import annotations

from protocol.errors import PapilioError
from protocol.node.interface import Note

LINES_KEPT = 40
COLUMN = 36
ROWS_MAX = 60
"""The last moments of a part."""
COLUMNS_MAX = 4
"""Side by side; more nodes stand below."""


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
    """A note's name and facts; of a final block, which is most of all lines, in few words."""
    if note.name == "block_final":
        height, name, count = (short(note.facts[key]) for key in ("height", "hash", "envelopes"))
        return f"final {height} {name}, {count} envelopes"
    facts = " ".join(f"{key}={short(value)}" for key, value in note.facts.items())
    return f"{note.name} {facts}" if facts else note.name


def short(value: int | str | bytes | bool | None) -> str:
    """Bytes by their first four."""
    return value[:4].hex() if isinstance(value, bytes) else str(value)


def columns(heads: list[str], lines: list[list[tuple[int, str]]]) -> list[str]:
    """Lines (ms, words) of several nodes, a column a node, a row a moment. Long words go on in the next row."""
    out: list[str] = []
    for first in range(0, len(heads), COLUMNS_MAX):
        part = range(first, min(first + COLUMNS_MAX, len(heads)))
        out += [*([""] if first else []), _row("time", [heads[index] for index in part])]
        moments: dict[int, list[list[str]]] = {}
        for place, index in enumerate(part):
            for at_ms, words in lines[index]:
                cells = moments.setdefault(at_ms, [[] for _ in part])
                cells[place] += _folded(words)
        for at_ms in sorted(moments)[-ROWS_MAX:]:
            cells = moments[at_ms]
            for depth in range(max(len(cell) for cell in cells)):
                told = [cell[depth] if depth < len(cell) else "" for cell in cells]
                out.append(_row(f"{at_ms} ms" if depth == 0 else "", told))
    return out


def _row(at: str, cells: list[str]) -> str:
    return (f"{at:>12}  " + "  ".join(cell.ljust(COLUMN) for cell in cells)).rstrip()


def _folded(words: str) -> list[str]:
    """`words` in pieces of a column's width, broken at spaces where there are some; later pieces are set in."""
    pieces: list[str] = []
    rest = words
    while len(rest) > COLUMN:
        cut = rest.rfind(" ", 1, COLUMN + 1)
        cut = cut if cut > COLUMN // 3 else COLUMN
        pieces.append(rest[:cut].rstrip())
        rest = "  " + rest[cut:].lstrip()
    return [*pieces, rest]
