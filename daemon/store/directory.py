"""A node's data directory: what lies where, who may open it, and the door to all of it (L-27).

    <directory>/          mode 0700, files 0600
        format.json       version of this layout and the network's id; written last when the directory is created
        lock              held while a node runs here
        journal/          journal-00000001.log           what is promised and not final
        segments/         00000000000000000001.seg, .idx  finalized blocks
        state/            data.mdb, lock.mdb, writer.lock  derived; may be deleted while no node runs
        inherited/        what the network before this one left, if there was one: state/, segments/, format.json
        history.json      from which block on blocks are kept; absent: all of them (history.py)
        epochs/           how epochs ended, where their blocks are not kept
        snapshots/        of the state, for nodes that join (daemon.snapshots); may be deleted at any time
        joining/          what a node that joins by a snapshot has gathered, until it is in place
        quarantine/       damaged files that were replaced, kept for who wants to know; the node does not read them

`create` makes it, every name durable on return. A creation that was interrupted has no `format.json` and is said to be
so. `open_directory` takes the lock, refuses another network and a newer format in words, and opens journal and
segments; the state to write, to read, or not at all, since its writer may be another process of the same node.

`open_to_read` is for programs that look on (a recomputation of the state from disk): no lock, nothing is changed.

Deliberately absent: keys and configuration (they lie elsewhere), backups, and what to do about a journal that is not
whole: `Store.health` says it, the runtime decides.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from daemon.store.files import Files, OsFiles
from daemon.store.history import Beginning, read_beginning
from daemon.store.journal import Journal, JournalHealth
from daemon.store.journal_file import Record
from daemon.store.lock import ProcessLock
from daemon.store.segments import Segments
from daemon.store.tables import StateStore
from protocol.errors import OperatorFault

LAYOUT_VERSION: Final = 1
FORMAT_NAME: Final = "format.json"
_JOURNAL: Final = "journal"
_SEGMENTS: Final = "segments"
_STATE: Final = "state"
_INHERITED: Final = "inherited"


class StateAccess(Enum):
    """How `open_directory` opens the state."""

    WRITE = "write"
    READ = "read"
    NONE = "none"


@dataclass(slots=True)
class Store:
    """A node's durable things, open. `close` lets go of all of them."""

    directory: Path
    files: Files
    network_id: bytes
    journal: Journal
    recovered: tuple[Record, ...]
    """The journal's records, in order; all that still check, if it is damaged."""
    health: JournalHealth
    segments: Segments
    state: StateStore | None
    lock: ProcessLock
    beginning: Beginning | None = None
    """From where on blocks are kept; None: all."""

    beside: list[Callable[[], None]] = field(default_factory=list)
    """What else is let go of with it."""

    @property
    def first_kept(self) -> int:
        """The lowest height that has to be here."""
        return 1 if self.beginning is None else self.beginning.first_height

    def free_bytes(self) -> int:
        """Room left on the file system of the directory, for L-28."""
        return self.files.free_bytes(self.directory)

    def reports(self, beginning: int = 0) -> list[str]:
        """What the start found that an operator should know, in words; empty after a clean end.

        beginning: the height that the network begins at.
        """
        found = [] if self.health.words == "whole" else [f"journal: {self.health.words}"]
        report, last = self.segments.report, self.segments.last_height
        if report.torn_bytes:
            found.append(f"segments: a torn tail of {report.torn_bytes} bytes after block {last} was cut")
        found += [f"segments: damaged: {words}" for words in report.damaged]
        first, lowest = self.segments.first_height, max(self.first_kept, beginning + 1)
        if first > lowest:
            words = f"segments: blocks {lowest} to {first - 1} are missing; {repair_command(self.directory)}"
            found.append(words)
        found += [f"segments: the index of {name} was rebuilt" for name in report.rebuilt_indexes]
        if self.state is not None and self.state.dropped:
            found.append(f"state: dropped, to be rebuilt from the segments: {self.state.dropped}")
        return found

    def close(self) -> None:
        """Sync what waits, and let go; the lock last."""
        for let_go in self.beside:
            let_go()
        try:
            self.journal.close()
        finally:
            try:
                self.segments.close()
            finally:
                try:
                    if self.state is not None:
                        self.state.close()
                finally:
                    self.lock.release()


@dataclass(slots=True)
class Onlooker:
    """What another program may read while a node runs, or after it."""

    segments: Segments
    state: StateStore

    def close(self) -> None:
        """Let go."""
        self.segments.close()
        self.state.close()


def state_directory(directory: Path) -> Path:
    """Where the state of a node lies: for the process that executes, if it is another one."""
    return directory / _STATE


def inherited_directory(directory: Path) -> Path:
    """What a network that goes on from another was left by that (decision 0014): state, and old blocks."""
    return directory / _INHERITED


