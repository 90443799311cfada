"""Batches that are not final yet: where each stands, and the bounds for each author.

A batch is *checking* (its signatures are being verified elsewhere), then *ready* (L-13): its record is on its way to
the journal, a proposal may reference it and this validator may vote for that. Unordered batches are
bounded for each author in count and bytes; a batch that a proposal or a final block needs is taken past that bound,
within `NEEDED_TIMES` of it for whoever sends it. When a block is final its batches leave; a few of the last stay at
hand for neighbours that are a moment behind. What can't be referenced any more is dropped.

A check that is under way fills its share until the verdict, whether its batch is still held or not: dropping batches
makes no room for more checks. And the verdict counts for that copy alone: the digest does not cover the author's
signature, so another copy may stand there by then.

Deliberately absent: how batches are asked for (`wants`), how blocks use them (`node.chain`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from protocol import limits
from protocol.ledger.records import Reference

RECENT_BYTES_MAX: Final = 8 * limits.MIB
"""Final batches kept at hand for neighbours that are a moment behind; further back it is block sync's."""


NEEDED_TIMES: Final = 4
"""How many shares an account fills at most with what is needed."""


class State(Enum):
    """Where a batch stands here."""

    CHECKING = "checking"
    READY = "ready"


@dataclass(slots=True)
class Held:
    """A batch held here. `transactions` are known once it was checked."""

    reference: Reference
    data: bytes
    expiry_height: int
    state: State
    since_ms: int
    transactions: tuple[bytes, ...] = ()
    announced_by: set[bytes] = field(default_factory=set)
    account: bytes = b""
    """Whose share it fills: its author's once it was checked, its sender's before; empty: the author's."""
    other: tuple[bytes, bytes] | None = None
    """(encoding, peer) of another copy that came while this one was being checked."""


@dataclass(slots=True)
class Batches:
    """All batches that are not final, by digest, and the recent final ones."""

    held: OrderedDict[bytes, Held] = field(default_factory=OrderedDict)
    count_of: dict[bytes, int] = field(default_factory=dict)
    bytes_of: dict[bytes, int] = field(default_factory=dict)
    recent: OrderedDict[bytes, bytes] = field(default_factory=OrderedDict)
    recent_bytes: int = 0
    sealed_elsewhere: dict[bytes, int] = field(default_factory=dict)
    """Transactions in ready batches of other authors -> since when (L-11)."""

    def fits(self, author: bytes, size: int, times: int = 1) -> bool:
        """Whether one more batch of this author is within so many times its bound."""
        return (
            self.count_of.get(author, 0) < times * limits.UNORDERED_BATCHES_PER_AUTHOR_MAX
            and self.bytes_of.get(author, 0) + size <= times * limits.UNORDERED_BYTES_PER_AUTHOR_MAX
        )

    def beyond(self, account: bytes) -> bool:
        """Whether this account fills more than its share: with what a proposal or a final block needed."""
        return (
            self.count_of.get(account, 0) > limits.UNORDERED_BATCHES_PER_AUTHOR_MAX
            or self.bytes_of.get(account, 0) > limits.UNORDERED_BYTES_PER_AUTHOR_MAX
        )

    def add(self, held: Held) -> None:
        """Take a batch in."""
        held.account = held.account or held.reference.author
        self.held[held.reference.digest] = held
        self._fill(held.account, held.reference.bytes)

    def _fill(self, account: bytes, size: int) -> None:
        self.count_of[account] = self.count_of.get(account, 0) + 1
        self.bytes_of[account] = self.bytes_of.get(account, 0) + size

    def _free(self, account: bytes, size: int) -> None:
        self.count_of[account] -= 1
        self.bytes_of[account] -= size
        if not self.count_of[account]:
            del self.count_of[account], self.bytes_of[account]

    def good(self, held: Held, transactions: tuple[bytes, ...], needed: Callable[[], bool]) -> bool:
        """The verdict on this copy is good: ready, in its author's share.

        False if it was dropped meanwhile, or is dropped now: nobody needs it, and that share is full.
        """
        self._free(held.account, held.reference.bytes)
        if self.held.get(held.reference.digest) is not held:
            return False
        if not self.fits(held.reference.author, held.reference.bytes) and not needed():
            del self.held[held.reference.digest]
            return False
        held.state, held.transactions, held.account = State.READY, transactions, held.reference.author
        self._fill(held.account, held.reference.bytes)
        return True

    def bad(self, held: Held) -> None:
        """The verdict on this copy is bad: it is dropped, and no other."""
        self._free(held.account, held.reference.bytes)
        if self.held.get(held.reference.digest) is held:
            del self.held[held.reference.digest]

    def ready(self, digest: bytes) -> bool:
        """Whether this batch may be referenced and voted for here."""
        held = self.held.get(digest)
        return held is not None and held.state is State.READY

    def data(self, digest: bytes) -> bytes | None:
        """The encoded `Batch`, if it is checked or was final a moment ago."""
        held = self.held.get(digest)
        if held is not None:
            return held.data if held.state is State.READY else None
        return self.recent.get(digest)

    def drop(self, digest: bytes) -> Held | None:
        """Forget a batch that is not final; returns it if it was here. A check under way goes on, and counts."""
        held = self.held.pop(digest, None)
        if held is None:
            return None
        if held.state is State.READY:
            self._free(held.account, held.reference.bytes)
        for transaction in held.transactions:
            self.sealed_elsewhere.pop(transaction, None)
        return held

    def ordered(self, digest: bytes, data: bytes) -> Held | None:
        """The batch is in a final block: it leaves, and stays at hand for a while."""
        self.recent[digest] = data
        self.recent_bytes += len(data)
        while self.recent_bytes > RECENT_BYTES_MAX:
            _, oldest = self.recent.popitem(last=False)
            self.recent_bytes -= len(oldest)
        return self.drop(digest)

    def expired(self, final_height: int) -> list[bytes]:
        """Digests that no block above `final_height` can reference."""
        return [digest for digest, held in self.held.items() if held.expiry_height <= final_height]

    def unordered(self) -> list[Held]:
        """Ready batches, oldest first."""
        return [held for held in self.held.values() if held.state is State.READY]
