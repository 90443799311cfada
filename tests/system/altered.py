"""A node in an altered world: its wall clock is off, and its data directory takes no writes, as long as a test says so.

The program is the same, `papilio run`; what the system answers to it and its workers is altered: `time.time_ns` and
`time.time`, and the calls with which the store writes below the node's data directory, which then fail as those of a
read-only file system do (EROFS). Python imports `sitecustomize` first of all, and the one that `World.make` writes
brings this module. Both sides map one small file, so that a change holds from the next call on.

LMDB does not write by Python's calls: a disk that also refuses the state is `disks.py`'s.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.system.processes import NodeProcess

FORM: Final = struct.Struct("<q?")
"""How far the wall clock is ahead, ns; whether nothing may be written."""


class World:
    """The file, mapped. A test makes it with `make`."""

    def __init__(self, file: Path) -> None:
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), FORM.size)

    @classmethod
    def make(cls, place: Path, node: NodeProcess) -> World:
        """A world in the new directory `place`, for this node from its next start on."""
        place.mkdir()
        file = place / "world"
        file.write_bytes(FORM.pack(0, False))
        lines = ["from tests.system import altered", f"altered.alter({str(file)!r}, {str(node.data)!r})", ""]
        (place / "sitecustomize.py").write_text("\n".join(lines))
        node.python_path = (place,)
        return cls(file)

    @property
    def ahead_ns(self) -> int:
        return int(FORM.unpack(self._map[:])[0])

    @property
    def read_only(self) -> bool:
        return bool(FORM.unpack(self._map[:])[1])

    def change(self, *, ahead_seconds: int = 0, read_only: bool = False) -> None:
        self._map[:] = FORM.pack(ahead_seconds * 10**9, read_only)


def alter(file: str, directory: str) -> None:
    """In the node, before anything else."""
    world = World(Path(file))
    _shift_clock(world)
    _refuse_writes(world, Path(directory).resolve())


def _shift_clock(world: World) -> None:
    real = time.time_ns
    time.time_ns = lambda: real() + world.ahead_ns
    time.time = lambda: time.time_ns() / 1e9


def _refuse_writes(world: World, directory: Path) -> None:
    for name in ("pwrite", "posix_fallocate", "ftruncate"):
        setattr(os, name, _refusing(world, directory, getattr(os, name)))
    plain = os.open

    def opening(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY):
            _check(world, directory, os.fsdecode(path))
        return plain(path, flags, *rest, **more)

    os.open = opening


def _refusing(world: World, directory: Path, call: Callable[..., Any]) -> Callable[..., Any]:
    def checked(descriptor: int, *rest: Any) -> Any:
        _check(world, directory, os.readlink(f"/proc/self/fd/{descriptor}"))
        return call(descriptor, *rest)

    return checked


def _check(world: World, directory: Path, path: str) -> None:
    if world.read_only and path.startswith(f"{directory}/"):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
