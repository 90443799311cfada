"""The index of one sealed segment: where each of its blocks stands. Derived; rebuilt when it is not right.

`00000000000000000001.idx` beside the segment: a header (first height, count, the segment's length, its salt, a check
of the entries, a check of the header), then an offset of 8 bytes for each height, little-endian; 0 where the segment
is damaged. A start reads only the headers: a look at each, so it costs by segments, not by blocks. A lookup reads one
entry; the record that it leads to is checked by itself, so a wrong entry is noticed, and then the whole index is
checked and, if it is to blame, made anew.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from daemon.store.files import Files

INDEX_VERSION: Final = 1
_MAGIC: Final = b"papilioi"
_HEADER: Final = struct.Struct("<8sHQQQ16s8s")
_CHECK_BYTES: Final = 8
INDEX_HEADER_BYTES: Final = _HEADER.size + _CHECK_BYTES
_ENTRY: Final = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class IndexHeader:
    """What an index says of its segment: heights `first` to `first + count - 1`, its length and salt."""

    first: int
    count: int
    segment_bytes: int
    salt: bytes
    entries_check: bytes


def make_index(first: int, offsets: array[int], segment_bytes: int, salt: bytes) -> IndexHeader:
    """The header of an index with these entries."""
    return IndexHeader(first, len(offsets), segment_bytes, salt, _check(_entries(offsets)))


def write_index(files: Files, path: Path, index: IndexHeader, offsets: array[int]) -> None:
    """Write an index whole under another name, sync it, rename it into place. The caller syncs the directory."""
    fields = _HEADER.pack(
        _MAGIC, INDEX_VERSION, index.first, index.count, index.segment_bytes, index.salt, index.entries_check
    )
    unfinished = path.with_name(f"{path.name}.tmp")
    if unfinished.name in files.list(path.parent):
        files.unlink(unfinished)
    file = files.open(unfinished, create=True)
    try:
        file.write_at(0, fields + _check(fields) + _entries(offsets))
        file.sync()
    finally:
        file.close()
    files.rename(unfinished, path)


def read_index_header(files: Files, path: Path) -> IndexHeader | None:
    """The header, or None if there is no index of this version whose header checks and whose length fits."""
    try:
        file = files.open(path, writable=False)
    except FileNotFoundError:
        return None
    try:
        data = file.read_at(0, INDEX_HEADER_BYTES)
        size = file.size()
    finally:
        file.close()
    fields = data[: _HEADER.size]
    if len(data) != INDEX_HEADER_BYTES or _check(fields) != data[_HEADER.size :]:
        return None
    magic, version, first, count, segment_bytes, salt, entries_check = _HEADER.unpack(fields)
    if (magic, version, size) != (_MAGIC, INDEX_VERSION, INDEX_HEADER_BYTES + count * _ENTRY.size):
        return None
    return IndexHeader(first, count, segment_bytes, salt, entries_check)


def read_entries(files: Files, path: Path, at: int, count: int) -> array[int]:
    """`count` offsets from entry `at` on; fewer if the file ends."""
    file = files.open(path, writable=False)
    try:
        data = file.read_at(INDEX_HEADER_BYTES + at * _ENTRY.size, count * _ENTRY.size)
    finally:
        file.close()
    whole = data[: len(data) // _ENTRY.size * _ENTRY.size]
    return array("Q", (offset for (offset,) in _ENTRY.iter_unpack(whole)))


def index_is_right(files: Files, path: Path, header: IndexHeader) -> bool:
    """Whether all entries are what was written with `header`."""
    if read_index_header(files, path) != header:
        return False
    entries = read_entries(files, path, 0, header.count)
    return _check(_entries(entries)) == header.entries_check


def _entries(offsets: array[int]) -> bytes:
    return b"".join(_ENTRY.pack(offset) for offset in offsets)


def _check(data: bytes) -> bytes:
    return blake2b(data, digest_size=_CHECK_BYTES).digest()
