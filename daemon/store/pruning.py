"""Pruning: which old segments may go, and how they go, so that a crash anywhere leaves a directory that is whole.

Only whole sealed segments go, from the lowest up, and only where nothing here or elsewhere still needs them
(`protocol.snapshot.keeping`).

Order of a run: how epochs ended whose closing blocks go is kept beside (history.py); with an archive, each segment is
copied there, synced and read again; then the mark is raised, durable; then files are deleted, lowest first. A crash
before the mark has changed nothing; after it, the next start or run deletes what is left below it.

Deliberately absent: pruning of the state, of receipts and of the index (they are small, and proofs need them).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.store.errors import SegmentDamaged
from daemon.store.files import Files, OsFiles
from daemon.store.history import Beginning, read_ended, write_beginning, write_ended
from daemon.store.segment_file import SEGMENT_HEADER_BYTES, SegmentHeader, index_path, scan_segment, segment_path
from daemon.store.segments import Segments
from protocol.codec import decode
from protocol.errors import OperatorFault
from protocol.ledger.closings import closings
from protocol.ledger.genesis import Parameters
from protocol.ledger.records import Block, Header
from protocol.ledger.tables import Reader
from protocol.proofs.build import closed_by
from protocol.snapshot.keeping import Keep, lowest_kept

COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pruning would do. first_height: lowest block that stays. gone: (first, following height, bytes) of each.

    wanted_height: from where on blocks are wanted or needed; why: what decides that, in words.
    """

    first_height: int
    gone: tuple[tuple[int, int, int], ...]
    wanted_height: int
    why: str

    @property
    def bytes(self) -> int:
        """Of the segments that go."""
        return sum(size for _, _, size in self.gone)


def plan_pruning(
    segments: Segments, reader: Reader, parameters: Parameters, keep: Keep, snapshots: Iterable[int] = ()
) -> Plan:
    """Which segments may go now. `snapshots`: heights of those that are served here."""
    wanted, why = lowest_kept(_Blocks(segments), reader, parameters, keep, snapshots)
    gone: list[tuple[int, int, int]] = []
    for first, following, size in segments.sealed:
        if following > wanted:
            break
        gone.append((first, following, size))
    first_height = gone[-1][1] if gone else segments.first_height
    return Plan(first_height, tuple(gone), wanted, why)


class _Blocks:
    """Segments as `snapshot.keeping.Blocks`."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self.first_height = segments.first_height
        self.last_height = segments.last_height
        self.synced_height = segments.synced_height

    def header(self, height: int) -> Header | None:
        """None as well where it is damaged."""
        try:
            return _header(self._segments, height)
        except SegmentDamaged:
            return None


def _header(segments: Segments, height: int) -> Header | None:
    data = segments.read(height)
    return None if data is None else decode(Header, decode(Block, data).header)


# -- Doing it ---------------------------------------------------------------------------------------


def prune(
    directory: Path,
    files: Files,
    segments: Segments,
    reader: Reader,
    plan: Plan,
    archive: Path | None = None,
    told: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[str]:
    """Carry a plan out; names of the files that went. `told`: (bytes copied, of how many).

    Raises OperatorFault (the archive cannot be used, an epoch's end is not known; nothing has gone then),
    SegmentDamaged, DiskFull, StoreFailed.
    """
    if not plan.gone:
        return []
    _keep_ended(directory, files, segments, reader, plan)
    if archive is not None:
        _copy(segments, plan, archive, told)
    lowest = _header(segments, plan.first_height)
    assert lowest is not None, "what stays is there"
    where = "" if archive is None else f", moved to {archive}"
    why = f"blocks below {plan.first_height} were pruned{where}"
    write_beginning(directory, files, Beginning(plan.first_height, lowest.parent, why))
    return segments.drop_below(plan.first_height)


def _keep_ended(directory: Path, files: Files, segments: Segments, reader: Reader, plan: Plan) -> None:
    """How epochs ended whose closing blocks go."""
    for closing in closings(reader):
        if closing.height >= plan.first_height or read_ended(directory, closing.epoch) is not None:
            continue
        closed = closed_by(segments.read(closing.height), closing)
        if closed is None:
            words = f"block {closing.height} closed epoch {closing.epoch} and is not here with its finalization"
            raise OperatorFault(f"{words}: old receipts could not be proven any more, so nothing is pruned")
        write_ended(directory, files, closing.epoch, closed)


def _copy(segments: Segments, plan: Plan, archive: Path, told: Callable[[int, int], None]) -> None:
    """Copy segments and indexes, synced, and read each segment again where it is now."""
    files, source, done = OsFiles(), segments.directory, 0
    try:
        archive.mkdir(mode=0o700, exist_ok=True)
        for first, _, _ in plan.gone:
            for path in (segment_path(source, first), index_path(source, first)):
                for count in _copied(path, archive / path.name):
                    done += count
                    told(min(done, plan.bytes), plan.bytes)
            _read_again(files, archive, first)
        files.sync_directory(archive)
    except OSError as fault:
        raise OperatorFault(
            f"{archive} cannot take the segments: {fault.strerror or fault}; nothing has gone"
        ) from fault


def _copied(path: Path, target: Path) -> Iterator[int]:
    """Bytes of each piece, as it is copied; the target has its name only when it is whole and synced."""
    unfinished = target.with_name(f"{target.name}.tmp")
    with suppress(FileNotFoundError):
        unfinished.unlink()
    with path.open("rb") as source, unfinished.open("xb") as copy:
        os.fchmod(copy.fileno(), 0o600)
        while chunk := source.read(COPY_BYTES):
            copy.write(chunk)
            yield len(chunk)
        copy.flush()
        os.fsync(copy.fileno())
    unfinished.replace(target)


def _read_again(files: Files, archive: Path, first: int) -> None:
    """What was copied checks, frame by frame."""
    file = files.open(segment_path(archive, first), writable=False)
    try:
        header = SegmentHeader.decode(file.read_at(0, SEGMENT_HEADER_BYTES))
        whole = header is not None and header.first == first and not scan_segment(file, header)[0].damage
    finally:
        file.close()
    if not whole:
        words = f"the copy of {segment_path(archive, first).name} in {archive} does not check"
        raise OperatorFault(f"{words}: see papilio store check of this node, and the archive's disk; nothing has gone")
