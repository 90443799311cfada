"""The process that makes one snapshot, at the lowest priority, and says how many pieces it has (maker.py)."""

from __future__ import annotations

import os
from pathlib import Path

from daemon.runtime.workers.child import start, tell_fault
from daemon.snapshots.making import make_snapshot
from daemon.store.directory import state_directory
from daemon.store.tables import StateStore


def main() -> None:
    """Serve the node that started this process."""
    pipe, (directory, network_id, offer) = start("snap")
    os.nice(19)
    try:
        state = StateStore.open(state_directory(Path(directory)), network_id, writer=False)
        try:
            pipe.send([1, make_snapshot(Path(directory), state, offer).pieces])
        finally:
            state.close()
    except Exception as fault:  # noqa: BLE001 - whatever it is, the node is told and this process ends
        tell_fault(pipe, fault)


if __name__ == "__main__":
    main()
