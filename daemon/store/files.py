"""The seam between the store and the file system: as few calls as the store needs, and nothing else.

Journal and segments reach the disk through `Files` and `File` only, so that a test can put a recording disk
in their place, which loses, tears and reorders what was not synced, or fails a sync (testing.md, "Storage").
`OsFiles` is the real one.

What a caller may rely on, and no more:

* A write is durable when a later `File.sync` of the same file returned. Before that any part of it may be
  lost, in any order, with the file's length.
* A name (created, renamed, removed) is durable when a later `Files.sync_directory` of its directory returned.
* `rename` replaces the target at once: after a crash the name is the old file or the new one.

Faults are translated here: no room on a write, or a file system that is read-only, is `DiskFull`; every other fault,
and every fault of a sync, is `StoreFailed`. A missing file is `FileNotFoundError`, as everywhere.

Deliberately absent: the state store. LMDB has its own I/O and its own proof (decisions/0002-state-store.md).
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from daemon.store.errors import DiskFull, StoreFailed

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


class File(Protocol):
    """One open file; offsets and lengths in bytes."""

    def write_at(self, offset: int, data: bytes) -> None:
        """Write all of `data`. Raises DiskFull (part of it may be written) or StoreFailed."""
        ...

    def read_at(self, offset: int, count: int) -> bytes:
        """`count` bytes, fewer at the end of the file. Raises StoreFailed."""
        ...

    def allocate(self, offset: int, count: int) -> None:
        """Reserve room; what was not there reads as zeros and counts in `size`. Raises DiskFull."""
        ...

    def sync(self) -> None:
        """Make the content and length durable. Raises StoreFailed; never repeat it then."""
        ...

    def truncate(self, length: int) -> None:
        """Cut to `length`."""
        ...

    def size(self) -> int:
        """Length in bytes."""
        ...

    def close(self) -> None:
        """Let go of the file; syncs nothing."""
        ...


class Files(Protocol):
    """Names and directories."""

    def open(self, path: Path, *, create: bool = False, writable: bool = True) -> File:
        """Open; with `create` make an empty one that must not exist yet. Raises FileNotFoundError."""
        ...

    def list(self, directory: Path) -> list[str]:
        """Names in `directory`, ascending. Raises FileNotFoundError."""
        ...

    def make_directory(self, path: Path) -> None:
        """Make one directory, of mode 0700, if it is not there."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name in the same directory, replacing what had it."""
        ...

    def link(self, old: Path, new: Path) -> None:
        """Give a file a second name, which does not exist yet, in another directory of the same file system."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        ...

    def sync_directory(self, directory: Path) -> None:
        """Make the names in `directory` durable. Raises StoreFailed."""
        ...

    def free_bytes(self, path: Path) -> int:
        """Room that this user may still fill on the file system of `path`."""
        ...


@contextmanager
def _faults(doing: str) -> Iterator[None]:
    """Translate what the system says while `doing`; a missing file stays what it is."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{doing}: no room left on the disk") from error
        if error.errno == errno.EROFS:
            raise DiskFull(f"{doing}: the disk is read-only") from error
        raise StoreFailed(f"{doing}: {error.strerror or error}") from error


class OsFile:
    """A `File` over a descriptor. `read_at` may be called from several threads; writes are the owner's."""

    __slots__ = ("_descriptor", "_name")

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name

    def write_at(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        with _faults(f"writing {self._name}"):
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                if written == 0:
                    raise StoreFailed(f"writing {self._name}: the system takes nothing and says no error")
                view, offset = view[written:], offset + written

    def read_at(self, offset: int, count: int) -> bytes:
        parts: list[bytes] = []
        with _faults(f"reading {self._name}"):
            while count > 0:
                part = os.pread(self._descriptor, count, offset)
                if not part:
                    break
                parts.append(part)
                count, offset = count - len(part), offset + len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def allocate(self, offset: int, count: int) -> None:
        try:
            os.posix_fallocate(self._descriptor, offset, count)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # a file system without it: writes extend the file
                with _faults(f"reserving room in {self._name}"):
                    raise

    def sync(self) -> None:
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise StoreFailed(f"syncing {self._name}: {error.strerror or error}") from error

    def truncate(self, length: int) -> None:
        with _faults(f"cutting {self._name}"):
            os.ftruncate(self._descriptor, length)

    def size(self) -> int:
        with _faults(f"looking at {self._name}"):
            return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class OsFiles:
    """The real file system."""

    __slots__ = ()

    def open(self, path: Path, *, create: bool = False, writable: bool = True) -> File:
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC
        if create:
            flags |= os.O_CREAT | os.O_EXCL
        with _faults(f"opening {path}"):
            return OsFile(os.open(path, flags, FILE_MODE), str(path))

    def list(self, directory: Path) -> list[str]:
        with _faults(f"listing {directory}"):
            return sorted(os.listdir(directory))

    def make_directory(self, path: Path) -> None:
        with _faults(f"making {path}"):
            path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)

    def rename(self, old: Path, new: Path) -> None:
        with _faults(f"renaming {old} to {new.name}"):
            old.replace(new)

    def link(self, old: Path, new: Path) -> None:
        with _faults(f"linking {old} to {new}"):
            try:
                os.link(old, new)
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                    raise
                _copy(old, new)  # a file system without links

    def unlink(self, path: Path) -> None:
        with _faults(f"removing {path}"):
            path.unlink()

    def sync_directory(self, directory: Path) -> None:
        with _faults(f"opening {directory}"):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            raise StoreFailed(f"syncing {directory}: {error.strerror or error}") from error
        finally:
            os.close(descriptor)

    def free_bytes(self, path: Path) -> int:
        return shutil.disk_usage(path).free


def _copy(old: Path, new: Path) -> None:
    """Copy a file's content, synced on return."""
    with old.open("rb") as source, open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
        target.flush()
        os.fsync(target.fileno())
