"""A block's result that is read back says all that execution said of it, who takes part included (L-26, C-21)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from daemon.runtime.workers.recall import recall_block
from protocol.codec import decode
from protocol.ledger.genesis import RulesFrom
from protocol.ledger.records import Block, Header
from protocol.node import interface as node_io
from tests.ledger.world import make_genesis
from tests.node.test_epochs import Governed
from tests.snapshot.epochs import FIRST, PARAMETERS, SECOND, THIRD, rotate


@dataclass
class Told(Governed):
    """Remembers the results that the node was told."""

    told: list[node_io.BlockExecuted] = field(default_factory=list)

    def step(self, given: node_io.Input) -> list[node_io.Effect]:
        if isinstance(given, node_io.BlockExecuted):
            self.told.append(given)
        return super().step(given)


def test_who_takes_part_is_read_back_too() -> None:
    """The worker died after its commit: the node must hear of the new validators all the same."""
    driver = Told(replace(make_genesis(1, PARAMETERS), rules=(RulesFrom(1, 2),)), keys=(FIRST,))
    driver.start()
    rotate(driver, 1, FIRST, SECOND)
    rotate(driver, 2, SECOND, THIRD)
    network, changes = driver.node.body.network_id, 0
    for data, told in zip(driver.blocks, driver.told, strict=False):
        block = decode(Block, data)
        header = decode(Header, block.header)
        assert header.height == told.executed.height
        recalled = recall_block(network, driver.genesis.parameters, driver.tables, header, block.batches)
        assert recalled == told
        changes += told.governed is not None
    assert changes == 2, "each rotation, in the block that carried it out"
