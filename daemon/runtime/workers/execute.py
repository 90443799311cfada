"""The execute worker: the only writer of the state store (L-26; executor.py is its other side).

It takes all blocks that wait, executes each on what the store holds and those before it wrote, and commits them in
one transaction; then it answers. A block that the state holds already is read back (recall.py). An empty store is
first filled with the genesis state, or with what another network left (inherit.py).

Nothing here waits for the node, and nothing of the node waits for this: consensus goes on whatever execution does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daemon.runtime.workers.child import EndOfPipe, Pipe, start, tell_fault
from daemon.runtime.workers.inherit import inherit
from daemon.runtime.workers.kinds import STATE_JOB, ExecuteNeeds
from daemon.runtime.workers.overlay import Overlay
from daemon.runtime.workers.recall import recall_block
from daemon.runtime.workers.results import pack_executed
from daemon.store.errors import DiskFull
from daemon.store.lock import InUse
from daemon.store.tables import StateStore
from protocol.apps.registry import rules_at
from protocol.codec import decode
from protocol.errors import BrokenInvariant
from protocol.ledger.execution import Execution, execute_block
from protocol.ledger.genesis import network_id
from protocol.ledger.genesis_state import genesis_state
from protocol.ledger.records import Header
from protocol.ledger.succession import Succession, decode_genesis
from protocol.ledger.tables import Writes
from protocol.node.interface import BlockExecuted, Fate, Outcome

ROOM_SECONDS = 1.0
"""Between two tries to commit on a full disk."""
OPEN_TRIES = 30
OPEN_SECONDS = 0.1
"""How often, and how far apart, opening the state is tried while another process seems to write it."""


class Ledger:
    """The state of one network, and the blocks that change it."""

    def __init__(self, needs: ExecuteNeeds) -> None:
        self._genesis = decode_genesis(needs.genesis)
        self._network_id = network_id(self._genesis)
        self._state = _open(Path(needs.state), self._network_id)
        self.dropped = self._state.dropped
        if self._state.height is None and isinstance(self._genesis, Succession):
            inherit(self._state, self._genesis, Path(needs.inherited))
        elif self._state.height is None:
            self._commit([genesis_state(self._genesis, rules_at(self._genesis, 0)).writes], 0)

    @property
    def height(self) -> int:
        """The executed height that is stored."""
        height = self._state.height
        assert height is not None, "genesis was written first"
        return height

    def run(self, blocks: Sequence[tuple[int, bytes, Sequence[bytes]]]) -> list[tuple[BlockExecuted, int]]:
        """Execute blocks (height, header, batches), ascending, and store the results, all at once; with block times."""
        results: list[tuple[BlockExecuted, int]] = []
        writes: list[Writes] = []
        with self._state.reader() as reader:
            overlay = Overlay(reader)
            height = reader.height or 0
            for left, (wanted, header_data, batches) in zip(range(len(blocks) - 1, -1, -1), blocks, strict=True):
                header = decode(Header, header_data)
                if header.height != wanted or wanted > height + 1:
                    raise BrokenInvariant(f"block {header.height} was given as {wanted} to a state of height {height}")
                if wanted <= height:
                    done = recall_block(self._network_id, self._genesis.parameters, overlay, header, batches)
                else:
                    execution = self._execute(overlay, header, batches)
                    writes.append(execution.writes)
                    if left:
                        overlay.apply(execution.writes)
                    done, height = _result(execution), wanted
                results.append((done, header.time_ms))
        if writes:
            self._commit(writes, height)
        return results

    def _execute(self, overlay: Overlay, header: Header, batches: Sequence[bytes]) -> Execution:
        rules, parameters = rules_at(self._genesis, header.height), self._genesis.parameters
        return execute_block(self._network_id, parameters, rules, overlay, header, batches)

    def _commit(self, writes: Sequence[Writes], height: int) -> None:
        """Commit; a full disk is waited out (L-28): the node knows of it by itself, and results only come later."""
        while True:
            try:
                self._state.commit(writes, height)
            except DiskFull:
                time.sleep(ROOM_SECONDS)
            else:
                return

    def close(self) -> None:
        """Let go of the store."""
        self._state.close()


def _open(directory: Path, network: bytes) -> StateStore:
    """Open for writing; the worker of a node that was just killed may need a moment to die."""
    for _ in range(OPEN_TRIES):
        try:
            return StateStore.open(directory, network, writer=True)
        except InUse:
            time.sleep(OPEN_SECONDS)
    return StateStore.open(directory, network, writer=True)


def _result(done: Execution) -> BlockExecuted:
    outcomes = tuple(
        Outcome(
            outcome.transaction,
            outcome.account,
            outcome.id,
            Fate.FINAL if outcome.final else Fate.SKIPPED,
            outcome.code,
            outcome.log_index,
        )
        for outcome in done.outcomes
    )
    return BlockExecuted(done.executed, outcomes, done.governed)


def serve_blocks(pipe: Pipe, ledger: Ledger) -> None:
    """Execute what comes until the end of the pipe."""
    pipe.send([STATE_JOB, [ledger.height, ledger.dropped]])
    while True:
        requests: list[Any] = pipe.receive(wait=True)
        blocks = [(height, header, batches) for height, _, _, (header, batches) in requests]
        for result, time_ms in ledger.run(blocks):
            pipe.send([result.executed.height, [pack_executed(result), time_ms]])


def main() -> None:
    """Serve the node that started this process."""
    pipe, needs = start("execute")
    try:
        ledger = Ledger(ExecuteNeeds(*needs))
        try:
            serve_blocks(pipe, ledger)
        except EndOfPipe:
            ledger.close()
    except Exception as fault:  # noqa: BLE001 - whatever it is, the node is told and this process ends
        tell_fault(pipe, fault)


if __name__ == "__main__":
    main()
