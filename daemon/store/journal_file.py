"""The bytes of one generation of the journal, and its name in the directory (journal.py says what for).

`journal-00000001.log` is a header, then frames whose bodies are records, each kind (1 byte), length (4 bytes,
little-endian) and content. A generation is written whole under another name and renamed into place, so a file that
has the name has everything that it began with.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from daemon import limits
from daemon.store.files import File, Files
from daemon.store.framing import Seal, make_frame
from protocol.errors import BrokenInvariant, OperatorFault

Record = tuple[int, bytes]
"""Kind (0 to 255) and content."""

FORMAT_VERSION: Final = 1
_MAGIC: Final = b"papilioj"
_HEADER: Final = struct.Struct("<8sHH32s16sQ")
_HEADER_CHECK_BYTES: Final = 8
HEADER_BYTES: Final = _HEADER.size + _HEADER_CHECK_BYTES
_FORGOTTEN: Final = 1
_RECORD: Final = struct.Struct("<BI")
_LOG_NAME: Final = re.compile(r"journal-(\d{8})\.log")


@dataclass(frozen=True, slots=True)
class Header:
    """The first bytes of a generation."""

    network_id: bytes
    journal_id: bytes
    generation: int
    forgotten: bool

    def encode(self) -> bytes:
        """`HEADER_BYTES` bytes, the last eight a check of the others."""
        flags = _FORGOTTEN if self.forgotten else 0
        fields = _HEADER.pack(_MAGIC, FORMAT_VERSION, flags, self.network_id, self.journal_id, self.generation)
        return fields + blake2b(fields, digest_size=_HEADER_CHECK_BYTES).digest()

    def seal(self) -> Seal:
        """The checks of this generation's frames. The id is random and never published: nobody can forge one."""
        return Seal(self.journal_id + self.network_id + self.generation.to_bytes(8, "little"))

    @staticmethod
    def decode(data: bytes) -> Header | None:
        """The header, or None if it does not check. Raises OperatorFault for a newer format."""
        fields = data[: _HEADER.size]
        if len(data) != HEADER_BYTES or not data.startswith(_MAGIC):
            return None
        if blake2b(fields, digest_size=_HEADER_CHECK_BYTES).digest() != data[_HEADER.size :]:
            return None
        _, version, flags, network_id, journal_id, generation = _HEADER.unpack(fields)
        if version != FORMAT_VERSION:
            raise OperatorFault(
                f"the journal has format {version}, this program knows {FORMAT_VERSION}; run a newer one"
            )
        return Header(network_id, journal_id, generation, bool(flags & _FORGOTTEN))


def generation_name(generation: int) -> str:
    """File name of a generation."""
    return f"journal-{generation:08d}.log"


def generations(files: Files, directory: Path) -> list[int]:
    """The whole generations in `directory`, ascending."""
    try:
        names = files.list(directory)
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for name in names if (match := _LOG_NAME.fullmatch(name)))


def write_generation(directory: Path, files: Files, header: Header, records: Sequence[bytes]) -> File:
    """Write, sync and put into place a generation of `records`, closed by an empty group that names them as synced."""
    name = generation_name(header.generation)
    unfinished = directory / f"{name}.tmp"
    files.make_directory(directory)
    if unfinished.name in files.list(directory):
        files.unlink(unfinished)
    file = files.open(unfinished, create=True)
    try:
        content = b"".join(groups(header.seal(), HEADER_BYTES, HEADER_BYTES, records))
        end = HEADER_BYTES + len(content)
        file.write_at(0, header.encode() + content + make_frame(header.seal(), end, 0, end, b""))
        file.sync()
        files.rename(unfinished, directory / name)
        files.sync_directory(directory)
    except BaseException:
        file.close()
        raise
    return file


def retire(directory: Path, files: Files, generation: int, *, keep: bool) -> None:
    """Remove half-made generations and those below `generation`; with `keep` give these another name instead."""
    changed = False
    for name in files.list(directory):
        match = _LOG_NAME.fullmatch(name)
        if match and int(match[1]) < generation:
            if keep:
                files.rename(directory / name, directory / f"{name}.kept")
            else:
                files.unlink(directory / name)
            changed = True
        elif name.endswith(".tmp"):
            files.unlink(directory / name)
            changed = True
    if changed:
        files.sync_directory(directory)


def groups(seal: Seal, offset: int, synced: int, records: Sequence[bytes]) -> list[bytes]:
    """Frames for `records`, each of bounded size, the first to stand at `offset`; none for no records."""
    frames: list[bytes] = []
    body: list[bytes] = []
    body_bytes = 0
    for record in records:
        if body and body_bytes + len(record) > limits.JOURNAL_GROUP_BYTES_MAX:
            frames.append(make_frame(seal, offset, 0, synced, b"".join(body)))
            offset, body, body_bytes = offset + len(frames[-1]), [], 0
        body.append(record)
        body_bytes += len(record)
    if body:
        frames.append(make_frame(seal, offset, 0, synced, b"".join(body)))
    return frames


def encode_record(kind: int, data: bytes) -> bytes:
    """One record as it stands in a group."""
    assert 0 <= kind <= 255, "a kind is one byte"
    assert len(data) <= limits.JOURNAL_RECORD_BYTES_MAX, "a record is bounded"
    return _RECORD.pack(kind, len(data)) + data


def decode_records(body: bytes) -> list[Record]:
    """The records of a group that checked. Raises BrokenInvariant if it does not parse: we wrote it."""
    records: list[Record] = []
    offset = 0
    while offset < len(body):
        kind, length = _RECORD.unpack_from(body, offset)
        offset += _RECORD.size
        if offset + length > len(body):
            raise BrokenInvariant("a group of the journal checks and does not parse")
        records.append((kind, body[offset : offset + length]))
        offset += length
    return records
