"""The chain as this node knows it: headers not final, the final tip, what is used, what was executed.

Headers are found by hash. Of final blocks the last `batch_ttl_max` are remembered, because within them a
batch may not be referenced twice (L-18); older ones are on disk only. Execution results come in order and
are kept from the last final header's *executed* on.

`Chain` answers questions and remembers; it decides nothing. The node asks `ledger.blocks` with what stands
here, and moves the final tip with `advance`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from protocol import limits
from protocol.codec import encode
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.errors import BrokenInvariant
from protocol.ledger.blocks import Parent
from protocol.ledger.closings import closes
from protocol.ledger.records import Executed, Header

HEADERS_MAX: Final = 16 * limits.VIEW_LOOKAHEAD
"""Headers that are not final. Past it those are forgotten that nothing rests on: no certificate, no own vote."""
AHEAD_MAX: Final = 4 * limits.VIEW_LOOKAHEAD
"""Heights above the final tip up to which headers are kept and blocks voted for. Further on, a node that is behind
needs block sync, and a network that is ahead of its own disks waits for them."""
assert 2 * AHEAD_MAX < HEADERS_MAX, "what is pinned leaves room for what is proposed"


@dataclass(slots=True)
class Known:
    """A header that is not final. `newest_executed` is the height executed here when it was first seen (L-18)."""

    header: Header
    data: bytes
    newest_executed: int
    since_ms: int
    journaled: bool = False
    """Whether the journal holds it: what is final here must be found on this very disk again (L-24)."""


class Executing(NamedTuple):
    """A block that was appended and handed to execution: its height and size, and since when."""

    height: int
    bytes: int
    since_ms: int


@dataclass(slots=True)
class Chain:
    """Headers, the final tip, results."""

    network_id: bytes
    genesis_time_ms: int
    genesis_executed: Executed
    batch_ttl_max: int
    known: OrderedDict[bytes, Known] = field(default_factory=OrderedDict)
    final: Parent = field(init=False)
    final_newest_executed: int = -1
    """`newest_executed` of the final tip; -1 after a start, when it is not known."""
    final_hashes: dict[int, bytes] = field(default_factory=dict)
    """Height -> hash of the last final blocks: another final one at such a height is a fork."""
    claims: dict[int, Executed] = field(default_factory=dict)
    """Results that final headers name and that are not computed here yet (L-22)."""
    executing: deque[Executing] = field(default_factory=deque)
    """Blocks handed to execution and not answered, ascending."""
    executing_bytes: int = 0
    recent: OrderedDict[bytes, bytes] = field(default_factory=OrderedDict)
    """Encoded headers of the last final blocks, for neighbours that are a moment behind."""
    final_used: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    """Height -> digests of its references, for the last final blocks."""
    used: set[bytes] = field(default_factory=set)
    """All digests in `final_used`."""
    results: OrderedDict[int, Executed] = field(default_factory=OrderedDict)
    executed_height: int = 0

    def __post_init__(self) -> None:
        beginning = self.genesis_executed.height  # 0, or where another network ended (decision 0014)
        self.final = Parent(self.network_id, beginning, self.genesis_time_ms, self.genesis_executed)
        self.results[beginning] = self.genesis_executed
        self.executed_height = beginning

    # -- Headers ------------------------------------------------------------------------------------

    def learn(self, header: Header, now_ms: int, pinned: Callable[[], set[bytes]] | None = None) -> bytes:
        """Remember a header that is not final and not too far ahead; returns its hash.

        `pinned` names what must not be forgotten to make room; without it (at a start) nothing is, and no header
        of the own journal is too far ahead.
        """
        data = encode(header)
        hashed = digest(Domain.HEADER, data)
        if hashed in self.known or header.height <= self.final.height:
            return hashed
        if pinned is not None and header.height > self.final.height + AHEAD_MAX:
            return hashed
        if pinned is not None and len(self.known) >= HEADERS_MAX:
            kept = pinned()
            for other in [other for other in self.known if other not in kept][: HEADERS_MAX // 4]:
                del self.known[other]
            if len(self.known) >= HEADERS_MAX:
                return hashed
        self.known[hashed] = Known(header, data, self.executed_height, now_ms)
        return hashed

    def too_far(self, parent_height: int) -> bool:
        """Whether a block on this parent is further above the final tip than this node goes along with."""
        return parent_height - self.final.height >= AHEAD_MAX // 2

    def parent(self, hashed: bytes) -> Parent | None:
        """The block of this hash as a parent, if its header is known or it is the final tip."""
        if hashed == self.final.hash:
            return self.final
        known = self.known.get(hashed)
        if known is None:
            return None
        header = known.header
        return Parent(hashed, header.height, header.time_ms, header.executed)

    def closes(self, hashed: bytes) -> bool:
        """Whether this block, known and not final here, closes its epoch (C-21)."""
        known = self.known.get(hashed)
        return known is not None and closes(known.header)

    def path(self, hashed: bytes) -> tuple[list[bytes], bytes | None]:
        """Hashes above the final tip up to `hashed`, lowest first; and a missing header's hash, if one is missing."""
        line: list[bytes] = []
        while hashed != self.final.hash:
            known = self.known.get(hashed)
            if known is None:
                return line[::-1], hashed
            line.append(hashed)
            hashed = known.header.parent
        return line[::-1], None

    def ancestry(self, hashed: bytes) -> Iterator[Known]:
        """Known headers from `hashed` down to the final tip, which is not included."""
        while hashed != self.final.hash:
            known = self.known.get(hashed)
            if known is None:
                return
            yield known
            hashed = known.header.parent

    def header_bytes(self, hashed: bytes) -> bytes | None:
        """An encoded header, not final or final a moment ago."""
        known = self.known.get(hashed)
        return self.recent.get(hashed) if known is None else known.data

    def is_used(self, tip: bytes) -> set[bytes]:
        """Digests referenced by the block `tip` or its ancestors that are not final."""
        return {reference.digest for known in self.ancestry(tip) for reference in known.header.references}

    def lag(self, tip: bytes, height: int) -> int:
        """How many blocks above `height`, up to `tip`, hold references (L-18)."""
        above = sum(1 for at in range(height + 1, self.final.height + 1) if self.final_used.get(at))
        return above + sum(1 for k in self.ancestry(tip) if k.header.height > height and k.header.references)

    # -- Final --------------------------------------------------------------------------------------

    def advance(self, hashed: bytes) -> Known:
        """The block `hashed`, a child of the final tip, is final."""
        known = self.known.pop(hashed)
        header = known.header
        if header.parent != self.final.hash or header.height != self.final.height + 1:
            raise BrokenInvariant(f"final block {header.height} does not stand on the final tip {self.final.height}")
        self.set_final(header, hashed)
        self.final_newest_executed = known.newest_executed
        self.recent[hashed] = known.data
        if len(self.recent) > limits.VIEW_LOOKAHEAD:
            self.recent.popitem(last=False)
        if len(self.known) > limits.VIEW_LOOKAHEAD:
            for other in [other for other, k in self.known.items() if k.header.height <= header.height]:
                del self.known[other]
        return known

    def set_final(self, header: Header, hashed: bytes) -> None:
        """Move the final tip; the caller knows that it fits."""
        self.final = Parent(hashed, header.height, header.time_ms, header.executed)
        digests = tuple(reference.digest for reference in header.references)
        self.final_used[header.height] = digests
        self.used.update(digests)
        self.final_hashes[header.height] = hashed
        # Below both: batches can't be referenced again, and what lags is counted from the named result on (L-18).
        lowest = min(header.height - self.batch_ttl_max, header.executed.height)
        for height in [height for height in self.final_hashes if height < lowest]:
            del self.final_hashes[height]
            for digest_ in self.final_used.pop(height, ()):
                self.used.discard(digest_)
        named = header.executed
        if named.height not in self.results and named.height > self.executed_height:
            self.claims[named.height] = named
        for height in [height for height in self.results if height < named.height]:
            del self.results[height]

    # -- Executed -----------------------------------------------------------------------------------

    def executed(self, result: Executed) -> str | None:
        """A final block's result. Returns words if a final header named another one before (L-22)."""
        self.results[result.height] = result
        self.executed_height = max(self.executed_height, result.height)
        while self.executing and self.executing[0].height <= result.height:
            self.executing_bytes -= self.executing.popleft().bytes
        claim = self.claims.pop(result.height, None)
        return None if claim is None or claim == result else _differs(claim, result)

    def executes(self, height: int, size: int, now_ms: int) -> None:
        """A block of `size` bytes is handed to execution."""
        self.executing.append(Executing(height, size, now_ms))
        self.executing_bytes += size

    def check(self, header: Header) -> str | None:
        """L-22: words if a final header names another result than was computed here."""
        here = self.results.get(header.executed.height)
        return None if here is None or here == header.executed else _differs(header.executed, here)


def _differs(final: Executed, here: Executed) -> str:
    return (
        f"the network's final state at height {here.height} is {final.state_root.hex()[:16]}, "
        f"here it is {here.state_root.hex()[:16]}"
    )
