"""A history executed again from genesis, into a state store of its own: memory is flat, whatever the length (L-26).

The state lies in a scratch directory, an LMDB environment as a node's; blocks are executed in groups, each on what the
store holds and those before it in the group wrote, and a group is committed at once. A group ends when it holds enough
writes, so memory is bounded by a group and one block's batches. The scratch needs about as much room on disk as the
node's own state store.

Deliberately absent: the worker that a node executes with. The rules are the same (`execute_block`); what drives them is
not, so that a mistake there shows here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from daemon.runtime.workers.inherit import inherit
from daemon.runtime.workers.overlay import Overlay
from daemon.store.rows import StateReader
from daemon.store.tables import StateStore
from protocol.apps.registry import rules_at
from protocol.codec import decode
from protocol.ledger.execution import Execution, execute_block
from protocol.ledger.genesis import Genesis, ValidatorSet, network_id
from protocol.ledger.genesis_state import genesis_state
from protocol.ledger.index import read_roots
from protocol.ledger.members import NEXT_VALIDATORS
from protocol.ledger.records import Executed, Header
from protocol.ledger.succession import Succession
from protocol.ledger.tables import Table, Writes

GROUP_WRITES: Final = 50_000
"""Keys that a group holds before it is committed: some tens of MiB."""
GROUP_BLOCKS: Final = 1_000
_NOTHING: Final = Path()
_NEXT_VALIDATORS: Final = (Table.STATE, NEXT_VALIDATORS.key(()))


def scratch_folder() -> Path:
    """Where scratch goes by default: TMPDIR, else /var/tmp, which unlike /tmp is on a disk everywhere."""
    named = os.environ.get("TMPDIR")
    return Path(named) if named else Path("/var/tmp")  # noqa: S108 - a directory of our own is made in it


class Replay:
    """Executes blocks in order. `group` holds the writes of blocks that are executed and not committed yet."""

    def __init__(self, genesis: Genesis, directory: Path, inherited: Path) -> None:
        """`directory` is new; use `replaying`."""
        self._genesis = genesis
        self._network_id = network_id(genesis)
        self._store = StateStore.open(directory, self._network_id, writer=True)
        self.group: list[tuple[int, Writes]] = []
        self.executed: Executed
        if isinstance(genesis, Succession):
            inherit(self._store, genesis, inherited)
            self.executed = genesis.begins
        else:
            first = genesis_state(genesis, rules_at(genesis, 0))
            self.executed = first.executed
            self.group.append((0, first.writes))
        self._writes = sum(len(writes) for _, writes in self.group)
        self._view = ExitStack()
        self._overlay: Overlay | None = None

    @property
    def height(self) -> int:
        """The last executed height."""
        return self.executed.height

    @property
    def full(self) -> bool:
        """Whether the group should be committed."""
        return self._writes >= GROUP_WRITES or len(self.group) >= GROUP_BLOCKS

    @property
    def used_bytes(self) -> int:
        """Length of the state's file."""
        return self._store.used_bytes

    def reader(self) -> Overlay:
        """The state at `height`; good until the next commit."""
        if self._overlay is None:
            self._overlay = Overlay(self._view.enter_context(self._store.reader()))
            for _, writes in self.group:
                self._overlay.apply(writes)
        return self._overlay

    def executed_at(self, height: int) -> Executed | None:
        """The results of an executed height, None of one that is not executed."""
        roots = read_roots(self.reader(), height) if height <= self.height else None
        return None if roots is None else roots.executed

    def execute(self, header: Header, batches: Sequence[bytes]) -> Execution:
        """Execute the next block. Raises PapilioError if it cannot be; nothing has changed then."""
        overlay, rules = self.reader(), rules_at(self._genesis, header.height)
        done = execute_block(self._network_id, self._genesis.parameters, rules, overlay, header, batches)
        overlay.apply(done.writes)
        self.group.append((header.height, done.writes))
        self._writes += len(done.writes)
        self.executed = done.executed
        return done

    def commit(self) -> None:
        """Make the group's writes part of the store. Raises DiskFull, StoreFailed."""
        self._view.close()  # a thread with an open reader must not commit
        self._overlay = None
        if self.group:
            self._store.commit([writes for _, writes in self.group], self.height)
        self.group, self._writes = [], 0

    @contextmanager
    def stored(self) -> Iterator[StateReader]:
        """The state at `height` as it lies on disk; commits first."""
        self.commit()
        with self._store.reader() as reader:
            yield reader

    def close(self) -> None:
        """Let go of the store."""
        self._view.close()
        self._store.close()


def changed_validators(done: Execution) -> ValidatorSet | None:
    """The set that a block has made the next one, None if it changed none."""
    data = done.writes.get(_NEXT_VALIDATORS)
    return None if data is None else decode(ValidatorSet, data)


@contextmanager
def replaying(genesis: Genesis, scratch: Path | None = None, inherited: Path = _NOTHING) -> Iterator[Replay]:
    """A replay from genesis in a new folder below `scratch`, which is removed when the block is left.

    inherited: the state that the network begins with, if it goes on from another; it is compared with genesis.
    """
    with tempfile.TemporaryDirectory(prefix="papilio-audit-", dir=scratch or scratch_folder()) as folder:
        replay = Replay(genesis, Path(folder) / "state", inherited)
        try:
            yield replay
        finally:
            replay.close()
