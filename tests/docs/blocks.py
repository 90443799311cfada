"""Fenced blocks, headings, links and code spans of a Markdown file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENTS: Final = tuple(
    sorted(
        file
        for pattern in ("*.md", "daemon/**/*.md", "protocol/**/*.md", "configs/**/*.md", "tests/vectors/*.md")
        for file in ROOT.glob(pattern)
    )
)
GUIDES: Final = tuple(ROOT / name for name in ("README.md", "daemon/README.md"))
"""For people who run it: everything that they name is looked up."""

_FENCE: Final = re.compile(r"^```(.*)$")
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_SPAN: Final = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its info string, its text, and the line of its fence."""

    info: str
    text: str
    line: int

    @property
    def words(self) -> list[str]:
        """The info string's words, `until` left out."""
        return re.sub(r'until="[^"]*"', "", self.info).split()

    @property
    def until(self) -> str:
        """What a background block says when the next may begin."""
        found = re.search(r'until="([^"]*)"', self.info)
        return found[1] if found else ""


def blocks(text: str) -> Iterator[Block]:
    """All fenced blocks. Fails for one that is not closed."""
    info, begun = "", 0
    inside: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and begun:
            yield Block(info, "\n".join(inside) + "\n", begun)
            begun = 0
        elif fence:
            info, begun, inside = fence[1].strip(), number, []
        elif begun:
            inside.append(line)
    assert not begun, f"the block of line {begun} is not closed"


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    kept, inside = [], False
    for line in text.splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def links(text: str) -> list[str]:
    """Targets of links and images."""
    return _LINK.findall(prose(text))


def spans(text: str) -> list[str]:
    """Code spans in the prose."""
    return _SPAN.findall(prose(text))


def anchors(text: str) -> set[str]:
    """Names of headings, as GitHub makes them."""
    heads = re.findall(r"^#+ +(.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def rows(text: str, heading: str) -> list[list[str]]:
    """Cells of the first table below a heading, its head left out."""
    _, found, below = text.partition(f"{heading}\n")
    assert found, f"no heading {heading}"
    table: list[list[str]] = []
    for line in below.splitlines():
        if line.startswith("|"):
            table.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif table or line.startswith("#"):
            break
    assert len(table) > 2, f"no table below {heading}"
    return table[2:]
