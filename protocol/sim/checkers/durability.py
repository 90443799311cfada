"""Durability: what an honest node acknowledged as final is in the segments of every honest node in the end.

Where a scenario asks for it (`own_disk_suffices`), it is also in the node's own after each restart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.codec import decode
from protocol.ledger.records import Batch, Block
from protocol.node.interface import Fate, Outcome
from protocol.sim.checkers.checker import Checker
from protocol.sim.facts import transactions_of
from protocol.sim.host import Host

if TYPE_CHECKING:
    from protocol.sim.bench import Bench


class Durability(Checker):
    """What was acknowledged as final stays."""

    rule = "durability"

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self.acknowledged: dict[bytes, int] = {}
        self.heights: dict[int, int] = {}
        """Host -> highest height that it acknowledged."""

    def executed(self, host: Host, height: int, outcomes: tuple[Outcome, ...]) -> None:
        """What a client may now be told must be in the block that it is told of."""
        if not host.honest:
            return
        stored = host.disk.blocks.at(height)
        assert stored is not None, "what is executed is in the segments"
        block = decode(Block, stored.data)
        inside = transactions_of([decode(Batch, data).body for data in block.batches])
        self.heights[host.index] = max(self.heights.get(host.index, 0), height)
        if [outcome.transaction for outcome in outcomes] != inside:
            self.violated(f"the outcomes of height {height} are not of its envelopes, in order", host)
        for outcome in outcomes:
            if outcome.fate is Fate.FINAL and self.acknowledged.setdefault(outcome.transaction, height) != height:
                self.violated(f"transaction {outcome.transaction.hex()[:8]} is final at two heights", host)

    def started(self, host: Host) -> None:
        """After a restart a node has at least what it acknowledged before, if runs ask for that."""
        promised = self.heights.get(host.index, 0) if self.bench.own_disk_suffices else 0
        if host.disk.blocks.last < promised:
            self.violated(f"acknowledged height {promised}, and restarts with {host.disk.blocks.last}", host)

    def ended(self) -> None:
        """Every honest node's segments, from their bytes."""
        for host in self.bench.honest():
            held: dict[tuple[bytes, int], None] = {}
            for height, stored in host.disk.blocks.numbered():
                bodies = [decode(Batch, data).body for data in decode(Block, stored.data).batches]
                held.update(((transaction, height), None) for transaction in transactions_of(bodies))
            for transaction, height in self.acknowledged.items():
                if (transaction, height) not in held and height >= host.disk.blocks.first:
                    self.violated(
                        f"transaction {transaction.hex()[:8]}, acknowledged at height {height}, is not there", host
                    )
