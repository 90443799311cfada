"""The peers of a joiner: what each offers and was asked, and whose offer is looked at first.

A true header can be offered by a peer that never gives the state under it. So it is counted how often a peer was relied
on in vain, and offers of those who have failed least come first, then those that several of them make, then those of
the latest epoch, then the highest. So who has keys of an ended epoch and signs on with them is not believed where one
peer knows of a later one (C-23). Between peers that make the same offer, who has failed less is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol import limits
from protocol.codec import decode
from protocol.ledger.records import Header
from protocol.snapshot.gathering import Want
from protocol.sync import BlockSync
from protocol.wire.snapshot import SnapshotOffer


@dataclass(slots=True)
class Peer:
    """A connected peer: what it offers, and what it was asked."""

    offers: dict[int, SnapshotOffer] = field(default_factory=dict)
    stale: set[int] = field(default_factory=set)
    """Heights of offers from before it was asked last, that it has not made again."""
    settles_ms: int = 0
    """Until then, from its first word on, it may still say that it has more."""
    answered: bool = False
    """Whether it has said which snapshots it has."""
    runs: bool = False
    """Whether it takes part, and does not join itself."""
    final_height: int = 0
    listing_until_ms: int = 0
    """Until then, or its first word, it is asked which snapshots it has: it passes over a second question meanwhile."""
    asked: Want | int | None = None
    """What it was asked for: a want, or the number of an epoch."""
    blocks: BlockSync | None = None
    following: int = 0
    """Height behind the last block of its answer that was good."""
    deadline_ms: int = 0
    avoid_until_ms: int = 0

    def asked_for_offers(self, until_ms: int) -> None:
        """It is asked which snapshots it has, and should say so until then."""
        self.listing_until_ms, self.stale = until_ms, set(self.offers)

    def drop_stale(self, now_ms: int) -> bool:
        """Forget what it did not offer again, once it has had time to; whether it offers nothing now."""
        if not self.stale or self.listing_until_ms or now_ms < self.settles_ms:
            return False
        for height in self.stale:
            self.offers.pop(height, None)
        self.stale.clear()
        return not self.offers

    def may_be_asked_for_offers(self, now_ms: int) -> bool:
        """Whether it can be asked what it has: it owes nothing, and has said all of what it was asked last."""
        return self.free(now_ms) and self.settles_ms <= now_ms

    def free(self, now_ms: int) -> bool:
        """Whether it can be asked something."""
        return self.asked is None and self.listing_until_ms <= now_ms


class Peers(dict[bytes, Peer]):
    """By node key, those that are connected; and how those failed that ever were."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: dict[bytes, int] = {}
        """How often a peer that was relied on gave nothing. It stays when the peer leaves."""

    def failed(self, keys: set[bytes]) -> None:
        """They were relied on and gave nothing: others are preferred."""
        for key in sorted(keys):
            if key in self.failures or len(self.failures) < limits.PEERS_MAX:
                self.failures[key] = self.failures.get(key, 0) + 1

    def offering(self, offer: SnapshotOffer) -> list[bytes]:
        """Who offers the same state under the same header."""
        return [
            key
            for key, peer in self.items()
            if (same := peer.offers.get(offer.height)) is not None and same.chain[0] == offer.chain[0]
        ]

    def best(self, now_ms: int) -> tuple[bytes, int] | None:
        """A peer and the height of its offer: see the essay for the order."""
        able = [
            (self._rank(offer), key)
            for key, peer in self.items()
            if peer.avoid_until_ms <= now_ms
            for offer in peer.offers.values()
        ]
        if not able:
            return None
        (*_, height), key = max(able, key=lambda each: (each[0], -self.failures.get(each[1], 0), each[1]))
        return key, height

    def _rank(self, offer: SnapshotOffer) -> tuple[int, bool, int, int]:
        failures = [self.failures.get(key, 0) for key in self.offering(offer)]
        return -min(failures), failures.count(min(failures)) > 1, decode(Header, offer.chain[-1]).epoch, offer.height
