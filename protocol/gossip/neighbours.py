"""Neighbours: connected peers, whom each of them hears from, and what was passed on to whom.

Every node tells its peers, with each keepalive, from which validators' nodes it hears *directly*. A signed
message from origin `o` goes on to those peers that do not report hearing from `o`: they may have no channel
to it. Each message goes at most once in a retry interval to each peer, so that a ring does not echo; what
is sent again after a cut passes again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

PASSED_REMEMBERED_MAX: Final = 8_192
"""Messages remembered as passed on; older ones are forgotten first, and may be passed on once more."""


@dataclass(slots=True)
class Neighbour:
    """A connected peer. `signer` is its place among the validators, or None."""

    signer: int | None
    heard_ms: int
    hears: frozenset[bytes] = frozenset()
    hears_ms: int = -1
    """When it last said whom it hears; -1: never on this connection."""
    final_height: int = 0
    accepting: bool = True
    charges: int = 0
    answered_since_ms: int = 0
    answered_bytes: int = 0
    closing_told_ms: int | None = None
    closing_asked_ms: int | None = None
    """When it was last told, or asked, how an epoch ended (C-21)."""


@dataclass(slots=True)
class Neighbours:
    """All connected peers by node key."""

    retry_interval_ms: int
    peers: dict[bytes, Neighbour] = field(default_factory=dict)
    passed: OrderedDict[tuple[bytes, bytes], int] = field(default_factory=OrderedDict)

    def join(self, peer: bytes, signer: int | None, now_ms: int) -> None:
        """A channel stands; what was known of an earlier one is forgotten."""
        self.peers[peer] = Neighbour(signer, now_ms)
        for mark in [mark for mark in self.passed if mark[1] == peer]:
            del self.passed[mark]

    def leave(self, peer: bytes) -> None:
        """The channel is gone."""
        self.peers.pop(peer, None)

    def validators(self) -> tuple[bytes, ...]:
        """Connected validators' nodes."""
        return tuple(peer for peer, neighbour in self.peers.items() if neighbour.signer is not None)

    def carriers(self, own: bytes) -> tuple[bytes, ...]:
        """Who is sent batches: validators, and observers that hear a validator with which this node has no channel.

        own: this node's key. In a full mesh that is no observer; where one stands between two sites nobody else is.
        """
        validators = self.validators()
        if len(validators) == len(self.peers):
            return validators
        near = {own, *validators}
        return tuple(
            [peer for peer, neighbour in self.peers.items() if neighbour.signer is not None or neighbour.hears - near]
        )

    def hears(self, now_ms: int) -> tuple[bytes, ...]:
        """Validators' nodes heard directly within the retry interval (and a half: keepalives jitter), ascending."""
        since = now_ms - self.retry_interval_ms * 3 // 2
        return tuple(sorted(peer for peer in self.validators() if self.peers[peer].heard_ms >= since))

    def lacking(self, origin: bytes, now_ms: int) -> tuple[bytes, ...]:
        """Peers, other than the origin, that do not report hearing from it."""
        # Silence about whom it hears is news too old: then pass on. Twice the interval, because
        # keepalives come every half of it and may wait behind a bulk transfer.
        fresh = max(0, now_ms - 2 * self.retry_interval_ms)
        return tuple(
            [
                peer
                for peer, neighbour in self.peers.items()
                if (origin not in neighbour.hears or neighbour.hears_ms < fresh) and peer != origin
            ]
        )

    def pass_on(self, message: bytes, origin: bytes, sender: bytes, now_ms: int) -> tuple[bytes, ...]:
        """Peers that this verified message (named by its hash) goes on to now; notes that it did."""
        chosen: list[bytes] = []
        for peer in self.lacking(origin, now_ms):
            last = self.passed.get((message, peer))
            if peer != sender and (last is None or now_ms - last >= self.retry_interval_ms):
                self.passed.pop((message, peer), None)
                self.passed[(message, peer)] = now_ms
                chosen.append(peer)
        while len(self.passed) > PASSED_REMEMBERED_MAX:
            self.passed.popitem(last=False)
        return tuple(chosen)
