"""Who leads a view (C-2): a fixed rotation in proportion to power, evenly spread.

Smooth weighted round-robin: in each turn everyone gains its weight, the one with most leads and pays the
total. The order is the same everywhere because ties fall by a hash seeded with network id and epoch.
Powers can be large; the rotation is kept short by scaling weights to at most `SLOTS_EACH` turns for the
average validator, each with at least one, so the proportion is exact up to that resolution.
"""

from __future__ import annotations

from typing import Final

from protocol.codec import encode, record
from protocol.codec.fields import U53, Hash, Key
from protocol.consensus.validators import Validators
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest

SLOTS_EACH: Final = 16


@record(kind=24)
class LeaderSeed:
    """What a validator's place among equals is hashed from."""

    network_id: Hash
    epoch: U53
    key: Key


def _weights(powers: tuple[int, ...]) -> list[int]:
    if len(set(powers)) == 1:
        return [1] * len(powers)
    total, slots = sum(powers), SLOTS_EACH * len(powers)
    if total <= slots:
        return list(powers)
    return [max(1, power * slots // total) for power in powers]


class Rotation:
    """The order of leaders of one epoch. `leader(view)` is an index into the validator set."""

    def __init__(self, network_id: bytes, epoch: int, validators: Validators) -> None:
        ties = [digest(Domain.LEADER_SEED, encode(LeaderSeed(network_id, epoch, key))) for key in validators.keys]
        weights = _weights(validators.powers)
        order = sorted(range(len(ties)), key=lambda index: ties[index])
        self.turns: tuple[int, ...] = tuple(_spread(weights, order))
        self.length = len(self.turns)

    def leader(self, view: int) -> int:
        """Index of the validator that may propose in `view` (from 1)."""
        return self.turns[(view - 1) % self.length]

    def previous_turn(self, view: int) -> int | None:
        """The last view before `view` with the same leader, or None if there is none."""
        leader = self.leader(view)
        for earlier in range(view - 1, max(0, view - 1 - self.length), -1):
            if self.leader(earlier) == leader:
                return earlier
        return None


def _spread(weights: list[int], order: list[int]) -> list[int]:
    total = sum(weights)
    credit = [0] * len(weights)
    turns: list[int] = []
    for _ in range(total):
        for index in order:
            credit[index] += weights[index]
        # max() keeps the first of equals: the seeded order breaks ties.
        chosen = max(order, key=lambda index: credit[index])
        credit[chosen] -= total
        turns.append(chosen)
    return turns
