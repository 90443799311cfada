"""Wants: what a block references and is missing here, and whom it is asked of, in turn (L-15).

A want names a digest and candidates, best first: the leader, then the author, then whoever announced it
or voted for it, then neighbours. One is asked at a time; when the retry interval has passed without an
answer, the next. A want ends when the thing arrives or nobody needs it any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from protocol import limits

WANTS_MAX: Final = 4 * limits.REFERENCES_MAX
ASKED_MAX: Final = 16
"""Questions after which a want is dropped; what still needs it wants it again."""


@dataclass(slots=True)
class Want:
    """One missing thing."""

    digest: bytes
    candidates: list[bytes]
    needed: bool = False
    """A proposal or a final block references it; else it is only announced."""
    asked: int = 0
    next_ms: int = 0


@dataclass(slots=True)
class Wants:
    """What is missing, of one kind (batches or headers)."""

    retry_interval_ms: int
    missing: dict[bytes, Want] = field(default_factory=dict)

    def add(self, digest: bytes, candidates: list[bytes], now_ms: int, *, needed: bool = False) -> None:
        """Want something; candidates named again are only added. What is needed displaces what is announced."""
        want = self.missing.get(digest)
        if want is None:
            if len(self.missing) >= WANTS_MAX and needed:
                spare = next((d for d, w in self.missing.items() if not w.needed), None)
                self.missing.pop(spare or b"", None)
            if len(self.missing) < WANTS_MAX:
                self.missing[digest] = Want(digest, list(dict.fromkeys(candidates)), needed, next_ms=now_ms)
            return
        if needed and not want.needed:
            want.needed, want.next_ms = True, min(want.next_ms, now_ms)
        want.candidates.extend(candidate for candidate in candidates if candidate not in want.candidates)

    def settle(self, digest: bytes) -> None:
        """It came, or is not needed."""
        self.missing.pop(digest, None)

    def due(self, now_ms: int, neighbours: tuple[bytes, ...]) -> dict[bytes, list[bytes]]:
        """Whom to ask for what now: peer -> digests. Candidates without a channel are passed over for neighbours."""
        asks: dict[bytes, list[bytes]] = {}
        if not self.missing:
            return asks
        for digest in [digest for digest, want in self.missing.items() if want.asked > ASKED_MAX]:
            del self.missing[digest]
        for want in self.missing.values():
            if now_ms < want.next_ms or not neighbours:
                continue
            line = [peer for peer in want.candidates if peer in neighbours]
            line += [peer for peer in neighbours if peer not in line]
            peer = line[want.asked % len(line)]
            want.asked += 1
            want.next_ms = now_ms + self.retry_interval_ms
            asked = asks.setdefault(peer, [])
            if len(asked) < limits.DIGESTS_REQUESTED_MAX:
                asked.append(want.digest)
        return asks

    def next_ms(self) -> int | None:
        """When to look again."""
        return min([want.next_ms for want in self.missing.values()]) if self.missing else None
