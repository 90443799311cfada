"""The journal: what was promised and is not final yet (L-24). Append-only, checksummed, group-committed.

Its records are (kind 0 to 255, bytes) and mean nothing here. The file `journal-00000001.log` (the number is the
generation) holds a header with the network id and the journal's own random id (C-24), then frames (framing.py),
each a *group* of records that were written and synced together.

**Group commit.** `append` puts records into a buffer and returns a sequence number; it never blocks. `sync`, called
in a worker thread, takes all that waits, writes it at once, syncs once, and returns the sequence that is durable now;
meanwhile appends fill the next buffer. One lock guards the buffer for a few instructions, another lets one sync run
at a time.

**At a start** the scan of framing.py decides: a torn tail is cut and reported; damage is reported with its place and
never cut. What was read is synced before it is handed out: a group that a killed process wrote and did not sync must
not be relied upon, then lost to a power cut. A journal that is damaged, absent, or has another id takes no append
until `rotate` begins anew; what was found is kept beside it under another name. The new generation's header
remembers that memory was lost (`forgotten`), over any number of restarts and rotations, until a rotation says
`restored`: a validator that crashes while it is amnesiac is amnesiac again.

**Rotation** is how the journal is truncated: `rotate(live)` says, at its place among the appends, that `live` stands
for all records before it; the next `sync` writes a new generation of `live` and what was appended since under another
name, syncs it, renames it into place, syncs the directory, and only then removes the old one. A half-made generation
is ignored and removed at the next start. Of two whole ones the higher counts.

**When a sync fails** the journal is poisoned: every later append and sync raises `StoreFailed`. A failed fsync is
never repeated, for the kernel may have dropped the pages and then report success. No room for a write (`DiskFull`)
is different: nothing was synced, the records wait on, and a later sync may succeed.

**Room is reserved in steps** of 4 MiB. Measured here (ext4, virtual disk, 600-byte groups, median of a write and
fdatasync): 170 µs when each write lengthens the file, 105 µs with `posix_fallocate`, 106 µs over zeros written
before, which writes everything twice. So `posix_fallocate`.

Deliberately absent: what records mean, which are live, and when to rotate; locks between processes (directory.py).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from threading import Lock

from daemon import limits
from daemon.store.errors import DiskFull, StoreFailed
from daemon.store.files import File, Files
from daemon.store.framing import Scan, scan
from daemon.store.journal_file import (
    HEADER_BYTES,
    Header,
    Record,
    decode_records,
    encode_record,
    generation_name,
    generations,
    groups,
    retire,
    write_generation,
)


class JournalState(Enum):
    """What was found at a start."""

    WHOLE = "whole"
    ABSENT = "absent"
    FOREIGN = "foreign"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class JournalHealth:
    """What was found at a start, in what place (byte offset), with words for the operator."""

    state: JournalState
    words: str
    forgotten: bool = False
    """An earlier start found it not whole, and nothing has restored the validator since."""
    torn_bytes: int = 0
    """Length of the torn tail that was cut; it was never promised."""
    offset: int | None = None

    @property
    def remembers(self) -> bool:
        """Whether all that this journal's owner ever made durable is there; if not, a validator is amnesiac (C-24)."""
        return self.state is JournalState.WHOLE and not self.forgotten

    @property
    def damaged(self) -> bool:
        """Bytes that were durable once do not check any more."""
        return self.state is JournalState.DAMAGED


@dataclass(frozen=True, slots=True)
class _Rotation:
    """A rotation that waits for the next sync."""

    live: tuple[bytes, ...]
    restored: bool


@dataclass(frozen=True, slots=True)
class _Taken:
    """All that waited when a sync began; `sequence` is durable once it is done."""

    rotation: _Rotation | None
    records: list[bytes]
    sequence: int


@dataclass(frozen=True, slots=True)
class _Found:
    """What `Journal.open` saw on disk."""

    health: JournalHealth
    header: Header
    records: tuple[Record, ...] = ()
    scan: Scan | None = None
    file: File | None = None


