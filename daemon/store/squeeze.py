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

LEAST_BYTES: Final = 200
_MARK: Final = 0xC1
_PREFIX: Final = bytes([_MARK])
_LEVEL: Final = 1


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
    if not data.startswith(_PREFIX) and not LEAST_BYTES <= len(data) <= limits.UNSQUEEZED_BYTES_MAX:
        return data
    compressor = _tools.compressor
    if compressor is None:
        from zstandard import ZstdCompressor

        compressor = _tools.compressor = ZstdCompressor(level=_LEVEL, write_checksum=False)
    squeezed = _PREFIX + compressor.compress(data)
    return squeezed if len(squeezed) < len(data) or data.startswith(_PREFIX) else data


def unsqueeze(stored: bytes) -> bytes:
    """What was stored. Raises Unsqueezable."""
    if not stored or stored[0] != _MARK:
        return stored
    import zstandard

    decompressor = _tools.decompressor
    if decompressor is None:
        decompressor = _tools.decompressor = zstandard.ZstdDecompressor()
    squeezed = memoryview(stored)[1:]
    try:
        size = zstandard.frame_content_size(squeezed)
        # A frame without its size (-1) is none of ours: nothing would bound what it opens to.
        if not 0 <= size <= limits.UNSQUEEZED_BYTES_MAX:
            raise Unsqueezable(f"it would open to {size} bytes")
        data: bytes = decompressor.decompress(squeezed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Unsqueezable(str(error)) from error
    return data
