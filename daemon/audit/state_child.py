"""A process that reads one state store for an audit: `python -m daemon.audit.state_child DIRECTORY NETWORK_ID`.

LMDB maps its file and believes it: a page number that damage has changed, or a file cut short, can end the process that
follows it with a signal. So nobody follows it but this process, and an audit outlives it. It answers requests on its
standard input, one frame each (daemon/runtime/workers/frames.py), on its standard output:

    ["get", [[table, key], ...]]            the values, nil for none: at least one, as many as fit into an answer
    ["scan", table, start]                  [key, value] pairs, ascending, as many; none at the end
    ["count", table]                        pairs in a table
    ["fresh"]                               from now on the newest view; gives its height
    ["leave"]                               lets go of the view

A fault that it survives is answered as ["fault", words]. A view is kept between `fresh`es; the asker keeps that short,
since a running node cannot use pages again that an old view still needs.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import lmdb

from daemon.runtime.workers.frames import READ_BYTES, Unframer, pack
from daemon.store.rows import StateReader
from daemon.store.tables import StateStore
from protocol.errors import PapilioError
from protocol.ledger.tables import Table
from protocol.limits import MIB

ANSWER_BYTES: Final = 4 * MIB
"""An answer ends once it is so long: with the longest single value far below a frame's bound."""
PAIRS: Final = 2_000
SCANNED: Final = 50


class Server:
    """Answers requests on one store."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._view = ExitStack()
        self._reader: StateReader | None = None

    def answer(self, request: list[Any]) -> Any:
        """The answer to one request."""
        name, *rest = request
        if name == "fresh":
            self._view.close()
            self._reader = self._view.enter_context(self._store.reader())
            return self._reader.height
        if name == "leave":
            self._view.close()
            self._reader = None
            return None
        assert self._reader is not None, "a view is taken first"
        if name == "get":
            return self._values(self._reader, rest[0])
        if name == "scan":
            return self._pairs(self._reader, Table(rest[0]), rest[1])
        assert name == "count", name
        return self._reader.count(Table(rest[0]))

    @staticmethod
    def _values(reader: StateReader, places: list[Any]) -> list[bytes | None]:
        found: list[bytes | None] = []
        size = 0
        for table, key in places:
            value = reader.get(Table(table), key)
            found.append(value)
            size += len(value or b"")
            if size >= ANSWER_BYTES:
                break
        return found

    @staticmethod
    def _pairs(reader: StateReader, table: Table, start: bytes) -> list[list[bytes]]:
        found: list[list[bytes]] = []
        size = 0
        while len(found) < PAIRS and size < ANSWER_BYTES:
            part = reader.scan(table, b"", start, SCANNED)
            found += [list(pair) for pair in part]
            size += sum(len(key) + len(value) for key, value in part)
            if len(part) < SCANNED:
                break
            start = part[-1][0] + b"\0"
        return found


def main() -> int:
    """Serve until the end of standard input."""
    directory, network_id = Path(sys.argv[1]), bytes.fromhex(sys.argv[2])
    out, unframer = sys.stdout.buffer, Unframer()
    try:
        server = Server(StateStore.open(directory, network_id, writer=False))
    except (PapilioError, lmdb.Error, OSError) as fault:
        out.write(pack(["fault", str(fault)]))
        return 0
    out.write(pack(["ok", None]))
    out.flush()
    while data := os.read(0, READ_BYTES):
        for request in unframer.feed(data):
            try:
                answer = ["ok", server.answer(request)]
            except (PapilioError, lmdb.Error) as fault:
                answer = ["fault", str(fault)]
            out.write(pack(answer))
            out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