class Journal:
    """The open journal. `append` and `rotate` from one thread, `sync` from any; see the essay."""

    def __init__(self, directory: Path, files: Files, found: _Found) -> None:
        """Use `create` or `open`."""
        self._directory = directory
        self._files = files
        self._header = found.header
        self._health = found.health
        file = found.file if found.health.state is JournalState.WHOLE else None
        self._file = file
        self._end = self._synced = found.scan.end if found.scan is not None else 0
        self._reserved = file.size() if file is not None else 0
        self._buffer = Lock()
        self._syncing = Lock()
        self._waiting: list[bytes] = []
        self._rotation: _Rotation | None = None
        self._sequence = 0
        self._durable = 0
        self._failure: str | None = None
        self._usable = file is not None

    # -- Opening ------------------------------------------------------------------------------------

    @staticmethod
    def create(directory: Path, files: Files, network_id: bytes, journal_id: bytes, *, forgotten: bool = False) -> None:
        """Write the first generation of a new journal, durable on return. `directory` exists and holds none.

        forgotten: its validator may have signed before, elsewhere: it begins without a memory (C-24).
        """
        assert not generations(files, directory), "a journal is created once"
        assert (len(network_id), len(journal_id)) == (32, 16), "ids have 32 and 16 bytes"
        header = Header(network_id, journal_id, 1, forgotten=forgotten)
        write_generation(directory, files, header, ()).close()

    @staticmethod
    def open(
        directory: Path, files: Files, network_id: bytes, expected_journal_id: bytes | None
    ) -> tuple[Journal, tuple[Record, ...], JournalHealth]:
        """Read the newest generation, cut and report a torn tail, and say what was found.

        `expected_journal_id` stands with the validator's key (C-24); None takes whichever journal is there.
        A damaged journal gives all records that still check. Raises OperatorFault for a newer format,
        StoreFailed if the disk does.
        """
        found = _look(directory, files, network_id, expected_journal_id)
        if found.health.state is JournalState.WHOLE:
            _settle(directory, files, found)
        elif found.file is not None:
            found.file.close()
        return Journal(directory, files, found), found.records, found.health

    # -- The caller's thread ------------------------------------------------------------------------

    @property
    def health(self) -> JournalHealth:
        """What was found at the start."""
        return self._health

    @property
    def journal_id(self) -> bytes:
        """16 random bytes, made with the node."""
        return self._header.journal_id

    @property
    def durable(self) -> int:
        """The highest sequence that is durable."""
        return self._durable

    @property
    def written_bytes(self) -> int:
        """Length of the present generation's content: what a start has to read."""
        return self._end

    def append(self, records: Sequence[Record]) -> int:
        """Take `records`, in order, and return the sequence at which `sync` will have made them durable.

        Raises StoreFailed once a write or sync failed, and while the journal is not whole.
        """
        encoded = [encode_record(kind, data) for kind, data in records]
        with self._buffer:
            self._check()
            self._waiting.extend(encoded)
            self._sequence += 1
            return self._sequence

    def rotate(self, live_records: Sequence[Record], *, restored: bool = False) -> int:
        """From here on `live_records` stand for everything appended before; the next `sync` makes it so.

        What they leave out is gone then: call it only when the segments that hold it are synced (L-24).
        `restored` ends `forgotten`. Returns and raises as `append`, but begins a journal that was not whole anew.
        """
        live = tuple(encode_record(kind, data) for kind, data in live_records)
        with self._buffer:
            self._usable = True
            self._check()
            restored = restored or (self._rotation is not None and self._rotation.restored)
            self._rotation = _Rotation(live, restored)
            self._waiting = []
            self._sequence += 1
            return self._sequence

    def forget(self, words: str) -> None:
        """Something else shows that this journal, whole as it looks, lost its end: the next rotation remembers."""
        self._health = JournalHealth(JournalState.WHOLE, words, forgotten=True)

    def _check(self) -> None:
        if self._failure is not None:
            raise StoreFailed(self._failure)
        if not self._usable:
            raise StoreFailed(f"the journal takes nothing until it is begun anew: {self._health.words}")

    # -- A worker thread ----------------------------------------------------------------------------

    def sync(self) -> int:
        """Make durable all that waits, with one write and one sync; returns the sequence that is durable now.

        Blocks. Raises DiskFull if there is no room (all waits on), StoreFailed if anything else fails, for ever.
        """
        with self._syncing:
            with self._buffer:
                self._check()
                taken = _Taken(self._rotation, self._waiting, self._sequence)
                self._rotation, self._waiting = None, []
            try:
                if taken.rotation is not None:
                    self._begin_generation(taken.rotation, taken.records)
                elif taken.records:
                    self._write(taken.records)
            except DiskFull:
                self._put_back(taken)
                raise
            except BaseException as error:
                self._poison(f"the journal failed and takes nothing more: {error}")
                if isinstance(error, OSError):
                    raise StoreFailed(f"the journal failed: {error}") from error
                raise
            self._durable = taken.sequence
            return taken.sequence

    def close(self) -> None:
        """Sync what waits, mark the end as synced, and let go. A poisoned journal is only let go.

        On a full disk neither is needed: nothing that waits was promised, and all that was is durable.
        """
        try:
            if self._failure is None and self._usable:
                with suppress(DiskFull):
                    self.sync()
                    self._mark()
        finally:
            self._poison("the journal is closed")
            if self._file is not None:
                self._file.close()
                self._file = None

    def _write(self, records: list[bytes]) -> None:
        assert self._file is not None, "only a whole journal is written to"
        data = b"".join(groups(self._header.seal(), self._end, self._synced, records))
        end = self._end + len(data)
        if end > self._reserved:
            room = -(-(end - self._reserved) // limits.JOURNAL_ALLOCATION_BYTES) * limits.JOURNAL_ALLOCATION_BYTES
            self._file.allocate(self._reserved, room)
            self._reserved += room
        self._file.write_at(self._end, data)
        self._file.sync()
        self._end = self._synced = end

    def _mark(self) -> None:
        """Add an empty group: it names all before it as synced, so that later damage to it is known as such."""
        with self._syncing:
            self._write([b""])

    def _begin_generation(self, rotation: _Rotation, records: list[bytes]) -> None:
        old = self._header
        forgotten = not self._health.remembers and not rotation.restored
        header = Header(old.network_id, old.journal_id, old.generation + 1, forgotten)
        file = write_generation(self._directory, self._files, header, [*rotation.live, *records])
        if self._file is not None:
            self._file.close()
        self._file, self._header = file, header
        self._end = self._synced = self._reserved = file.size()
        retire(self._directory, self._files, header.generation, keep=self._health.state is not JournalState.WHOLE)
        words = "an earlier start found the journal not whole" if forgotten else "whole"
        self._health = JournalHealth(JournalState.WHOLE, words, forgotten)

    def _put_back(self, taken: _Taken) -> None:
        with self._buffer:
            if self._rotation is not None:  # asked for meanwhile: it stands for all that was taken
                restored = self._rotation.restored or (taken.rotation is not None and taken.rotation.restored)
                self._rotation = _Rotation(self._rotation.live, restored)
                return
            self._rotation = taken.rotation
            self._waiting = taken.records + self._waiting

    def _poison(self, words: str) -> None:
        with self._buffer:
            if self._failure is None:
                self._failure = words


# -- Reading ----------------------------------------------------------------------------------------


def look_at(
    directory: Path, files: Files, network_id: bytes, expected_journal_id: bytes | None
) -> tuple[str, tuple[Record, ...], JournalHealth]:
    """File name (empty if there is none), records and health of the newest generation; changes nothing on disk.

    The health is what `Journal.open` would find; a torn tail that it says was cut would be. Raises as it does.
    """
    found = _look(directory, files, network_id, expected_journal_id, writable=False)
    if found.file is not None:
        found.file.close()
    name = generation_name(found.header.generation) if found.header.generation else ""
    return name, found.records, found.health


def _look(directory: Path, files: Files, network_id: bytes, expected: bytes | None, *, writable: bool = True) -> _Found:
    """What is on disk, changing nothing."""
    found = generations(files, directory)
    newest = found[-1] if found else 0
    guess = Header(network_id, expected or os.urandom(16), newest, forgotten=False)
    if not found:
        return _Found(JournalHealth(JournalState.ABSENT, f"there is no journal in {directory}"), guess)
    name = generation_name(newest)
    file = files.open(directory / name, writable=writable)
    header = Header.decode(file.read_at(0, HEADER_BYTES))
    if header is None or header.generation != newest:
        records, scanned = _read(file, guess)
        words = f"{name} is damaged at its header"
        return _Found(JournalHealth(JournalState.DAMAGED, words, offset=0), guess, records, scanned, file)
    if header.network_id != network_id or expected not in (None, header.journal_id):
        words = f"{name} is the journal of another node or network, or of an earlier life of this one"
        return _Found(JournalHealth(JournalState.FOREIGN, words), guess, file=file)
    records, scanned = _read(file, header)
    return _Found(_judge(name, header, scanned), header, records, scanned, file)


def _judge(name: str, header: Header, scanned: Scan) -> JournalHealth:
    if scanned.damage:
        where = scanned.damage[0]
        words = f"{name} is damaged from byte {where.start} to {where.end}, which had been synced"
        return JournalHealth(JournalState.DAMAGED, words, header.forgotten, offset=where.start)
    words = "an earlier start found the journal not whole" if header.forgotten else "whole"
    if not scanned.torn_bytes:
        return JournalHealth(JournalState.WHOLE, words, header.forgotten)
    words += f"; a torn tail of {scanned.torn_bytes} bytes was cut at byte {scanned.end}"
    return JournalHealth(JournalState.WHOLE, words, header.forgotten, scanned.torn_bytes, scanned.end)


def _read(file: File, header: Header) -> tuple[tuple[Record, ...], Scan]:
    scanned = scan(file, header.seal(), HEADER_BYTES, keep_bodies=True)
    return tuple(record for body in scanned.bodies for record in decode_records(body)), scanned


def _settle(directory: Path, files: Files, found: _Found) -> None:
    """Cut the torn tail, sync what was read, remove what a crash in a rotation left."""
    assert found.file is not None, "a whole journal was read from a file"
    assert found.scan is not None, "and scanned"
    if found.scan.torn_bytes:
        found.file.truncate(found.scan.end)
    found.file.sync()
    retire(directory, files, found.header.generation, keep=found.header.forgotten)
