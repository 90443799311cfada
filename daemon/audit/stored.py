"""A node's state store, seen from outside through a process of its own (state_child.py).

Whatever is wrong with the file, the audit goes on: a store that cannot be opened or read, or that takes its reader's
process down, raises `Unreadable` with words, once and for all.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import daemon
from daemon.runtime.workers.frames import READ_BYTES, Unframer, pack
from protocol.errors import STORE_FAILED, PapilioError
from protocol.ledger.tables import Table

GET_KEYS: Final = 4_096
ANSWER_SECONDS: Final = 300
_ROOT: Final = str(Path(daemon.__file__).resolve().parent.parent)
"""Where this program's packages lie: the process uses these and no others of the same name."""


class Unreadable(PapilioError):
    """The state store cannot be read."""

    code = STORE_FAILED


class StoredState:
    """Reads one store. Not thread-safe."""

    def __init__(self, directory: Path, network_id: bytes) -> None:
        command = [sys.executable, "-P", "-m", "daemon.audit.state_child", str(directory), network_id.hex()]
        self._child = subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": _ROOT},
        )
        self._unframer = Unframer()
        self._failed: str | None = None
        try:
            self._receive()
        except BaseException:
            self.close()
            raise

    def fresh(self) -> int:
        """Look at the newest state; its height, -1 for an empty store."""
        height = self._ask(["fresh"])
        return -1 if height is None else int(height)

    def leave(self) -> None:
        """Let go of the view."""
        self._ask(["leave"])

    def get(self, places: Sequence[tuple[Table, bytes]]) -> Iterator[bytes | None]:
        """The values at these places, in their order."""
        at = 0
        while at < len(places):
            values = self._ask(["get", [[table.value, key] for table, key in places[at : at + GET_KEYS]]])
            yield from values
            at += len(values)

    def pairs(self, table: Table) -> Iterator[tuple[bytes, bytes]]:
        """All of a table, ascending."""
        start = b""
        while True:
            part = self._ask(["scan", table.value, start])
            if not part:
                return
            yield from ((key, value) for key, value in part)
            start = part[-1][0] + b"\0"

    def count(self, table: Table) -> int:
        """How many pairs a table holds."""
        return int(self._ask(["count", table.value]))

    def close(self) -> None:
        """End the process."""
        if self._child.stdin is not None:
            with suppress(OSError):
                self._child.stdin.close()
        self._child.kill()
        self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()

    def _ask(self, request: list[Any]) -> Any:
        if self._failed is not None:
            raise Unreadable(self._failed)
        assert self._child.stdin is not None, "it was started with pipes"
        try:
            self._child.stdin.write(pack(request))
            self._child.stdin.flush()
        except OSError:
            pass  # it has ended: reading says how
        return self._receive()

    def _receive(self) -> Any:
        while data := self._read():
            for kind, value in list(self._unframer.feed(data)):  # all of it: its end clears what was read
                if kind == "ok":
                    return value
                self._failed = str(value)
                raise Unreadable(self._failed)
        if self._failed is not None:
            raise Unreadable(self._failed)
        code = self._child.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._failed = f"reading it ended the reading process with {how}: the file is damaged"
        raise Unreadable(self._failed)

    def _read(self) -> bytes:
        """Some bytes of an answer; none at its end, and after `ANSWER_SECONDS` without any: damage can be a circle."""
        assert self._child.stdout is not None, "it was started with pipes"
        ready, _, _ = select.select([self._child.stdout], [], [], ANSWER_SECONDS)
        if not ready:
            self._child.kill()
            self._failed = f"reading it gave no answer in {ANSWER_SECONDS} s: the file is damaged"
            return b""
        return os.read(self._child.stdout.fileno(), READ_BYTES)
