"""Keys and values in one LMDB environment: the pieces of a snapshot, and what a joiner has staged.

Written by one process and, once it is complete, read by any. `put` gathers and `commit` makes durable, so that a sync
is paid for many pieces; what was put is found by `get` at once. A crash loses what was put since the last commit and
nothing else: LMDB commits whole transactions, here with both of its syncs.

Deliberately absent: growth beyond the disk (LMDB's errors are `DiskFull` or `StoreFailed`), deletion of single keys.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

import lmdb

from daemon.store.errors import DiskFull, StoreFailed
from daemon.store.files import DIRECTORY_MODE
from protocol import limits

MAP_BYTES: Final = 256 * limits.MIB
WAITING_BYTES: Final = 4 * limits.MIB


class PiecesFile:
    """See the essay. A `snapshot.staging.Staged`."""

    def __init__(self, environment: lmdb.Environment, map_bytes: int) -> None:
        """Use `open`."""
        self._environment = environment
        self._map_bytes = map_bytes
        self._waiting: dict[bytes, bytes] = {}
        self.waiting_bytes = 0

    @staticmethod
    def open(directory: Path, *, writer: bool) -> PiecesFile:
        """Open the file in `directory`; the writer makes it. Raises StoreFailed."""
        size = 0
        try:
            if writer:
                directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            data = directory / "data.mdb"
            size = data.stat().st_size if data.exists() else 0
            map_bytes = MAP_BYTES
            while writer and map_bytes < 2 * size:
                map_bytes *= 2
            environment = lmdb.open(
                str(directory),
                map_size=map_bytes if writer else max(size, MAP_BYTES),
                readonly=not writer,
                lock=writer,
                readahead=False,
                mode=DIRECTORY_MODE,
                max_dbs=0,
                lib_version=0,
            )
        except (lmdb.Error, OSError) as error:
            raise StoreFailed(f"{directory}: {error}") from error
        return PiecesFile(environment, map_bytes)

    def get(self, key: bytes) -> bytes | None:
        """The value, or None. Raises StoreFailed."""
        waiting = self._waiting.get(key)
        if waiting is not None:
            return waiting
        try:
            with self._environment.begin() as transaction:
                found: bytes | None = transaction.get(key)
                return found
        except lmdb.Error as error:
            raise StoreFailed(f"reading what was kept: {error}") from error

    def has(self, key: bytes) -> bool:
        """Whether there is one."""
        if key in self._waiting:
            return True
        try:
            with self._environment.begin() as transaction, transaction.cursor() as cursor:
                return bool(cursor.set_key(key))
        except lmdb.Error as error:
            raise StoreFailed(f"reading what was kept: {error}") from error

    def put(self, key: bytes, value: bytes) -> None:
        """Keep this: durable with the next `commit`."""
        self._waiting[key] = value
        self.waiting_bytes += len(key) + len(value)

    @property
    def full(self) -> bool:
        """Whether enough waits for a commit."""
        return self.waiting_bytes >= WAITING_BYTES

    def commit(self) -> None:
        """Make all that was put durable. Raises DiskFull (it may be called again) or StoreFailed."""
        while self._waiting:
            try:
                with self._environment.begin(write=True) as transaction, transaction.cursor() as cursor:
                    cursor.putmulti(sorted(self._waiting.items()))
            except lmdb.MapFullError:
                self._map_bytes *= 2
                self._environment.set_mapsize(self._map_bytes)
            except lmdb.Error as error:
                if getattr(error, "code", 0) in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                    raise DiskFull(f"keeping pieces of a snapshot: {error}") from error
                raise StoreFailed(f"keeping pieces of a snapshot: {error}") from error
            else:
                self._waiting, self.waiting_bytes = {}, 0

    def clear(self) -> None:
        """Drop everything but the ends of epochs (`Forget`), durable on return. Raises DiskFull, StoreFailed."""
        self.commit()
        try:
            with self._environment.begin(write=True) as transaction, transaction.cursor() as cursor:
                more = cursor.first()
                while more:
                    more = cursor.next() if cursor.key()[:1] == b"e" else cursor.delete()
        except lmdb.Error as error:
            raise StoreFailed(f"dropping what was kept: {error}") from error

    def close(self) -> None:
        """Let go; what was not committed is lost."""
        self._environment.close()