def create(
    directory: Path, network_id: bytes, journal_id: bytes, files: Files | None = None, *, forgotten: bool = False
) -> None:
    """Make a data directory with an empty journal of this random id (16 bytes, C-24), durable on return.

    forgotten: as in `Journal.create`.

    The parent exists. Raises OperatorFault if the directory exists and is not empty.
    """
    files = files or OsFiles()
    files.make_directory(directory)
    if files.list(directory):
        raise OperatorFault(f"{directory} is not empty: choose another directory, or delete this one if you can")
    for name in (_JOURNAL, _SEGMENTS):
        files.make_directory(directory / name)
    Journal.create(directory / _JOURNAL, files, network_id, journal_id, forgotten=forgotten)
    write_format(directory, files, network_id)
    files.sync_directory(directory.parent)


def open_directory(
    directory: Path,
    network_id: bytes,
    journal_id: bytes | None,
    *,
    state: StateAccess = StateAccess.WRITE,
    files: Files | None = None,
) -> Store:
    """Lock and open a node's data directory. `journal_id` as in `Journal.open`.

    Raises OperatorFault (no such directory, another node runs on it, another network, a newer format), StoreFailed,
    SegmentDamaged (the last segment cannot be told at all).
    """
    files = files or OsFiles()
    check_format(directory, network_id, files)
    beginning = read_beginning(directory, files)
    lock = ProcessLock(directory / "lock", f"another papilio runs on {directory}")
    opened: list[Segments | StateStore] = []
    try:
        segments = Segments.open(directory / _SEGMENTS, files, network_id)
        opened.append(segments)
        if beginning is not None:
            segments.drop_below(beginning.first_height)  # what an interrupted pruning left
        store = None
        if state is not StateAccess.NONE:
            store = StateStore.open(directory / _STATE, network_id, writer=state is StateAccess.WRITE)
            opened.append(store)
        journal, recovered, health = Journal.open(directory / _JOURNAL, files, network_id, journal_id)
    except BaseException:
        for part in opened:
            part.close()
        lock.release()
        raise
    return Store(directory, files, network_id, journal, recovered, health, segments, store, lock, beginning)


def open_to_read(directory: Path, network_id: bytes) -> Onlooker:
    """Open segments and state beside a running node, or without one; changes nothing. Raises as `open_directory`."""
    files = OsFiles()
    check_format(directory, network_id, files)
    segments = Segments.open(directory / _SEGMENTS, files, network_id, writable=False)
    return Onlooker(segments, StateStore.open(directory / _STATE, network_id, writer=False))


def write_format(directory: Path, files: Files, network_id: bytes) -> None:
    """Write `format.json` whole, durable on return, in place of one that is there."""
    unfinished = directory / f"{FORMAT_NAME}.tmp"
    if unfinished.name in files.list(directory):
        files.unlink(unfinished)
    file = files.open(unfinished, create=True)
    try:
        file.write_at(0, _format_of(network_id))
        file.sync()
    finally:
        file.close()
    files.sync_directory(directory)
    files.rename(unfinished, directory / FORMAT_NAME)
    files.sync_directory(directory)


def _format_of(network_id: bytes) -> bytes:
    content = {"format": LAYOUT_VERSION, "network_id": network_id.hex()}
    return (json.dumps(content, indent=1) + "\n").encode()


def read_format(directory: Path, files: Files) -> bytes:
    """The id of the network whose directory it is.

    Raises FileNotFoundError, ValueError (not what `write_format` wrote), OperatorFault (a newer format).
    """
    file = files.open(directory / FORMAT_NAME, writable=False)
    try:
        data = file.read_at(0, 4096)
    finally:
        file.close()
    try:
        content = json.loads(data)
        version, network_id = int(content["format"]), bytes.fromhex(content["network_id"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(str(error)) from error
    if len(network_id) != 32:
        raise ValueError("a network's id has 32 bytes")
    if version != LAYOUT_VERSION:
        words = f"{directory} has format {version}, this program knows {LAYOUT_VERSION}"
        raise OperatorFault(f"{words}: run the program that wrote it, or a newer one")
    if data != _format_of(network_id):
        raise ValueError("it says so in other bytes than were written")
    return network_id


def check_format(directory: Path, network_id: bytes, files: Files) -> None:
    """Raises OperatorFault unless this is a data directory of the network, in the format that is written here."""
    try:
        found_id = read_format(directory, files)
    except FileNotFoundError:
        words = f"{directory} is no data directory of papilio, or its creation was interrupted: create the node anew"
        if _names(directory / _SEGMENTS, files):
            words = f"{directory} has lost its {FORMAT_NAME}; {repair_command(directory)}"
        raise OperatorFault(words) from None
    except ValueError as error:
        words = f"{directory / FORMAT_NAME} cannot be read: {error}; {repair_command(directory)}"
        raise OperatorFault(words) from error
    if found_id != network_id:
        words = f"{directory} belongs to network {found_id.hex()}, not {network_id.hex()}"
        raise OperatorFault(f"{words}: papilio store check says whether its {FORMAT_NAME} is damaged")


def _names(directory: Path, files: Files) -> list[str]:
    try:
        return files.list(directory)
    except FileNotFoundError:
        return []


def repair_command(directory: Path) -> str:
    """What to do about damage, in words. A data directory does not know where its node.toml is: so `--network`."""
    words = "network.toml, and the API of another node"
    return f"run: papilio store repair {directory} --network FILE --from URL ({words}); see papilio store check"
