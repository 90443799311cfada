"""What a person sees: short lines, numbers right-aligned, live progress.

On a terminal progress is drawn in place and headings are bold; elsewhere there are plain lines, a progress line every
two seconds. Nothing is wider than the terminal, or than 100 columns. The demonstration says what it has to say through
this one door, so a test can listen.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, TextIO

import trio

COLUMNS_MAX: Final = 100
COLUMNS_MIN: Final = 40
INDENT: Final = "   "
NUMBER_COLUMNS: Final = 9
DRAWN_SECONDS: Final = 0.125
PLAIN_SECONDS: Final = 2.0
BAR_COLUMNS: Final = 24


class Standing(NamedTuple):
    """How far it is: `done` of `total`, what that counts, and a line about the rest."""

    done: int
    total: int
    words: str
    more: str


Progress = Callable[[], Standing]


class Teller:
    """Tells the story on `out`; is_terminal: whether it may draw."""

    def __init__(self, out: TextIO | None = None, *, is_terminal: bool | None = None) -> None:
        self._out = out or sys.stdout
        can_draw = self._out.isatty() and os.environ.get("TERM") != "dumb"
        self.is_terminal = can_draw if is_terminal is None else is_terminal
        self._chapters = 0

    @property
    def columns(self) -> int:
        """How wide a line may be."""
        return max(COLUMNS_MIN, min(COLUMNS_MAX, shutil.get_terminal_size((80, 24)).columns))

    def title(self, text: str) -> None:
        """The first line."""
        self._write(self._bold(text))

    def chapter(self, text: str) -> None:
        """A numbered heading."""
        self._chapters += 1
        self._write("")
        self._write(self._bold(f"{self._chapters}  {text}"))

    def say(self, text: str, *, indent: str = INDENT) -> None:
        """A paragraph, wrapped."""
        lines = textwrap.wrap(
            text, self.columns, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )
        for line in lines:
            self._write(line)

    def verbatim(self, line: str) -> None:
        """A line to copy, never wrapped."""
        self._write(INDENT + line)

    def figure(self, number: int | str, words: str) -> None:
        """A number, right-aligned, and what it counts."""
        shown = f"{number:,}" if isinstance(number, int) else number
        left = f"{INDENT}{shown:>{NUMBER_COLUMNS}}  "
        lines = textwrap.wrap(words, max(20, self.columns - len(left)), break_on_hyphens=False)
        for at, line in enumerate(lines):
            self._write((left if at == 0 else " " * len(left)) + line)

    def table(self, rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
        """Columns as wide as they need; `right`: which are aligned to the right. The last one is wrapped."""
        last = len(rows[0]) - 1
        widths = [max(len(row[at]) for row in rows) for at in range(last)]
        for row in rows:
            cells = [row[at].rjust(w) if at in right else row[at].ljust(w) for at, w in enumerate(widths)]
            left = INDENT + "  ".join([*cells, ""])
            room = max(20, self.columns - len(left))
            lines = textwrap.wrap(row[last], room, break_on_hyphens=False, break_long_words=False) or [""]
            for at, line in enumerate(lines):
                self._write(((left if at == 0 else " " * len(left)) + line).rstrip())

    @asynccontextmanager
    async def progress(self, standing: Progress) -> AsyncIterator[None]:
        """While the block runs, show what `standing` says, again and again."""
        if self.is_terminal:
            async with self._drawn(standing):
                yield
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._repeat, standing)
            yield
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def _drawn(self, standing: Progress) -> AsyncIterator[None]:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        def text() -> Text:
            now = standing()
            lines = (f"{bar(now.done, now.total)} {counted(now)}", now.more)
            return Text("\n".join(INDENT + line for line in lines), no_wrap=True, overflow="ellipsis")

        console = Console(file=self._out, width=self.columns, highlight=False, force_terminal=True)
        with Live(text(), console=console, auto_refresh=False, transient=True) as live:
            async with trio.open_nursery() as nursery:

                async def draw() -> None:
                    while True:
                        live.update(text(), refresh=True)
                        await trio.sleep(DRAWN_SECONDS)

                nursery.start_soon(draw)
                yield
                nursery.cancel_scope.cancel()

    async def _repeat(self, standing: Progress) -> None:
        while True:
            await trio.sleep(PLAIN_SECONDS)
            now = standing()
            self._write(INDENT + counted(now))
            self._write(INDENT * 2 + now.more)

    def _bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self.is_terminal else text

    def _write(self, line: str) -> None:
        print(line, file=self._out, flush=True)


def bar(done: int, total: int) -> str:
    """How much of it is done."""
    filled = BAR_COLUMNS * min(done, total) // max(1, total)
    return "█" * filled + "░" * (BAR_COLUMNS - filled)


def counted(now: Standing) -> str:
    """So many of so many, right-aligned, so that the line does not dance."""
    total = f"{now.total:,}"
    return f"{now.done:>{len(total)},} of {total} {now.words}"
