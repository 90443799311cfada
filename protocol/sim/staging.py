"""What a joiner keeps on its disk (`snapshot.staging`): found at once, durable with the next commit.

As in the daemon a commit is one transaction: a crash takes all that came since the last one.
"""

from __future__ import annotations


class Staging:
    """A `snapshot.staging.Staged` that forgets at a crash what was not committed."""

    __slots__ = ("_durable", "_now", "_writing")

    def __init__(self) -> None:
        self._now: dict[bytes, bytes] = {}
        self._writing: dict[bytes, bytes] | None = None
        """What the commit under way makes durable."""
        self._durable: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        return self._now.get(key)

    def has(self, key: bytes) -> bool:
        """Whether there is one."""
        return key in self._now

    def put(self, key: bytes, value: bytes) -> None:
        """Keep this."""
        self._now[key] = value

    def begin_commit(self) -> None:
        """Make durable what is here now."""
        self._writing = dict(self._now)

    def end_commit(self) -> None:
        """It is."""
        if self._writing is not None:
            self._durable, self._writing = self._writing, None

    def forget(self) -> None:
        """Drop everything but how epochs ended, durable at once."""
        self._now = {key: value for key, value in self._now.items() if key.startswith(b"e")}
        self._durable, self._writing = dict(self._now), None

    def crash(self) -> None:
        """Only what was committed is left."""
        self._now, self._writing = dict(self._durable), None

    def image(self) -> Staging:
        """A copy of what is durable."""
        copy = Staging()
        copy._durable = dict(self._durable)
        copy.crash()
        return copy
