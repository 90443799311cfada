"""The operator's command that an amnesiac votes without a quorum of answers (C-24), for one start.

A file in the data directory carries it from `papilio node force-vote` to the next start, which takes it away before it
obeys: so it is never obeyed twice, and a backup or a copy of the directory that holds it cannot do harm later unless
somebody starts that copy. Who remembers is not touched by it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from daemon.store.files import OsFiles
from daemon.store.lock import ProcessLock

COMMAND_FILE: Final = "force-vote"
WORDS: Final = b"By the operator's command the next start votes, if it finds that it has no memory.\n"


def give_command(directory: Path) -> None:
    """Leave the command for the next start. Raises InUse while a node runs there, OperatorFault."""
    lock = ProcessLock(directory / "lock", f"a node runs on {directory}: stop it first")
    try:
        files = OsFiles()
        file = files.open(directory / COMMAND_FILE, create=True)
        try:
            file.write_at(0, WORDS)
            file.sync()
        finally:
            file.close()
        files.sync_directory(directory)
    finally:
        lock.release()


def take_command(directory: Path) -> bool:
    """Whether the command was given; it is gone, durably, on return."""
    file = directory / COMMAND_FILE
    if not file.exists():
        return False
    file.unlink()
    OsFiles().sync_directory(directory)
    return True
