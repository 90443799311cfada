"""A disk in memory that loses, tears and reorders what was not synced; and remembers every step of a run.

`Disk` is a `Files`. After each write, truncation, sync and change of a name it keeps a `Moment`: what is durable, what
is pending, and what the test said had been promised by then. `crashes(moment)` gives the disks that a power cut at
that moment can leave: all pending lost, all kept, the last write torn at several places, and seeded mixtures where
each 16-byte piece of each pending write and each pending name is kept or lost on its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from daemon.store.errors import DiskFull, StoreFailed

PIECE_BYTES = 16
MIXTURES = 6

Write = tuple[int, bytes | None]
"""Offset and data; data None is a truncation to the offset."""
NameChange = tuple[tuple[Path, int | None], ...]
"""Names and the files they get (None: the name goes), all at once."""


def applied(content: bytes, write: Write) -> bytes:
    offset, data = write
    if data is None:
        return content[:offset].ljust(offset, b"\0")
    return content[:offset].ljust(offset, b"\0") + data + content[offset + len(data) :]


@dataclass(frozen=True)
class Inode:
    """One file: what is durable, and what came after."""

    durable: bytes = b""
    pending: tuple[Write, ...] = ()

    def current(self) -> bytes:
        content = self.durable
        for write in self.pending:
            content = applied(content, write)
        return content


@dataclass(frozen=True)
class Moment:
    """The disk after one step of a run, and what the test had been promised."""

    step: str
    inodes: dict[int, Inode]
    names: dict[Path, int]
    changes: tuple[NameChange, ...]
    promised: object


@dataclass
class Disk:
    """See the module. `syncs_until_failure` and `capacity_bytes` inject a failing sync and a full disk."""

    inodes: dict[int, Inode] = field(default_factory=dict)
    durable_names: dict[Path, int] = field(default_factory=dict)
    changes: tuple[NameChange, ...] = ()
    directories: set[Path] = field(default_factory=set)
    moments: list[Moment] = field(default_factory=list)
    promised: object = None
    recording: bool = True
    syncs_until_failure: int | None = None
    capacity_bytes: int | None = None

    def names(self) -> dict[Path, int]:
        names = dict(self.durable_names)
        for change in self.changes:
            rename(names, change)
        return names

    def step(self, words: str) -> None:
        if self.recording:
            moment = Moment(words, dict(self.inodes), dict(self.durable_names), self.changes, self.promised)
            self.moments.append(moment)

    def content(self, path: Path) -> bytes:
        return self.inodes[self.names()[path]].current()

    def put(self, path: Path, content: bytes) -> None:
        """Place a durable file, as a fault outside any run."""
        number = self.names().get(path, len(self.inodes))
        self.inodes[number] = Inode(content)
        self.durable_names[path] = number

    def fork(self) -> Disk:
        """The same disk, with nothing pending, for a fault to be put on."""
        settled = {number: Inode(inode.current()) for number, inode in self.inodes.items()}
        return Disk(settled, self.names(), directories=set(self.directories), recording=False)

    # -- Files --------------------------------------------------------------------------------------

    def open(self, path: Path, *, create: bool = False, writable: bool = True) -> DiskFile:
        names = self.names()
        if create:
            assert path not in names, f"{path} exists"
            number = len(self.inodes)
            self.inodes[number] = Inode()
            self._change(((path, number),), f"create {path.name}")
            return DiskFile(self, number, writable)
        if path not in names:
            raise FileNotFoundError(str(path))
        return DiskFile(self, names[path], writable)

    def list(self, directory: Path) -> list[str]:
        if directory not in self.directories:
            raise FileNotFoundError(str(directory))
        return sorted(path.name for path in self.names() if path.parent == directory)

    def make_directory(self, path: Path) -> None:
        self.directories.add(path)

    def rename(self, old: Path, new: Path) -> None:
        self._change(((new, self.names()[old]), (old, None)), f"rename {old.name}")

    def link(self, old: Path, new: Path) -> None:
        assert new not in self.names(), f"{new} exists"
        self._change(((new, self.names()[old]),), f"link {old.name}")

    def unlink(self, path: Path) -> None:
        assert path in self.names(), f"{path} is not there"
        self._change(((path, None),), f"unlink {path.name}")

    def sync_directory(self, directory: Path) -> None:
        self._maybe_fail()
        ours = tuple(change for change in self.changes if change[0][0].parent == directory)
        for change in ours:
            rename(self.durable_names, change)
        self.changes = tuple(change for change in self.changes if change not in ours)
        self.step("sync directory")

    def free_bytes(self, path: Path) -> int:
        return 1 << 40

    def _change(self, change: NameChange, words: str) -> None:
        self.changes = (*self.changes, change)
        self.step(words)

    def _maybe_fail(self) -> None:
        if self.syncs_until_failure is not None:
            self.syncs_until_failure -= 1
            if self.syncs_until_failure < 0:
                raise StoreFailed("injected: the sync failed")


@dataclass
class DiskFile:
    """An open file of a `Disk`."""

    disk: Disk
    number: int
    writable: bool

    def write_at(self, offset: int, data: bytes) -> None:
        capacity = self.disk.capacity_bytes
        fits = len(data) if capacity is None else max(0, min(len(data), capacity - offset))
        self._pend((offset, bytes(data[:fits])), "write")
        if fits < len(data):
            raise DiskFull("injected: no room")

    def read_at(self, offset: int, count: int) -> bytes:
        return self.disk.inodes[self.number].current()[offset : offset + count]

    def allocate(self, offset: int, count: int) -> None:
        if self.size() < offset + count:
            self._pend((self.size(), bytes(offset + count - self.size())), "allocate")

    def sync(self) -> None:
        self.disk._maybe_fail()
        self.disk.inodes[self.number] = Inode(self.disk.inodes[self.number].current())
        self.disk.step("sync")

    def truncate(self, length: int) -> None:
        self._pend((length, None), "truncate")

    def size(self) -> int:
        return len(self.disk.inodes[self.number].current())

    def close(self) -> None:
        pass

    def _pend(self, write: Write, words: str) -> None:
        assert self.writable, "opened to read"
        inode = self.disk.inodes[self.number]
        self.disk.inodes[self.number] = replace(inode, pending=(*inode.pending, write))
        self.disk.step(words)


def rename(names: dict[Path, int], change: NameChange) -> None:
    for path, number in change:
        if number is None:
            names.pop(path, None)
        else:
            names[path] = number


def crashes(moment: Moment, directories: set[Path]) -> Iterator[tuple[str, Disk]]:
    """Each disk that a power cut at `moment` can leave, with words for a failing test."""

    def disk(contents: dict[int, bytes], changes: tuple[NameChange, ...]) -> Disk:
        names = dict(moment.names)
        for change in changes:
            rename(names, change)
        return Disk({number: Inode(data) for number, data in contents.items()}, names, directories=set(directories))

    lost = {number: inode.durable for number, inode in moment.inodes.items()}
    kept = {number: inode.current() for number, inode in moment.inodes.items()}
    yield "lost", disk(lost, ())
    yield "kept", disk(kept, moment.changes)
    yield "data without names", disk(kept, ())
    yield "names without data", disk(lost, moment.changes)
    yield "lengths without data", disk({n: lost[n].ljust(len(kept[n]), b"\0") for n in lost}, moment.changes)
    for number, inode in moment.inodes.items():
        if inode.pending and inode.pending[-1][1]:
            offset, data = inode.pending[-1]
            assert data is not None
            before = Inode(inode.durable, inode.pending[:-1]).current()
            for cut in sorted({1, len(data) // 3, len(data) // 2, len(data) - 1}):
                torn = applied(before, (offset, data[:cut]))
                yield f"torn at {cut}", disk({**kept, number: torn}, moment.changes)
    for seed in range(MIXTURES):
        random = Random(f"{moment.step} {seed}")
        contents = {number: mixture(inode, random) for number, inode in moment.inodes.items()}
        changes = tuple(change for change in moment.changes if random.random() < 0.5)
        yield f"mixture {seed}", disk(contents, changes)


def mixture(inode: Inode, random: Random) -> bytes:
    """Pieces of pending writes, each kept or lost on its own; the length follows what was kept, or not."""
    content = inode.durable
    for offset, data in inode.pending:
        if data is None:
            content = applied(content, (offset, None)) if random.random() < 0.5 else content
            continue
        for at in range(0, len(data), PIECE_BYTES):
            if random.random() < 0.6:
                content = applied(content, (offset + at, data[at : at + PIECE_BYTES]))
    full = len(inode.current())
    return content.ljust(full, b"\0") if random.random() < 0.5 else content
