"""Field types: what a record's annotations may be, each with its bounds.

`Annotated[bytes, Octets(32)]` is a byte string of exactly 32 bytes, `Annotated[bytes, Octets(0, 1024)]`
of up to 1,024, `Annotated[str, Text(1, 64)]` UTF-8 text of 1 to 64 bytes, `Annotated[int, Range(0, 9)]`
an integer, `Annotated[tuple[X, ...], Items(1, 8)]` one to eight `X`. `bool`, `X | None`, records and
structures stand for themselves. A bare `int`, `bytes`, `str` or `tuple` is refused when the class is
made: a field without a bound is a defect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from protocol import limits


@dataclass(frozen=True, slots=True)
class Octets:
    """Bounds of a byte string, in bytes; one argument means exactly that many."""

    low: int
    high: int | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """Bounds of UTF-8 text, in bytes of its encoding."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of an integer, both ends included."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Items:
    """Bounds of the number of items in a tuple."""

    low: int
    high: int


Hash = Annotated[bytes, Octets(32)]
Key = Annotated[bytes, Octets(32)]
Signature = Annotated[bytes, Octets(64)]
Id16 = Annotated[bytes, Octets(16)]
U53 = Annotated[int, Range(0, limits.U53_MAX)]
U63 = Annotated[int, Range(0, limits.U63_MAX)]
Name = Annotated[str, Text(1, limits.NAME_BYTES_MAX)]
Words = Annotated[str, Text(0, limits.WORDS_BYTES_MAX)]
Flag = bool


def Blob(high: int) -> Octets:  # noqa: N802 - reads as a type in annotations
    """Byte string of up to `high` bytes, empty allowed."""
    return Octets(0, high)
