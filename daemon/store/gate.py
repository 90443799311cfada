"""A gate that many pass and one closes: the memory map may only be moved while no transaction of this process uses it.

`passing` counts who is inside and waits while the gate is closed; `closed` waits until everyone is out. A thread that
is inside may pass again although the gate is closing, else it would wait for itself; it may not close it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, local


class Gate:
    """See the module."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._inside = 0
        self._closed = False
        self._mine = local()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Be inside; blocks while the gate is closed."""
        depth = getattr(self._mine, "depth", 0)
        with self._changed:
            while self._closed and depth == 0:
                self._changed.wait()
            self._inside += 1
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            self._mine.depth = depth
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Be alone; blocks until everyone is out."""
        assert getattr(self._mine, "depth", 0) == 0, "a thread with an open reader cannot close the gate"
        with self._changed:
            while self._closed:
                self._changed.wait()
            self._closed = True
            while self._inside:
                self._changed.wait()
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()
