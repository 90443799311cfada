"""What execution costs by itself: a node's blocks executed again, one commit a block, without network or signatures.

A workload's figures are of a whole node, and on a shared machine they wander; this repeats to some percent, and shows
what a change of execution or of the state store does. CPU time of this process; waiting for the disk does not count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from daemon.audit.blocks import BlockStream, Found
from daemon.audit.places import Place
from daemon.audit.replay import Replay, replaying
from daemon.store.directory import inherited_directory
from protocol.codec import decode
from protocol.errors import OperatorFault
from protocol.ledger.genesis import Genesis, network_id
from protocol.ledger.records import Block, Header


@dataclass(slots=True)
class Replayed:
    """What was executed, CPU seconds of each part, and how long the state's file is in the end."""

    blocks: int = 0
    transactions: int = 0
    execution_seconds: float = 0.0
    storage_seconds: float = 0.0
    state_bytes: int = 0

    def micros(self, seconds: float) -> float:
        """Of one transaction."""
        return seconds * 1e6 / max(1, self.transactions)

    def facts(self) -> dict[str, object]:
        """For programs."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{self.blocks:,} blocks, {self.transactions:,} transactions executed again",
            f"execution {self.micros(self.execution_seconds):.1f} µs of CPU a transaction",
            f"storage   {self.micros(self.storage_seconds):.1f} µs, one commit a block",
            f"state     {self.state_bytes / max(1, self.transactions):,.0f} bytes a transaction on disk",
        ]


def replay_cost(
    genesis: Genesis, place: Place, scratch: Path | None, progress: Callable[[int, int, int], None]
) -> Replayed:
    """Execute all blocks of `place`. progress: told bytes read, bytes in all, height.

    Raises OperatorFault for a record that is damaged or missing, BrokenInvariant for blocks that do not execute.
    """
    done = Replayed()
    stream = BlockStream(place.segments, network_id(genesis))
    try:
        with replaying(genesis, scratch, inherited_directory(place.segments.parent) / "state") as replay:
            replay.commit()
            while (found := stream.next()) is not None:
                if not isinstance(found, Found) or found.height != replay.height + 1:
                    missing = f"block {replay.height + 1} is not here whole"
                    raise OperatorFault(f"{missing}: only a history from its beginning can be executed")
                _execute(replay, found.data, done)
                progress(stream.read_bytes, stream.total_bytes, found.height)
            done.state_bytes = replay.used_bytes
    finally:
        stream.close()
    return done


def _execute(replay: Replay, data: bytes, done: Replayed) -> None:
    block = decode(Block, data)
    header = decode(Header, block.header)
    began = time.process_time()
    transactions = len(replay.execute(header, block.batches).outcomes)
    executed = time.process_time()
    replay.commit()
    done.blocks += 1
    done.transactions += transactions
    done.execution_seconds += executed - began
    done.storage_seconds += time.process_time() - executed
