"""The state trie's nodes: its four hashes, and a stored branch as bytes (L-20).

`trie` says what the trie is and how a branch is stored; here is the code that knows that layout (with
`_descent.c`, which does the same again: see `trie_descent`).
Children are byte ranges of one buffer, found by counting bits, and not objects: an update touches one or two
of the sixteen and hashes the rest as they lie.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple

from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import HASH_BYTES, digest
from protocol.errors import BrokenInvariant

EMPTY_ROOT: Final = bytes(HASH_BYTES)
"""Root of the empty map."""
ROOT_POSITION: Final = b""

GetNode = Callable[[bytes], bytes | None]
"""Position to stored node."""
PathOf = Callable[[bytes], bytes]
"""Key to path; `path_of` except in tests that need paths with long common prefixes."""

_HEAD_BYTES: Final = 4
_LEAF_BYTES: Final = 2 * HASH_BYTES
_head = Struct(">HH")
_NIBBLE_OF_DIGIT: Final = bytes(int(chr(code), 16) if chr(code) in "0123456789abcdef" else 0 for code in range(256))


class Child(NamedTuple):
    """A non-empty subtree as its parent sees it: its hash and, if it is one leaf, path and value digest (64 bytes)."""

    hash: bytes
    leaf: bytes | None


def path_of(key: bytes) -> bytes:
    """The path of a key (32 bytes)."""
    return digest(Domain.STATE_KEY, key)


def value_digest(value: bytes) -> bytes:
    """Digest of a value as its leaf commits to it (32 bytes)."""
    return digest(Domain.STATE_VALUE, value)


def leaf_hash(leaf: bytes) -> bytes:
    """Hash of the subtree of one leaf, given path and value digest (64 bytes)."""
    return digest(Domain.STATE_LEAF, leaf)


def branch_hash(bitmap: int, hashes: bytes) -> bytes:
    """Hash of a branch, given its bitmap and its children's hashes, joined."""
    return digest(Domain.STATE_BRANCH, bitmap.to_bytes(2, "big") + hashes)


def nibbles_of(path: bytes) -> bytes:
    """The 64 nibbles of a path, one byte each."""
    return path.hex().encode().translate(_NIBBLE_OF_DIGIT)


class Node:
    """A stored branch, opened: a mutable view of its bytes."""

    __slots__ = ("body", "leaves", "present")

    def __init__(self) -> None:
        """A branch without children, to be filled."""
        self.present = self.leaves = 0
        self.body = bytearray(_HEAD_BYTES)

    @classmethod
    def stored(cls, data: bytes, position: bytes) -> Node:
        """The branch stored at `position`.

        Raises BrokenInvariant if the length does not fit the bitmaps: the store is damaged.
        """
        present, leaves = _head.unpack_from(data) if len(data) > _HEAD_BYTES else (0, 0)
        size = _HEAD_BYTES + HASH_BYTES * present.bit_count() + _LEAF_BYTES * leaves.bit_count()
        if len(data) != size or leaves & ~present or not present:
            raise BrokenInvariant(f"the trie node at {position.hex()!r} is damaged")
        node = cls.__new__(cls)
        node.present, node.leaves, node.body = present, leaves, bytearray(data)
        return node

    @property
    def _hashes_end(self) -> int:
        return _HEAD_BYTES + HASH_BYTES * int(self.present.bit_count())

    @property
    def hash(self) -> bytes:
        """Hash of this branch."""
        return branch_hash(self.present, bytes(self.body[_HEAD_BYTES : self._hashes_end]))

    def child(self, nibble: int) -> Child | None:
        """The child at `nibble`, None if it is empty."""
        bit = 1 << nibble
        if not self.present & bit:
            return None
        at = self._hash_at(bit)
        leaf_at = self._leaf_at(bit)
        leaf = bytes(self.body[leaf_at : leaf_at + _LEAF_BYTES]) if self.leaves & bit else None
        return Child(bytes(self.body[at : at + HASH_BYTES]), leaf)

    def put(self, nibble: int, child: Child | None) -> None:
        """Replace the child at `nibble`."""
        bit = 1 << nibble
        at = self._hash_at(bit)
        if child is not None and child.leaf is None and self.present & ~self.leaves & bit:
            self.body[at : at + HASH_BYTES] = child.hash
            return
        self._remove(bit, at)
        if child is not None:
            self.present |= bit
            self.body[at:at] = child.hash
            if child.leaf is not None:
                leaf_at = self._leaf_at(bit)
                self.leaves |= bit
                self.body[leaf_at:leaf_at] = child.leaf
        _head.pack_into(self.body, 0, self.present, self.leaves)

    def only_leaf(self) -> Child | None:
        """The one child, if there is one only and it is a leaf."""
        if self.present & (self.present - 1) or self.leaves != self.present:
            return None
        return self.child(self.present.bit_length() - 1)

    def siblings(self, nibble: int) -> tuple[bytes, ...]:
        """Hashes of the children but the one at `nibble`, in order."""
        others = (other for other in range(16) if other != nibble)
        return tuple(child.hash for child in map(self.child, others) if child is not None)

    def _hash_at(self, bit: int) -> int:
        return _HEAD_BYTES + HASH_BYTES * int((self.present & (bit - 1)).bit_count())

    def _leaf_at(self, bit: int) -> int:
        return self._hashes_end + _LEAF_BYTES * int((self.leaves & (bit - 1)).bit_count())

    def _remove(self, bit: int, at: int) -> None:
        if self.leaves & bit:
            leaf_at = self._leaf_at(bit)
            del self.body[leaf_at : leaf_at + _LEAF_BYTES]
            self.leaves ^= bit
        if self.present & bit:
            del self.body[at : at + HASH_BYTES]
            self.present ^= bit
