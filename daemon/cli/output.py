"""What commands print: one JSON value for programs (`--json`), plain lines for people, tables on a terminal.

Results go to standard output, words about them to standard error. rich is imported only when standard output is a
terminal, so that pipes get plain text and quick commands stay quick.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
JSON_WANTED = "json"
"""In the set that a command's context carries when `--json` was given."""


def json_option(command: F) -> F:
    """The option `--json`; what `emit` prints depends on it. The command gets no parameter for it."""

    def remember(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value:
            context.ensure_object(set).add(JSON_WANTED)

    return click.option(
        "--json", "as_json", is_flag=True, expose_value=False, callback=remember, help="Print one JSON value."
    )(command)


def wants_json() -> bool:
    """Whether the running command was called with `--json`."""
    context = click.get_current_context(silent=True)
    return context is not None and JSON_WANTED in context.ensure_object(set)


def emit(value: Any, lines: Callable[[], None]) -> None:
    """Print the result: `value` as JSON if it was asked for, otherwise whatever `lines` prints."""
    if wants_json():
        print(json.dumps(value, ensure_ascii=False, indent=2))
    else:
        lines()


def say(words: str) -> None:
    """Words for a person, on standard error; with `--json` none."""
    if not wants_json():
        print(words, file=sys.stderr)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table: drawn on a terminal, aligned plain text elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        drawn = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            drawn.add_column(column, overflow="fold")
        for row in rows:
            drawn.add_row(*(cell.replace("[", "\\[") for cell in row))
        Console().print(drawn)
        return
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    for row in [columns, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
