"""Which old blocks a node keeps: what its operator wants, and what somebody here or elsewhere still needs.

* what the operator wants to keep (`Keep`);
* what this node reads at a start, and remembers (`batch_ttl_max` heights, `envelope_ttl_max` of block time), twice;
* what joiners of the snapshots that are served here ask for (`snapshot.window`);
* what is not executed, and covered by a header, yet.

How blocks then go is the store's affair.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from protocol.ledger.genesis import Parameters
from protocol.ledger.index import executed_height, read_roots
from protocol.ledger.records import Header
from protocol.ledger.tables import Reader

MARGIN_HEIGHTS = 8
"""Kept below what is needed: so that nothing here has to be exact to one block."""


class Blocks(Protocol):
    """The blocks of a node: heights of the first, of the last, and up to which they are durable."""

    first_height: int
    last_height: int
    synced_height: int

    def header(self, height: int) -> Header | None:
        """None where it is not here or can't be read."""
        ...


@dataclass(frozen=True, slots=True)
class Keep:
    """What the operator wants to keep: so many newest blocks, or blocks of so much block time; None: no bound."""

    blocks: int | None = None
    ms: int | None = None

    @property
    def everything(self) -> bool:
        """An archive."""
        return self.blocks is None and self.ms is None


def lowest_kept(
    blocks: Blocks, reader: Reader, parameters: Parameters, keep: Keep, snapshots: Iterable[int] = ()
) -> tuple[int, str]:
    """From which height on blocks stay, and what decides that, in words. `snapshots`: heights of those served here."""
    wanted, why = _wanted(reader, blocks, keep)
    for height, words in _needed(reader, blocks, parameters, snapshots):
        if height < wanted:
            wanted, why = height, words
    return wanted, why


def _wanted(reader: Reader, blocks: Blocks, keep: Keep) -> tuple[int, str]:
    last = blocks.last_height
    if keep.blocks is not None:
        return max(1, last - keep.blocks + 1), f"the newest {keep.blocks} blocks are to be kept"
    if keep.ms is not None:
        height = executed_height(reader) or 0
        newest = read_roots(reader, height)
        time_ms = 0 if newest is None else newest.time_ms - keep.ms
        return _above(reader, blocks, time_ms), f"blocks of the last {keep.ms // 86_400_000} days are to be kept"
    return 1, "everything is to be kept"


def _needed(reader: Reader, blocks: Blocks, parameters: Parameters, snapshots: Iterable[int]) -> list[tuple[int, str]]:
    """(lowest height, for what), each for itself."""
    height = executed_height(reader) or 0
    synced = min(height, blocks.synced_height)
    header = blocks.header(synced) if synced else None
    if header is None:
        return [(1, "the newest block is not executed and synced yet, or can't be read")]
    needs = [(header.executed.height - MARGIN_HEIGHTS, "receipts that no header covers yet")]
    for at, words in [(height, "this node, its peers and joiners"), *((s, f"the snapshot at {s}") for s in snapshots)]:
        roots = read_roots(reader, at)
        since_ms = 0 if roots is None else roots.time_ms - 2 * parameters.envelope_ttl_max_ms
        needs.append((_above(reader, blocks, since_ms) - MARGIN_HEIGHTS, words))
        needs.append((at - 2 * parameters.batch_ttl_max - MARGIN_HEIGHTS, words))
    return [(max(1, lowest), f"{words} need what is above") for lowest, words in needs]


def _above(reader: Reader, blocks: Blocks, time_ms: int) -> int:
    """The lowest height held whose block time is after this.

    A node that joined by a snapshot does not know the roots of every height: then the block says its time. Where it
    can't, it counts as later, so that too little goes and not too much.
    """
    low, high = max(1, blocks.first_height), (executed_height(reader) or 0) + 1
    while low < high:
        middle = (low + high) // 2
        known_ms = _time_ms(reader, blocks, middle)
        if known_ms is not None and known_ms <= time_ms:
            low = middle + 1
        else:
            high = middle
    return low


def _time_ms(reader: Reader, blocks: Blocks, height: int) -> int | None:
    roots = read_roots(reader, height)
    if roots is not None:
        return roots.time_ms
    header = blocks.header(height)
    return None if header is None else header.time_ms
