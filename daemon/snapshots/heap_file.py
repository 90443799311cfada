"""A heap of pairs that spills to disk: memory is bounded however large the state is (`snapshot.pieces.Heap`).

All pairs are first written to one file, in the order in which the state is read, so that the view of the state is held
for as short as may be. A heap that is too large to be sorted at once goes to sixteen files, by the nibble of the path
at its depth, and so on for each of these.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from protocol import limits
from protocol.crypto.trie import path_of
from protocol.crypto.trie_nodes import nibbles_of
from protocol.snapshot.pieces import Heap, Pair

MEMORY_BYTES: Final = 32 * limits.MIB
_LENGTHS: Final = struct.Struct(">HI")
_BUFFER: Final = 1 << 18


class HeapFile:
    """One file of pairs, appended to, then read once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb", buffering=_BUFFER)
        self.size = 0

    def add(self, key: bytes, value: bytes) -> None:
        """One more pair."""
        self._file.write(_LENGTHS.pack(len(key), len(value)) + key + value)
        self.size += len(key) + len(value)

    def sorted(self) -> list[Pair]:
        """All pairs, ascending by path; the file is gone then."""
        found = sorted(Pair(nibbles_of(path_of(key)), key, value) for key, value in self._read())
        self._path.unlink()
        return found

    def split(self, depth: int) -> list[Heap]:
        """Sixteen heaps; this one is gone then."""
        heaps = spread(self._read(), self._path, depth)
        self._path.unlink()
        return list(heaps)

    def _read(self) -> Iterator[tuple[bytes, bytes]]:
        self._file.close()
        with self._path.open("rb", buffering=_BUFFER) as file:
            while head := file.read(_LENGTHS.size):
                key_bytes, value_bytes = _LENGTHS.unpack(head)
                yield file.read(key_bytes), file.read(value_bytes)


def spread(pairs: Iterable[tuple[bytes, bytes]], path: Path, depth: int) -> list[HeapFile]:
    """Sixteen files beside `path`, by the nibble at `depth`."""
    heaps = [HeapFile(path.with_name(f"{path.name}{nibble:x}")) for nibble in range(16)]
    byte, high = divmod(depth, 2)
    for key, value in pairs:
        at = path_of(key)[byte]
        heaps[at & 15 if high else at >> 4].add(key, value)
    return heaps


def heap_of(pairs: Iterable[tuple[bytes, bytes]], path: Path) -> HeapFile:
    """All pairs in one file at `path`."""
    heap = HeapFile(path)
    for key, value in pairs:
        heap.add(key, value)
    return heap
