"""msgpack by hand, as far as keys and broken messages need it: for those who must not use the codec.

Actors write what no record class would; checkers compute keys and roots without the code that they check.
"""

from __future__ import annotations


def array_head(items: int) -> bytes:
    """Head of an array of fewer than 65,536 items."""
    return bytes([0x90 | items]) if items < 16 else b"\xdc" + items.to_bytes(2, "big")


def binary(data: bytes) -> bytes:
    """A byte string."""
    size = len(data)
    if size < 256:
        return b"\xc4" + bytes([size]) + data
    return (b"\xc5" + size.to_bytes(2, "big") if size < 65_536 else b"\xc6" + size.to_bytes(4, "big")) + data


def text(words: str) -> bytes:
    """A text of fewer than 256 bytes."""
    data = words.encode()
    return (bytes([0xA0 | len(data)]) if len(data) < 32 else b"\xd9" + bytes([len(data)])) + data


def integer(number: int) -> bytes:
    """An integer, not negative, in its shortest form."""
    if number < 128:
        return bytes([number])
    for head, size in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
        if number < 256**size:
            return bytes([head]) + number.to_bytes(size, "big")
    raise AssertionError("more than eight bytes")


def array(*items: bytes | str | int | None) -> bytes:
    """An array of byte strings, texts, integers and nils: a key of the state (L-20)."""
    return array_head(len(items)) + b"".join(map(_item, items))


def _item(item: bytes | str | int | None) -> bytes:
    match item:
        case None:
            return b"\xc0"
        case bytes():
            return binary(item)
        case str():
            return text(item)
    return integer(item)
