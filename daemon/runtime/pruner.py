"""Pruning while the node runs: every `LOOK_SECONDS` old segments go, as node.toml says (store/pruning.py)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog
import trio

from daemon.store.errors import DiskFull, SegmentDamaged
from daemon.store.files import OsFiles
from daemon.store.pruning import Plan, plan_pruning, prune
from daemon.store.segments import Segments
from daemon.store.tables import StateStore
from protocol.errors import OperatorFault
from protocol.ledger.genesis import Parameters
from protocol.snapshot.keeping import Keep

LOOK_SECONDS: Final = 60.0


class Pruner:
    """See the essay. snapshots: heights of those that are served."""

    def __init__(
        self,
        directory: Path,
        segments: Segments,
        state: StateStore,
        parameters: Parameters,
        keep: Keep,
        snapshots: Callable[[], list[int]],
    ) -> None:
        self._directory = directory
        self._segments = segments
        self._state = state
        self._parameters = parameters
        self._keep = keep
        self._snapshots = snapshots
        self._log: Any = structlog.get_logger()
        self._said = ""

    async def run(self) -> None:
        """Look now and then, until cancelled; nothing to do for an archive. Raises StoreFailed."""
        while not self._keep.everything:
            await trio.to_thread.run_sync(self.look)
            await trio.sleep(LOOK_SECONDS)

    def look(self) -> Plan | None:
        """Prune what may go; in a thread. What stands in the way is told once."""
        try:
            with self._state.reader() as reader:
                plan = plan_pruning(self._segments, reader, self._parameters, self._keep, self._snapshots())
                gone = prune(self._directory, OsFiles(), self._segments, reader, plan)
        except (OperatorFault, SegmentDamaged, DiskFull) as fault:
            if fault.words != self._said:
                self._said = fault.words
                self._log.warning("not_pruned", code=fault.code, words=fault.words)
            return None
        if gone:
            self._log.info("pruned", files=len(gone), bytes=plan.bytes, first_height=plan.first_height)
        return plan
