"""The validators' history: whose signatures count at a height, and who may lead a view (C-2, C-21).

Genesis names the first set. A header names its own set and the next one by hash; the next one is what the state at the
header's *executed* says (L-18), so it follows from execution and not from any signature. A header whose two hashes
differ closes its epoch: it has to be final by a certificate of its own, and the block above it is of the next epoch and
set. A set that was not computed, because a block below could not be executed, is not known: nothing above is believed.
"""

from __future__ import annotations

from collections import deque

from protocol.consensus.rotation import Rotation
from protocol.consensus.validators import Validators
from protocol.ledger.genesis import FIRST_EPOCH, Genesis, ValidatorSet, network_id, validator_set, validators_hash
from protocol.ledger.records import Header
from protocol.proofs.finality import voters_of


class Voters:
    """The present epoch and its set; `validators` is None when the set is not known."""

    def __init__(self, genesis: Genesis) -> None:
        self._network_id = network_id(genesis)
        self.epoch = FIRST_EPOCH
        first = validator_set(genesis)
        self._named: deque[tuple[int, ValidatorSet]] = deque([(0, first)])
        self.validators: Validators | None = None
        self.hashed = bytes(32)
        self._take(first)

    def _take(self, entries: ValidatorSet) -> None:
        self.validators = voters_of(entries)
        self.hashed = validators_hash(entries)
        self._rotation = Rotation(self._network_id, self.epoch, self.validators)

    def computed(self, height: int, entries: ValidatorSet) -> None:
        """Executing `height` has changed the set that later headers name as next."""
        self._named.append((height, entries))

    def next_at(self, executed_height: int) -> ValidatorSet:
        """The set that the state at an executed height says; heights asked for never descend."""
        while len(self._named) > 1 and self._named[1][0] <= executed_height:
            self._named.popleft()
        return self._named[0][1]

    def leader(self, view: int) -> bytes | None:
        """Voting key of who may propose in a view; None if the set is not known."""
        return None if self.validators is None else self.validators.keys[self._rotation.leader(view)]

    def passed(self, header: Header, *, known: bool) -> bool:
        """Go on above this header; whether an epoch began. known: its next set is the one that was computed."""
        if header.next_validators_hash == header.validators_hash:
            return False
        self.epoch += 1
        if known:
            self._take(self.next_at(header.executed.height))
        else:
            self.validators, self.hashed = None, header.next_validators_hash
        return True
