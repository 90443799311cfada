"""Long values and blocks, squeezed: what a node writes by the megabyte says the same words again and again.

Every envelope names its network, its signers and its operations' fields; every record of a page names its space and
its owner. Zstandard at its quickest takes a quarter to three fifths of that away, at hundreds of megabytes a second;
what is random (keys, digests, signatures) stays as long as it is. A value is squeezed and opened by itself.

    squeezed    0xC1, one Zstandard frame that says its content's size
    as it was   anything else

0xC1 is the byte that begins no MessagePack (and all that is stored is that): a value that begins with it all the same
is squeezed whatever comes of it. What is not shorter afterwards stays as it was, as does what is too short for a try.

Nothing here is hashed or signed: roots, names and proofs are of what was stored, not of how. Another version of the
library may make other bytes of the same content.

Deliberately absent: dictionaries learned from the data, which save more, and lose everything with one damaged file.
"""

from __future__ import annotations

from threading import local
from typing import TYPE_CHECKING, Final

from daemon import limits

if TYPE_CHECKING:
    from zstandard import ZstdCompressor, ZstdDecompressor

_LEAST_BYTES: Final = 200
_MARK: Final = b"\xc1"
_LEVEL: Final = 1
OPENED_HEAD_BYTES: Final = 19
"""So many bytes of a value say how long it is once it is opened: the longest head of a frame (RFC 8878, 3.1.1.1)."""


class Unsqueezable(Exception):
    """What is marked as squeezed cannot be opened: it is damaged, or too long."""


class _Tools(local):
    """The library's contexts are for one thread each, and cost more to make than to use.

    It is loaded with the first long value: a node that idles needs none of it.
    """

    compressor: ZstdCompressor | None = None
    decompressor: ZstdDecompressor | None = None


_tools: Final = _Tools()


def squeeze(data: bytes) -> bytes:
    """How `data` is stored."""
    marked = data.startswith(_MARK)
    if not marked and not _LEAST_BYTES <= len(data) <= limits.UNSQUEEZED_BYTES_MAX:
        return data
    assert len(data) <= limits.UNSQUEEZED_BYTES_MAX, "what is squeezed can be opened"
    compressor = _tools.compressor
    if compressor is None:
        from zstandard import ZstdCompressor

        compressor = _tools.compressor = ZstdCompressor(level=_LEVEL, write_checksum=False)
    squeezed = _MARK + compressor.compress(data)
    return squeezed if marked or len(squeezed) < len(data) else data


def opened_bytes(head: bytes, stored_bytes: int) -> int:
    """How long a value is once it is opened, by its first `OPENED_HEAD_BYTES` and its length on disk.

    Not more than a hint: nothing else of it is looked at.
    """
    if not head.startswith(_MARK):
        return stored_bytes
    import zstandard

    try:
        size = zstandard.frame_content_size(head[1:])
    except zstandard.ZstdError:
        return stored_bytes
    return max(stored_bytes, size) if size <= limits.UNSQUEEZED_BYTES_MAX else stored_bytes


def unsqueeze(stored: bytes, bytes_max: int = limits.UNSQUEEZED_BYTES_MAX) -> bytes:
    """What was stored; what is squeezed opens to at most `bytes_max` bytes. Raises Unsqueezable."""
    if not stored.startswith(_MARK):
        return stored
    import zstandard

    decompressor = _tools.decompressor
    if decompressor is None:
        decompressor = _tools.decompressor = zstandard.ZstdDecompressor()
    squeezed = memoryview(stored)[1:]
    try:
        size = zstandard.frame_content_size(squeezed)
        # A frame without its size (-1) is none of ours: nothing would bound what it opens to. Nor is one of nothing,
        # of which the library looks at no more.
        if not 0 < size <= bytes_max:
            raise Unsqueezable(f"it would open to {size} bytes")
        data: bytes = decompressor.decompress(squeezed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Unsqueezable(str(error)) from error
    return data
