"""A network of one whose voting key was replaced twice: a history over three epochs, and its snapshots."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from protocol.apps.members.records import Execute, Propose, Ready, RotateVotingKey
from protocol.codec import decode, encode
from protocol.crypto.signing import SigningKey
from protocol.ledger.genesis import DEFAULT_PARAMETERS, RulesFrom
from protocol.ledger.records import Block
from protocol.sim.snapshots import MemorySnapshots
from protocol.snapshot.checkpoints import checkpoint
from protocol.wire.snapshot import SnapshotOffer
from tests.ledger.world import START_MS, key, make_genesis
from tests.node.test_epochs import Governed
from tests.snapshot.world import SLOT_MS, History

PARAMETERS = replace(DEFAULT_PARAMETERS, envelope_ttl_max_ms=60_000, batch_ttl_max=12, execution_lag_max=2)
FIRST, SECOND, THIRD = key(300), key(310), key(320)
QUIET_MS = 90_000
"""Longer than envelopes are remembered: what was before does not come along."""


class Over(History):
    """Whose offers are those of every slot in which one can be made."""

    def all_offers(self) -> list[SnapshotOffer]:
        """Of every slot that the chain has gone through, without pieces."""
        blocks = self.driver.blocks

        def block_at(height: int) -> Block | None:
            data = self.block_at(height)
            return None if data is None else decode(Block, data)

        found = [checkpoint(block_at, height, SLOT_MS) for height in range(2, len(blocks) + 1)]
        return [offer for offer in found if offer is not None]


def rotate(driver: Governed, number: int, old: SigningKey, new: SigningKey) -> None:
    """Decide, by proposal `number`, that the one voting key is replaced: the epoch ends."""
    changes = (encode(RotateVotingKey(old.public, new.public)),)
    driver.send("propose", Propose(changes, "rotate", START_MS + 10_000_000))
    driver.hold(new)
    driver.send("ready", Ready(number, new.public, driver.node.status().executed_height), new)
    driver.send("execute", Execute(number))
    driver.run(3_000)


@cache
def history() -> Over:
    """One for tests that change nothing of it."""
    genesis = replace(make_genesis(1, PARAMETERS), rules=(RulesFrom(1, 2),))
    driver = Governed(genesis, keys=(FIRST,))
    made = Over(driver, MemorySnapshots(driver.tables, lambda height: made.block_at(height)))  # noqa: PLW0108
    driver.start()
    rotate(driver, 1, FIRST, SECOND)
    driver.run(QUIET_MS)
    rotate(driver, 2, SECOND, THIRD)
    made.snapshots.make(driver.node.covering_height, SLOT_MS)
    driver.run(QUIET_MS)
    made.snapshots.make(driver.node.covering_height, SLOT_MS)
    assert driver.node.status().epoch == 3
    return made
