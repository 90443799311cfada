"""The state store: the ledger's tables on disk, in one LMDB environment (L-26).

Everything here is derived from the segments and can be deleted and rebuilt. One process writes (a lock of its own sees
to that, so that a worker outliving its node is noticed); any number read, each with a consistent view of one height
that costs no lock and no copy.

**What a crash can lose.** A killed process: nothing that `commit` returned for. A power cut: at most the last commit,
never consistency. LMDB never overwrites a page of the last two committed trees; a commit writes new pages, syncs them,
then writes one of two root records in turn. Without `metasync` that record is synced by the next commit's sync, before
which nothing of the tree under the root before it is overwritten. Were a root record lost in a *failed* sync and taken
for written, the commit after next could overwrite a tree that the disk still needs: so the first commit after a start
or a failed commit is followed by a sync of its own. The whole argument, and why not others: `decisions/`.

**The map** is address space, reserved and not filled. When it is full, the commit is repeated with twice as much, once
all readers of this process are done (gate.py): so readers are short, and a thread with an open one must not commit. In
other processes the next reader adopts the new size. A map that cannot be moved leaves LMDB unusable: the store then
raises `StoreFailed` for everything.

Deliberately absent: integer keys (they would be native-endian, and `scan` is by prefix of bytes), writable maps (they
would reserve the disk for the whole map, and let a stray pointer write into it), knowledge of what a table means.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import lmdb

from daemon import limits
from daemon.store.errors import DiskFull, StoreFailed
from daemon.store.files import DIRECTORY_MODE
from daemon.store.gate import Gate
from daemon.store.lock import ProcessLock
from daemon.store.mending import QUARANTINE
from daemon.store.pages import PageDamaged, glance
from daemon.store.rows import Databases, StateReader, open_table, put_rows
from protocol.errors import OperatorFault
from protocol.ledger.tables import Table, Writes

FORMAT_VERSION: Final = 5
"""Of the whole store, what its tables mean included: an older one is set aside, and made anew from the segments."""
_STORE: Final = b"store"
_FACTS: Final = b"facts"
_FACTS_FORM: Final = struct.Struct(">I32sq")
_NOTHING: Final = -1
_DATA_NAME: Final = "data.mdb"

_UNREADABLE: Final = (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError, lmdb.PageNotFoundError)

Merged = dict[Table, dict[bytes, bytes | None]]
"""What a commit writes, table by table."""


class _OlderFormat(Exception):
    """What the store holds means something else to this program."""


class StateStore:
    """The open store; see the essay. Thread-safe, except that one thread at a time commits."""

    def __init__(self, path: Path, environment: lmdb.Environment, lock: ProcessLock | None, map_bytes: int) -> None:
        """Use `open`."""
        self._path = path
        self._environment = environment
        self._lock = lock
        self._map_bytes = map_bytes
        self._gate = Gate()
        self._databases: Databases = {}
        self._store: lmdb._Database | None = None
        self._network_id = bytes(32)
        self._failure: str | None = None
        self._unmapped = False
        self._sync_after_commit = True
        self._commits = 0
        self.dropped: str | None = None
        """Why what was on disk was dropped at the start, in words; None if it was not."""

    # -- Opening ------------------------------------------------------------------------------------

    @staticmethod
    def open(
        directory: Path,
        network_id: bytes,
        *,
        writer: bool,
        alone: bool = False,
        map_bytes: int = limits.STATE_MAP_BYTES,
    ) -> StateStore:
        """Open the store in `directory`, once in a process.

        `alone`: nobody writes meanwhile; then a reader changes nothing on disk, not even a slot in `lock.mdb`.

        The writer makes a missing one, and sets aside one of an older format or that LMDB cannot read (see `dropped`).
        Raises OperatorFault for a newer format, another network, a second writer; for a reader also if there is no
        store of this format.
        """
        if writer:
            directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            lock = ProcessLock(directory / "writer.lock", f"another process writes the state in {directory}")
        elif not (directory / _DATA_NAME).exists():
            raise OperatorFault(f"there is no state in {directory}: start the node that owns it once")
        else:
            lock = None
        try:
            return StateStore._opened(directory, network_id, lock, map_bytes, alone=alone)
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    @staticmethod
    def _opened(
        directory: Path, network_id: bytes, lock: ProcessLock | None, map_bytes: int, *, alone: bool
    ) -> StateStore:
        try:
            return StateStore._mapped(directory, network_id, lock, map_bytes, alone=alone)
        except (PageDamaged, *_UNREADABLE) as error:
            if lock is None:
                raise OperatorFault(f"the state in {directory} cannot be read: {error}") from error
            why = f"LMDB could not read it: {error}"
        except _OlderFormat as error:
            why = str(error)
        # Kept, since a history without its beginning cannot make it again: the program that wrote it still can go on.
        kept = _set_aside(directory)
        store = StateStore._mapped(directory, network_id, lock, map_bytes, alone=alone)
        store.dropped = f"{why}; it is kept as {kept.name} in {kept.parent}"
        return store

    @staticmethod
    def _mapped(
        directory: Path, network_id: bytes, lock: ProcessLock | None, map_bytes: int, *, alone: bool
    ) -> StateStore:
        data = directory / _DATA_NAME
        size = data.stat().st_size if data.exists() else 0
        if size:
            glance(data)  # LMDB believes its file, and a page past the end would be a bus error
        while map_bytes < 2 * size:
            map_bytes *= 2
        environment = lmdb.open(
            str(directory),
            map_size=map_bytes,
            readonly=lock is None,
            lock=not alone,
            mode=DIRECTORY_MODE,
            max_dbs=len(Table) + 1,
            max_readers=limits.STATE_READERS_MAX,
            metasync=False,  # see the essay
            readahead=False,  # keys are hashes: what stands beside one is not wanted next
            lib_version=0,  # data format 1, which other tools read
        )
        try:
            store = StateStore(directory, environment, lock, map_bytes)
            store._open_databases(create=lock is not None)
            store._check_facts(network_id)
            environment.reader_check()
        except BaseException:
            environment.close()
            raise
        return store

    def _open_databases(self, *, create: bool) -> None:
        try:
            self._store = self._environment.open_db(_STORE, create=create)
            for table in Table:
                self._databases[table] = open_table(self._environment, table, create=create)
        except (lmdb.NotFoundError, lmdb.ReadonlyError) as error:
            raise OperatorFault(f"the state in {self._path} is not complete: start the node that owns it") from error

    def _check_facts(self, network_id: bytes) -> None:
        """Compare format and network with what is stored; a new store gets them."""
        self._network_id = network_id
        with self._environment.begin() as transaction:
            version, found_id, _ = self._facts(transaction)
        if version > FORMAT_VERSION:
            words = f"the state in {self._path} has format {version}, this program knows {FORMAT_VERSION}"
            raise OperatorFault(f"{words}: run the newer program, or delete the directory to rebuild it from segments")
        if version == FORMAT_VERSION and found_id != network_id:
            raise OperatorFault(f"the state in {self._path} belongs to network {found_id.hex()}")
        if version < FORMAT_VERSION:
            if self._lock is None:
                raise OperatorFault(f"the state in {self._path} has an older format: start the node that owns it")
            if version:
                raise _OlderFormat(f"it had format {version}, this program writes {FORMAT_VERSION}")
            self.clear()

    def _facts(self, transaction: lmdb.Transaction[bytes]) -> tuple[int, bytes, int]:
        """Format (0 if there is none yet), network id, height (-1 for nothing)."""
        data = transaction.get(_FACTS, db=self._store)
        if data is None:
            return 0, bytes(32), _NOTHING
        version, network_id, height = _FACTS_FORM.unpack_from(data.ljust(_FACTS_FORM.size, b"\0"))
        return version, network_id, height

    # -- Reading ------------------------------------------------------------------------------------

    @property
    def height(self) -> int | None:
        """The height that was committed last, by any process; None if nothing was, not even genesis."""
        with self.reader() as reader:
            return reader.height

    @property
    def used_bytes(self) -> int:
        """Length of the file."""
        return (self._path / _DATA_NAME).stat().st_size

    @contextmanager
    def reader(self) -> Iterator[StateReader]:
        """A consistent view of the newest committed height; keep it for a short time, and in one thread.

        Raises StoreFailed.
        """
        with self._transaction_to_read() as transaction:
            height = self._facts(transaction)[2]
            yield StateReader(transaction, self._databases, None if height == _NOTHING else height)

    @contextmanager
    def _transaction_to_read(self) -> Iterator[lmdb.Transaction[bytes]]:
        while True:
            with self._gate.passing():
                transaction = self._begin()
                if transaction is not None:
                    with transaction:
                        yield transaction
                    return
            with self._gate.closed():
                self._set_map(0)

    def _begin(self) -> lmdb.Transaction[bytes] | None:
        """A read transaction, or None if another process has made the map larger."""
        if self._unmapped:
            raise StoreFailed(self._failure or "the state store has lost its map")
        try:
            return self._environment.begin()
        except lmdb.MapResizedError:
            return None
        except lmdb.Error as error:
            raise StoreFailed(f"reading the state: {error}") from error

    def _set_map(self, map_bytes: int) -> None:
        """Move the map; 0 adopts the size that the writer gave it. Called with the gate closed."""
        if self._unmapped:
            return
        try:
            self._environment.set_mapsize(map_bytes)
        except lmdb.Error as error:
            self._unmapped = True
            self._failure = f"the state's map of {map_bytes} bytes could not be made: {error}"
            raise StoreFailed(self._failure) from error

    # -- Writing ------------------------------------------------------------------------------------

    def commit(self, writes_list: Sequence[Writes], height: int) -> None:
        """Apply the writes of several blocks, in order, as one transaction that ends at `height`.

        All or nothing, synced on return; see the essay on power cuts. Raises DiskFull (nothing changed, and it may be
        called again) or StoreFailed (for ever).
        """
        merged = _merged(writes_list)
        self._change(lambda transaction: self._put(transaction, merged, height))

    def fill(self, writes: Writes) -> None:
        """Put these into a store that holds no height yet, and leave it without one: a part of a beginning.

        Raises as `commit`.
        """
        merged = _merged([writes])
        self._change(lambda transaction: self._put(transaction, merged, _NOTHING))

    def hand_over(self, network_id: bytes, writes: Writes) -> None:
        """Apply these at the present height; from then on the store is the network's of this id (decision 0014).

        Raises as `commit`.
        """
        height = self.height
        assert height is not None, "an executed state is handed over"
        self._network_id = network_id
        self.commit([writes], height)

    def copy_to(self, directory: Path) -> None:
        """A copy in `directory`, which is new; consistent, and durable on return; nothing is left if it fails.

        Another process may write meanwhile, a thread of this one may not. With the free pages: the walk that would
        leave them out (`compact`) dies of tables of names (py-lmdb 3.0.0). Raises StoreFailed.
        """
        directory.mkdir(mode=DIRECTORY_MODE)
        try:
            self._copy_data(directory)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        for path in (directory / _DATA_NAME, directory, directory.parent):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _copy_data(self, directory: Path) -> None:
        while True:
            try:
                self._environment.copy(str(directory), compact=False)
            except lmdb.MapResizedError:
                (directory / _DATA_NAME).unlink(missing_ok=True)
                with self._gate.closed():
                    self._set_map(0)
            except lmdb.Error as error:
                raise StoreFailed(f"copying the state: {error}") from error
            else:
                return

    def clear(self) -> None:
        """Remove everything, in one transaction: the height is None then."""

        def drop(transaction: lmdb.Transaction[bytes]) -> None:
            for database in self._databases.values():
                transaction.drop(database, delete=False)
            self._put_facts(transaction, _NOTHING)

        self._change(drop)

    def close(self) -> None:
        """Make the last commit's root durable, and let go. No reader is open."""
        if self._lock is not None and self._failure is None:
            self._environment.sync(True)
        if not self._unmapped:
            with self._gate.closed():
                self._environment.close()
        self._failure, self._unmapped = self._failure or "the state store is closed", True
        if self._lock is not None:
            self._lock.release()

    def _change(self, apply: Callable[[lmdb.Transaction[bytes]], None]) -> None:
        """One write transaction, repeated with a larger map as often as it is full."""
        assert self._lock is not None, "opened to read"
        while not self._attempt(apply):
            with self._gate.closed():
                self._map_bytes *= 2
                self._set_map(self._map_bytes)

    def _attempt(self, apply: Callable[[lmdb.Transaction[bytes]], None]) -> bool:
        """Whether it went through; False if the map is full."""
        if self._failure is not None:
            raise StoreFailed(self._failure)
        with self._gate.passing():
            try:
                with self._environment.begin(write=True) as transaction:
                    apply(transaction)
                if self._sync_after_commit:
                    self._environment.sync(True)
                    self._sync_after_commit = False
                self._commits += 1
                if self._commits % limits.STATE_READER_CHECK_COMMITS == 0:
                    self._environment.reader_check()
            except lmdb.MapFullError:
                return False
            except lmdb.Error as error:
                self._sync_after_commit = True
                if self._is_full(error):
                    raise DiskFull(f"writing the state: {error}") from error
                self._failure = f"the state store failed and takes nothing more: {error}"
                raise StoreFailed(self._failure) from error
        return True

    def _is_full(self, error: lmdb.Error) -> bool:
        """LMDB says EIO for a write that was cut short: then the free room decides. Repeating is safe (decisions/)."""
        code = getattr(error, "code", 0)  # absent where the binding itself complains
        free = shutil.disk_usage(self._path).free
        return code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS) or (
            code == errno.EIO and free < limits.STATE_FULL_BYTES
        )

    def _put(self, transaction: lmdb.Transaction[bytes], merged: Merged, height: int) -> None:
        before = self._facts(transaction)[2]
        assert height >= before, f"the state is at {before} and does not go back to {height}"
        for table, writes in merged.items():
            put_rows(transaction, self._databases[table], table, writes)
        self._put_facts(transaction, height)

    def _put_facts(self, transaction: lmdb.Transaction[bytes], height: int) -> None:
        facts = _FACTS_FORM.pack(FORMAT_VERSION, self._network_id, height)
        transaction.put(_FACTS, facts, db=self._store)


def _merged(writes_list: Sequence[Writes]) -> Merged:
    """What is written in the end, where later writes stand for earlier ones."""
    merged: Merged = {table: {} for table in Table}
    for writes in writes_list:
        for (table, key), value in writes.items():
            merged[table][key] = value
    return merged


def _set_aside(directory: Path) -> Path:
    """Move a state's file that cannot be used to `quarantine/`; where it is."""
    quarantine = directory.parent / QUARANTINE
    quarantine.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    number = len(list(quarantine.iterdir())) + 1
    kept = quarantine / f"{_DATA_NAME}.{number}"
    while kept.exists():
        number += 1
        kept = quarantine / f"{_DATA_NAME}.{number}"
    (directory / _DATA_NAME).rename(kept)
    (directory / "lock.mdb").unlink(missing_ok=True)
    return kept
