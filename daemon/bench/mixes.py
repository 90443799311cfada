"""Mixes that somebody makes up: which operations, how many under one signature, how much text in each.

    evidence=1,transfer=3                       one operation an envelope, a quarter of the envelopes evidence
    evidence=1;operations=20;size=200           20 operations an envelope, 200 bytes of free text in each

Weights are of envelopes; all operations of an envelope are of one kind. So that every node and generator makes the same
of it, a mix is its own name: the text travels, not what was read from it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from daemon.bench.workloads import HOLDERS, PLATFORMS, WORKLOADS, Cast, Workload, evidence, trip
from daemon.client.account import Account
from protocol.apps.points.records import Transfer
from protocol.limits import LABEL_BYTES_MAX, REFERENCE_BYTES_MAX

KINDS: Final = ("evidence", "transfer", "hot", "trip")
"""evidence.record; points.transfer among 1,000 accounts; the same to one account; record_activity and issue in turn."""
OPERATIONS_MAX: Final = 256
WEIGHT_MAX: Final = 100
SIZES: Final[Mapping[str, int]] = {
    "evidence": REFERENCE_BYTES_MAX, "transfer": LABEL_BYTES_MAX, "hot": LABEL_BYTES_MAX, "trip": 0
}  # fmt: skip
"""The most free text that an operation of each kind has room for, in bytes."""


def workload_of(name: str) -> Workload:
    """The workload of that name, or that a mix describes. Raises ValueError, in words."""
    return WORKLOADS.get(name) or parse_mix(name)


def mix_text(weights: str, operations: int, size: int | None) -> str:
    """The mix as one text; size: None: what an application writes by itself."""
    return f"{weights};operations={operations}" + ("" if size is None else f";size={size}")


def parse_mix(text: str) -> Workload:
    """Read it. Raises ValueError with words for who typed it."""
    weighed, *options = text.split(";")
    weights = _numbers(weighed.split(","), KINDS, WEIGHT_MAX)
    if not any(weights.values()):
        raise ValueError("a mix has an operation with a weight above 0, as in evidence=1,transfer=3")
    given = _numbers(options, ("operations", "size"), OPERATIONS_MAX)
    operations, size = given.get("operations", 1), given.get("size")
    if operations < 1:
        raise ValueError("an envelope has an operation")
    if weights.get("trip") and operations % 2:
        raise ValueError("a trip is two operations, so an even number of them makes an envelope")
    turns = [kind for kind in KINDS for _ in range(weights.get(kind, 0))]

    def envelope(cast: Cast, number: int) -> tuple[Account, Sequence[Any]]:
        return _envelope(cast, number, turns[number % len(turns)], operations, size)

    shares = ", ".join(f"{weights[kind]} of {len(turns)} {kind}" for kind in KINDS if weights.get(kind))
    texts = "" if size is None else f", with {size} bytes of free text each where there is room"
    many = "one operation, one signature" if operations == 1 else f"{operations} operations under one signature"
    words = f"{many}{texts}; of the envelopes {shares}"
    return Workload(text, words, operations, max(1, 50 // operations), envelope)


def _envelope(cast: Cast, number: int, kind: str, operations: int, size: int | None) -> tuple[Account, Sequence[Any]]:
    text = None if size is None else _text(min(size, SIZES[kind]))
    if kind == "trip":
        first = number * operations
        holders = [cast.holders[(first + at) % HOLDERS] for at in range(operations // 2)]
        return cast.platforms[number % PLATFORMS], [one for holder in holders for one in trip(cast, holder)]
    holder = 1 + number * 7 % (HOLDERS - 1)
    if kind == "evidence":
        return cast.holders[holder], [evidence(text) for _ in range(operations)]
    to = [0 if kind == "hot" else (holder + 1 + (number + at) % 13) % HOLDERS for at in range(operations)]
    return cast.holders[holder], [Transfer(cast.programme, cast.holders[one].name, 1, text or "") for one in to]


def _text(size: int) -> str:
    """As many bytes, new each time."""
    return secrets.token_hex(size // 2 + 1)[:size]


def _numbers(parts: Sequence[str], names: Sequence[str], most: int) -> dict[str, int]:
    """`name=number` each. Raises ValueError."""
    found: dict[str, int] = {}
    for part in parts:
        name, _, number = part.strip().partition("=")
        if name not in names or name in found or not number.isdecimal() or int(number) > most:
            raise ValueError(f"{part.strip()!r} is not NAME=NUMBER with a name of {', '.join(names)}, up to {most}")
        found[name] = int(number)
    return found
