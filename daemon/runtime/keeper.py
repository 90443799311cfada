"""The journal's keeper: commits, and a new generation when the old one is large (L-24).

A journal grows with every vote and batch. It may be cut only behind *synced* segments, and what is still alive
must begin the new generation. Commits go on meanwhile, so the work is spread over four moments:

1. At the start of a commit the generation is found large. `live_records()` is taken there and then, with no await
   between it and taking the records of that commit: it covers every record up to them.
2. When that commit is through, all final blocks of the lists up to it have been handed to `finals`. A request to sync
   the segments is put behind them.
3. Until it is answered, commits go into the old generation, and their records are also kept in `_since`.
4. Then the next turn writes the new generation: the live records, then those since.

So at any moment a crash finds either the old generation whole, or a new one whose live records were taken when
every block that they leave out was in the segments or on its way, and which is begun only after those are synced.

A generation that starts large because much is alive is not rotated again before it has doubled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from daemon import limits
from daemon.runtime.patience import Write, until_room
from protocol.node.interface import JournalRecord


class JournalFile(Protocol):
    """What the keeper needs of `daemon.store.journal.Journal`."""

    @property
    def written_bytes(self) -> int:
        """Bytes of the present generation."""
        ...

    def append(self, records: Sequence[JournalRecord]) -> int:
        """Take records for the next sync; never blocks."""
        ...

    def rotate(self, live_records: Sequence[JournalRecord]) -> int:
        """From here on these stand for all before; the next sync makes it so."""
        ...

    def sync(self) -> int:
        """Make durable all that waits. Blocks. Raises DiskFull (all waits on) or StoreFailed."""
        ...


class JournalKeeper:
    """Commits and rotates one journal.

    journal: the file.
    live_records: what of the journal is still needed, as of the node's last step.
    sync_segments: asks for a sync of everything appended so far; calls back when it is durable.
    disk_full: told in words when a write finds no room, once for each try.
    ring: wakes the pump for the turn in which the new generation is written; set once the pump is made.
    """

    def __init__(
        self,
        journal: JournalFile,
        *,
        live_records: Callable[[], Sequence[JournalRecord]],
        sync_segments: Callable[[Callable[[], None]], None],
        disk_full: Callable[[str], None],
        write: Write,
        write_large: Write,
        generation_bytes: int,
    ) -> None:
        self._journal = journal
        self._live_records = live_records
        self._sync_segments = sync_segments
        self._disk_full = disk_full
        self._write_small, self._write_large = write, write_large
        self._generation_bytes = generation_bytes
        self._begun_bytes = journal.written_bytes
        self._live: tuple[JournalRecord, ...] | None = None
        self._since: list[JournalRecord] = []
        self._requested = False
        self._ready = False
        self.ring: Callable[[], None] = lambda: None
        self.rotations = 0

    @property
    def _large(self) -> bool:
        return self._journal.written_bytes >= max(self._generation_bytes, 2 * self._begun_bytes)

    async def commit(self, records: Sequence[JournalRecord]) -> None:
        """Make `records` durable. Raises StoreFailed; then the journal is not to be used again."""
        if self._live is not None:
            self._since.extend(records)
        elif self._large:
            self._live = tuple(self._live_records())
        self._journal.append(records)
        small = sum(len(record.data) for record in records) <= limits.WRITE_SMALL_BYTES
        await until_room(self._write_small if small else self._write_large, self._journal.sync, self._disk_full)

    async def after_release(self) -> None:
        """The turn after a commit: ask for the segments' sync, or write the new generation once that is done."""
        if self._live is None:
            return
        if not self._requested:
            self._requested = True
            self._sync_segments(self._segments_synced)
        elif self._ready:
            self._journal.rotate(self._live + tuple(self._since))
            await until_room(self._write_large, self._journal.sync, self._disk_full)
            self._live, self._since = None, []
            self._requested = self._ready = False
            self._begun_bytes = self._journal.written_bytes
            self.rotations += 1

    def _segments_synced(self) -> None:
        self._ready = True
        self.ring()
