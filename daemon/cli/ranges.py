"""Several numbers as one value on the command line: seeds of runs, sizes of networks."""

from __future__ import annotations

from typing import Any

import click


class SeedsType(click.ParamType[range]):
    """A..B, both included, or one number."""

    name = "A..B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> range:
        """The seeds."""
        if isinstance(value, range):
            return value
        first, dots, last = str(value).partition("..")
        if not first.isdecimal() or not (last.isdecimal() if dots else not last):
            self.fail(f"{value!r} is not A..B, as in 1..100", param, ctx)
        low, high = int(first), int(last or first)
        if high < low:
            self.fail(f"{value!r} ends before it begins", param, ctx)
        return range(low, high + 1)


class SizesType(click.ParamType[tuple[int, ...]]):
    """Numbers of validators, with commas."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers."""
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if not all(part.isdecimal() and 1 <= int(part) <= 100 for part in parts):
            self.fail(f"{value!r} is not numbers from 1 to 100 with commas, as in 4,7,10", param, ctx)
        return tuple(int(part) for part in parts)
