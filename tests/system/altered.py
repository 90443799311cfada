"""A node in an altered world: its wall clock is off, and its data directory takes no writes, as long as a test says so.

`python -m tests.system.altered FILE DIRECTORY run …` is `papilio run …` of the same program; only what the system
answers is altered: `time.time_ns` and `time.time`, and the calls with which the store writes below DIRECTORY, which
then fail as those of a read-only file system do (EROFS). FILE is the test's side (`World`): both map it, so that a
change holds from the next call on. Workers are processes of their own and stay as they are: they read no clock, and a
disk that also refuses the state is `disks.py`'s.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

FORM: Final = struct.Struct("<q?")
"""How far the wall clock is ahead, ns; whether nothing may be written."""


class World:
    """The file, mapped. A test makes it with `make`."""

    def __init__(self, file: Path) -> None:
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), FORM.size)

    @classmethod
    def make(cls, file: Path) -> World:
        file.write_bytes(FORM.pack(0, False))
        return cls(file)

    @property
    def ahead_ns(self) -> int:
        return int(FORM.unpack(self._map[:])[0])

    @property
    def read_only(self) -> bool:
        return bool(FORM.unpack(self._map[:])[1])

    def change(self, *, ahead_seconds: int = 0, read_only: bool = False) -> None:
        self._map[:] = FORM.pack(ahead_seconds * 10**9, read_only)


def program(file: Path, directory: Path) -> tuple[str, ...]:
    """What runs in place of `papilio`."""
    return (sys.executable, "-P", "-m", __name__, str(file), str(directory))


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


def main() -> int:
    """Alter the world, then be papilio."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: whoever started this takes it along
    file, directory = map(Path, sys.argv[1:3])
    del sys.argv[1:3]
    world = World(file)
    _shift_clock(world)
    _refuse_writes(world, directory.resolve())
    from daemon.cli.doorway import main as papilio

    return papilio()


if __name__ == "__main__":
    sys.exit(main())
