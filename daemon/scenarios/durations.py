"""Durations in scenario files: a whole number and a unit, as in "250 ms", "30 s" or "8 h".

In the program they are whole microseconds. A wall clock may be wrong by a negative one: "-1 d".
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer
from pydantic.functional_validators import AfterValidator

from daemon.config.problems import show
from daemon.config.values import Wrong

UNITS: Final = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
"""Unit -> microseconds."""
LONGEST_US: Final = 10 * 365 * UNITS["d"]
_EXPECTED: Final = 'a duration: a whole number and us, ms, s, min, h or d, as in "30 s"'
_TEXT: Final = re.compile(r"(-?)([0-9]{1,12}) ?(us|ms|s|min|h|d)")


def parse_duration(value: Any) -> int:
    """The microseconds of a text. Raises Wrong."""
    match = _TEXT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise Wrong(_EXPECTED, show(value))
    us = int(match[2]) * UNITS[match[3]]
    if us > LONGEST_US:
        raise Wrong("a duration of ten years at most", show(value))
    return -us if match[1] else us


def format_duration(us: int) -> str:
    """The shortest exact text of so many microseconds."""
    if us == 0:
        return "0 s"
    unit = next(unit for unit in reversed(UNITS) if us % UNITS[unit] == 0)
    return f"{us // UNITS[unit]} {unit}"


def _not_negative(us: int) -> int:
    if us < 0:
        raise Wrong("a duration that is not negative", show(format_duration(us)))
    return us


def _in_order(pair: tuple[int, int]) -> tuple[int, int]:
    if pair[0] > pair[1]:
        low, high = (format_duration(us) for us in pair)
        raise Wrong("the shorter duration first", f'"{low}" before "{high}"')
    return pair


SignedDuration = Annotated[int, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str)]
Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    AfterValidator(_not_negative),
    PlainSerializer(format_duration, return_type=str),
]
DurationRange = Annotated[tuple[Duration, Duration], AfterValidator(_in_order)]
