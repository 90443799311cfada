"""Roots by their definitions alone (L-20, L-21): of a map, and of a log, in the plainest way that is fast enough.

Nothing of `protocol.crypto` is used: tags are written out, hashes are the library's. What did not change since the last
root is remembered, by prefix and by range; forget that, and the code reads like the definitions.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from hashlib import sha256


class NaiveTrie:
    """The state root of a map: subtrees by the nibbles that their paths share."""

    def __init__(self) -> None:
        self._leaves: dict[str, bytes] = {}
        self._paths: list[str] = []
        self._known: dict[str, bytes] = {}

    def put(self, key: bytes, value: bytes | None) -> None:
        """Set or remove a pair."""
        raw = sha256(b"papilio/hash/state-key\x00" + key).digest()
        path = raw.hex()
        for depth in range(len(path)):
            self._known.pop(path[:depth], None)
        if value is None:
            if self._leaves.pop(path, None) is not None:
                self._paths.remove(path)
            return
        if path not in self._leaves:
            insort(self._paths, path)
        value_digest = sha256(b"papilio/hash/state-value\x00" + value).digest()
        self._leaves[path] = sha256(b"papilio/hash/state-leaf\x00" + raw + value_digest).digest()

    def root(self) -> bytes:
        """Of all pairs."""
        return self._subtree("")

    def _subtree(self, prefix: str) -> bytes:
        first, end = bisect_left(self._paths, prefix), bisect_left(self._paths, prefix + "g")
        if end == first:
            return bytes(32)
        if end == first + 1:
            return self._leaves[self._paths[first]]
        if prefix not in self._known:
            children = [self._subtree(prefix + nibble) for nibble in "0123456789abcdef"]
            bitmap = sum(1 << index for index, child in enumerate(children) if child != bytes(32))
            hashes = b"".join(child for child in children if child != bytes(32))
            branch = b"papilio/hash/state-branch\x00" + bitmap.to_bytes(2, "big") + hashes
            self._known[prefix] = sha256(branch).digest()
        return self._known[prefix]


class NaiveLog:
    """The root of a list of leaves (RFC 6962, 2.1)."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        self._complete: dict[tuple[int, int], bytes] = {}

    def append(self, data: bytes) -> None:
        """One more leaf."""
        self.leaves.append(data)

    def root(self) -> bytes:
        """Of all leaves."""
        return self._range(0, len(self.leaves)) if self.leaves else sha256(b"").digest()

    def _range(self, start: int, end: int) -> bytes:
        count = end - start
        if count == 1:
            return sha256(b"\x00" + self.leaves[start]).digest()
        if (start, end) in self._complete:
            return self._complete[start, end]
        left = 1 << (count - 1).bit_length() - 1
        node = sha256(b"\x01" + self._range(start, start + left) + self._range(start + left, end)).digest()
        if count & (count - 1) == 0:
            self._complete[start, end] = node
        return node


def inclusion_holds(leaf: bytes, index: int, size: int, path: tuple[bytes, ...], root: bytes) -> bool:
    """Whether this leaf stands at `index` of a log of `size` leaves with this root, by RFC 6962, 2.1.1, from above."""

    def fold(start: int, end: int, left_over: list[bytes]) -> bytes | None:
        if end - start == 1:
            return None if left_over else sha256(b"\x00" + leaf).digest()
        if not left_over:
            return None
        middle = start + (1 << (end - start - 1).bit_length() - 1)
        sibling, below = left_over[-1], left_over[:-1]
        if index < middle:
            inner = fold(start, middle, below)
            return None if inner is None else sha256(b"\x01" + inner + sibling).digest()
        inner = fold(middle, end, below)
        return None if inner is None else sha256(b"\x01" + sibling + inner).digest()

    return 0 <= index < size and all(len(node) == 32 for node in path) and fold(0, size, list(path)) == root
