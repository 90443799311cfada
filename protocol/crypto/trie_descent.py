"""The way down the state trie: one batch of changes, applied branch by branch (L-20).

`trie` says what the trie is. An update sorts the changes by path and walks down once: each touched branch is read,
changed in place and hashed once, however many of the changes lie below it. That, and children as byte ranges instead
of objects, makes the price of a key about that of the hashes it needs.

**Twice on purpose.** `_descent.c` does the same as `descend` here, three times as fast, and is used where it was
built (`native`). This module is the rule, and what runs without a C compiler; `tests/protocol/crypto/test_trie.py`
puts every case to both.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from itertools import pairwise
from operator import attrgetter
from typing import Final, NamedTuple

from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import HASH_BYTES
from protocol.crypto.trie_nodes import (
    ROOT_POSITION,
    Child,
    GetNode,
    Node,
    PathOf,
    leaf_hash,
    nibbles_of,
    path_of,
    value_digest,
)
from protocol.errors import BrokenInvariant

_SOURCE: Final = "dbf0e9494bb24bc0f99fc8e2aebeb2062ffd61f7dae69470fa6cd2a20f96fac4"
"""SHA-256 of the `_descent.c` that does the same as this module: one that was compiled of another is not used."""

try:
    from protocol.crypto import _descent
except ImportError:  # not built here: no C compiler, or a checkout that was never installed
    native = False
else:
    native = _descent.SOURCE == _SOURCE

Descended = tuple[Child | None, dict[bytes, bytes | None]]
"""What is at the root afterwards, and what to write at which position (None to remove)."""

_TAGS: Final = tuple(
    domain.value for domain in (Domain.STATE_KEY, Domain.STATE_VALUE, Domain.STATE_LEAF, Domain.STATE_BRANCH)
)

_STEP: Final = tuple(bytes([nibble]) for nibble in range(16))
_DEPTH_MAX: Final = 2 * HASH_BYTES
"""Nibbles of a path."""


class Change(NamedTuple):
    """What shall be at a path: a leaf, or nothing."""

    nibbles: bytes
    child: Child | None


class Update:
    """One batch of changes on its way down, sorted by path, and what it writes."""

    __slots__ = ("changes", "get", "writes")

    def __init__(self, get: GetNode, changes: list[Change]) -> None:
        self.get = get
        self.changes = changes
        self.writes: dict[bytes, bytes | None] = {}

    def branch(self, position: bytes, start: int, stop: int) -> Child | None:
        """Apply changes[start:stop], all below `position`, to the branch stored there; what is there afterwards."""
        data = self.get(position)
        if data is None:
            raise BrokenInvariant(f"the trie node at {position.hex()!r} is missing")
        depth = len(position)
        if depth == _DEPTH_MAX:
            raise BrokenInvariant(f"the trie node at {position.hex()!r} is damaged: paths end here")
        node = Node.stored(data, position)
        while start < stop:
            end = self._same_nibble_end(depth, start, stop)
            nibble = self.changes[start].nibbles[depth]
            below = position + _STEP[nibble]
            if node.present & ~node.leaves & (1 << nibble):
                node.put(nibble, self.branch(below, start, end))
            else:
                node.put(nibble, self.grow(below, node.child(nibble), start, end))
            start = end
        return self._settle(position, node, data)

    def grow(self, position: bytes, leaf: Child | None, start: int, stop: int) -> Child | None:
        """Apply changes[start:stop] where there was nothing, or one leaf, below `position`."""
        if stop - start == 1:
            change = self.changes[start]
            if leaf is None or leaf.leaf is None:
                return change.child
            nibbles = nibbles_of(leaf.leaf[:HASH_BYTES])
            if nibbles == change.nibbles:
                return change.child
            if change.child is None:
                return leaf
        grown = {change.nibbles: change.child for change in self.changes[start:stop]}
        if leaf is not None and leaf.leaf is not None:
            grown.setdefault(nibbles_of(leaf.leaf[:HASH_BYTES]), leaf)
        return self.build(position, sorted((nibbles, child) for nibbles, child in grown.items() if child is not None))

    def build(self, position: bytes, leaves: list[tuple[bytes, Child]]) -> Child | None:
        """Write the branches that distinct `leaves`, in order, need below `position`."""
        if len(leaves) < 2:
            return leaves[0][1] if leaves else None
        depth = len(position)
        if depth == _DEPTH_MAX:
            raise BrokenInvariant("two keys of the trie have one path")
        node = Node()
        start = 0
        while start < len(leaves):
            nibble = leaves[start][0][depth]
            end = start + 1
            while end < len(leaves) and leaves[end][0][depth] == nibble:
                end += 1
            node.put(nibble, self.build(position + _STEP[nibble], leaves[start:end]))
            start = end
        return self._settle(position, node, None)

    def _settle(self, position: bytes, node: Node, before: bytes | None) -> Child | None:
        """What a branch has become: still one, or one leaf that belongs to the parent, or nothing."""
        if not node.present:
            self.writes[position] = None
            return None
        only = node.only_leaf()
        if only is not None:
            self.writes[position] = None
            return only
        after = bytes(node.body)
        if after != before:
            self.writes[position] = after
        return Child(node.hash, None)

    def _same_nibble_end(self, depth: int, start: int, stop: int) -> int:
        changes = self.changes
        nibble = changes[start].nibbles[depth]
        if changes[stop - 1].nibbles[depth] == nibble:
            return stop
        end = start + 1
        while changes[end].nibbles[depth] == nibble:
            end += 1
        return end


def change_of(path: bytes, value: bytes | None) -> Change:
    """The change that sets a path to this value, or removes it."""
    if value is None:
        return Change(nibbles_of(path), None)
    leaf = path + value_digest(value)
    return Change(nibbles_of(path), Child(leaf_hash(leaf), leaf))


def descend(get: GetNode, data: bytes | None, changes: Mapping[bytes, bytes | None], path_of: PathOf) -> Descended:
    """Apply `changes`, at least one, to the trie whose root is stored as `data`.

    Raises BrokenInvariant if a stored node is missing or damaged, or two keys have one path.
    """
    ordered = [change_of(path_of(key), value) for key, value in changes.items()]
    ordered.sort(key=attrgetter("nibbles"))
    work = Update(get, ordered)
    if any(low.nibbles == high.nibbles for low, high in pairwise(ordered)):
        raise BrokenInvariant("two keys of the trie have one path")
    only = None if data is None else Node.stored(data, ROOT_POSITION).only_leaf()
    if data is None or only is not None:
        return work.grow(ROOT_POSITION, only, 0, len(ordered)), work.writes
    return work.branch(ROOT_POSITION, 0, len(ordered)), work.writes


def descend_native(
    get: GetNode, data: bytes | None, changes: Mapping[bytes, bytes | None], path_of_key: PathOf
) -> Descended:
    """As `descend`, in C. Only where `native` is true."""
    of_key = None if path_of_key is path_of else path_of_key
    top, leaf, writes = _descent.descend(get, data, changes, of_key, sha256, _TAGS, BrokenInvariant)
    return (None if top is None else Child(top, leaf)), writes
