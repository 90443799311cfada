"""A lock between processes, held for a process's life, that says who holds it (L-27).

`flock` on a file whose content is the holder's pid. The kernel releases it when the process ends, however it ends,
so nothing stale is ever left. It is not inherited by programs that the holder starts (close-on-exec).

Deliberately absent: waiting for the lock; network file systems, where flock means less.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from daemon.store.files import FILE_MODE
from protocol.errors import OperatorFault


class InUse(OperatorFault):
    """Another process holds the lock: wait for it, or end it."""


class ProcessLock:
    """Held from construction to `release`.

    Raises InUse, with `held_words` and the holder's pid, if taken; OperatorFault if the file cannot be written: another
    user's directory, a disk that is mounted to be read only.
    """

    def __init__(self, path: Path, held_words: str) -> None:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            words = (error.strerror or str(error)).lower()
            raise OperatorFault(f"{path} cannot be written by user {os.geteuid()}: {words}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise InUse(f"{held_words} (pid {holder})") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
