"""Where each key and value of a TOML text stands: the standard parser reads values but does not say where they were.

`places(text)` takes a text that `tomllib` accepted and gives, for each dotted path (`("genesis", "members", 0,
"name")`), the line and column of the key and of its value. The items of an array have their index in the path,
whether the array is written inline or as `[[tables]]`. So a message about a value can name its line.

It relies on the text being valid: it finds its way and judges nothing. A test lets it read whatever documents
hypothesis thinks of, and compares the paths with those of the standard parser.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Line and column, both from 1, of a key (of an array's item: the item) and of its value."""

    line: int
    column: int
    value_line: int
    value_column: int


_BLANK: Final = re.compile(r"[ \t]*")
_BLANKS: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR: Final = re.compile(r"[^,\]}#\r\n]*")
_STRINGS: Final = (
    re.compile(r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})', re.DOTALL),
    re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)


def places(text: str) -> dict[Path, Place]:
    """Path -> place, for every key and array item in `text`, which is valid TOML."""
    scanner = _Scanner(text)
    scanner.document()
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    return {path: _place(starts, *found) for path, found in scanner.found.items()}


def _place(starts: list[int], key: int, value: int) -> Place:
    line, value_line = bisect_right(starts, key), bisect_right(starts, value)
    return Place(line, key - starts[line - 1] + 1, value_line, value - starts[value_line - 1] + 1)


@dataclass(slots=True)
class _Scanner:
    """Goes through the text once; `found` has the offsets of key and value for each path."""

    text: str
    at: int = 0
    found: dict[Path, tuple[int, int]] = field(default_factory=dict)
    tables: dict[Path, int] = field(default_factory=dict)
    """Path of an array of tables -> how many of it there were so far."""

    def document(self) -> None:
        """Headers and pairs, line by line."""
        table: Path = ()
        self.skip(_BLANKS)
        while self.at < len(self.text):
            table = self.header() if self.text[self.at] == "[" else self.pair(table)
            self.skip(_BLANKS)

    def header(self) -> Path:
        """`[a.b]` or `[[a.b]]`; gives the path that the pairs below it belong to."""
        start = self.at
        is_array = self.text.startswith("[[", self.at)
        self.at += 2 if is_array else 1
        names = self.key()
        path: Path = ()
        for index, name in enumerate(names):
            path += (name,)
            if is_array and index == len(names) - 1:
                self.note(path, start, start)
                self.tables[path] = self.tables.get(path, 0) + 1
            if path in self.tables:
                path += (self.tables[path] - 1,)
            self.note(path, start, start)
        self.skip(_BLANK)
        self.at += 2 if is_array else 1
        return path

    def pair(self, table: Path) -> Path:
        """`a.b = value`; gives the table back."""
        start = self.at
        names = self.key()
        self.skip(_BLANK)
        self.at += 1  # the equals sign
        self.skip(_BLANK)
        value = self.at
        for count in range(1, len(names)):
            self.note(table + names[:count], start, start)
        self.note(table + names, start, value)
        self.value(table + names)
        return table

    def key(self) -> tuple[str, ...]:
        """A dotted key; quotes and escapes are read as the standard parser reads them."""
        names: list[str] = []
        while True:
            self.skip(_BLANK)
            if self.text[self.at] in "\"'":
                start = self.at
                self.string()
                names.append(tomllib.loads(f"k = {self.text[start : self.at]}")["k"])
            else:
                names.append(self.skip(_BARE))
            self.skip(_BLANK)
            if not self.text.startswith(".", self.at):
                return tuple(names)
            self.at += 1

    def value(self, path: Path) -> None:
        """Any value; what is inside an array or an inline table is noted below `path`."""
        first = self.text[self.at]
        if first == "[":
            self.array(path)
        elif first == "{":
            self.inline_table(path)
        elif first in "\"'":
            self.string()
        else:
            self.skip(_SCALAR)

    def array(self, path: Path) -> None:
        """`[value, value]`, over as many lines as it takes."""
        self.at += 1
        index = 0
        while True:
            self.skip(_BLANKS)
            if self.text[self.at] == "]":
                break
            self.note((*path, index), self.at, self.at)
            self.value((*path, index))
            index += 1
            self.skip(_BLANKS)
            if self.text[self.at] == ",":
                self.at += 1
        self.at += 1

    def inline_table(self, path: Path) -> None:
        """`{a = value, b.c = value}`."""
        self.at += 1
        while True:
            self.skip(_BLANKS)
            if self.text[self.at] == "}":
                break
            self.pair(path)
            self.skip(_BLANKS)
            if self.text[self.at] == ",":
                self.at += 1
        self.at += 1

    def string(self) -> None:
        """A string of any of the four kinds, the longer quotes tried first."""
        for kind in _STRINGS:
            match = kind.match(self.text, self.at)
            if match is not None:
                self.at = match.end()
                return
        raise AssertionError("the text is not valid TOML")

    def skip(self, pattern: re.Pattern[str]) -> str:
        """Go past what matches here, and give it."""
        match = pattern.match(self.text, self.at)
        assert match is not None, "these patterns match also nothing"
        self.at = match.end()
        return match.group()

    def note(self, path: Path, key: int, value: int) -> None:
        """Whatever names a path first is its place."""
        self.found.setdefault(path, (key, value))
