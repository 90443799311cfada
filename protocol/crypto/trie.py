"""The state trie: one hash over a map, updated in batches (L-20).

A key's *path* is `digest(STATE_KEY, key)`, read as 64 nibbles, high half of each byte first. The hash of the
subtree that holds all paths with a given prefix is, by how many there are:

    none    32 zero bytes
    one     digest(STATE_LEAF, path || digest(STATE_VALUE, value))         the whole path, at any depth
    more    digest(STATE_BRANCH, bitmap || hashes of the non-empty children, by nibble)
            bitmap: 2 bytes, big endian, bit n (of value 2**n) set if child n is not empty

The root is the hash of the subtree of the empty prefix. So it depends on the set of pairs alone, never on the
order in which they came. There are no extension nodes: paths are hashes, a chain of branches with one child
each is as short as the longest accidental match, and the rules stay these three lines.

**Storage.** A branch is stored under its position, the nibbles of its prefix, one byte each:

    bitmap of children (2) || bitmap of those that are leaves (2)
    || 32 bytes hash for each child || 64 bytes for each leaf: path, digest of the value

With that an update needs no other table: a leaf that has to move down to a new branch, or up when its
neighbours go, takes its path along, and a proof of absence finds the neighbour's value digest. A trie of a
single leaf has no branch; it is stored at the root position in the same form, one child only. A stored node
is trusted, as our own (L-26: derived, rebuilt when in doubt), but its length is checked against its bitmaps.

**Updates** sort the changes by path and walk down once: each touched branch is read, changed in place and
hashed once, however many of the changes lie below it. That, and children as byte ranges instead of objects,
makes the price of a key about that of the hashes it needs.

The bytes of a node stand in `trie_nodes`, proofs in `trie_proofs`; both are reached from here. Deliberately
absent: iteration and history (the tables have both), caching (the store's), deletion of a whole space.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from protocol.crypto.hashing import HASH_BYTES
from protocol.crypto.trie_nodes import (
    EMPTY_ROOT,
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
from protocol.crypto.trie_proofs import OtherLeaf, TrieLevel, TrieProof, prove, verify_absence, verify_inclusion
from protocol.errors import BrokenInvariant

__all__ = [
    "EMPTY_ROOT",
    "GetNode",
    "OtherLeaf",
    "PathOf",
    "TrieLevel",
    "TrieProof",
    "joined",
    "path_of",
    "prove",
    "root",
    "subtree",
    "update",
    "verify_absence",
    "verify_inclusion",
]

_STEP: Final = tuple(bytes([nibble]) for nibble in range(16))


class _Change(NamedTuple):
    """What shall be at a path: a leaf, or nothing."""

    nibbles: bytes
    child: Child | None


class _Update:
    """One batch of changes on its way down, sorted by path, and what it writes."""

    __slots__ = ("changes", "get", "writes")

    def __init__(self, get: GetNode, changes: list[_Change]) -> None:
        self.get = get
        self.changes = changes
        self.writes: dict[bytes, bytes | None] = {}

    def branch(self, position: bytes, start: int, stop: int) -> Child | None:
        """Apply changes[start:stop], all below `position`, to the branch stored there; what is there afterwards."""
        data = self.get(position)
        if data is None:
            raise BrokenInvariant(f"the trie node at {position.hex()!r} is missing")
        node = Node.stored(data, position)
        depth = len(position)
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


def _change_of(path: bytes, value: bytes | None) -> _Change:
    if value is None:
        return _Change(nibbles_of(path), None)
    leaf = path + value_digest(value)
    return _Change(nibbles_of(path), Child(leaf_hash(leaf), leaf))


def root(get: GetNode) -> bytes:
    """Root of the stored trie (32 bytes)."""
    data = get(ROOT_POSITION)
    if data is None:
        return EMPTY_ROOT
    node = Node.stored(data, ROOT_POSITION)
    only = node.only_leaf()
    return node.hash if only is None else only.hash


def update(
    get: GetNode, changes: Mapping[bytes, bytes | None], *, path_of: PathOf = path_of
) -> tuple[bytes, dict[bytes, bytes | None]]:
    """Apply `changes`, key to value or None to remove; the new root, and what to write at which position.

    Removing what is not there, or setting what is there already, changes nothing and writes nothing.
    Raises BrokenInvariant if a stored node is missing or damaged.
    """
    if not changes:
        return root(get), {}
    work = _Update(get, sorted(_change_of(path_of(key), value) for key, value in changes.items()))
    data = get(ROOT_POSITION)
    only = None if data is None else Node.stored(data, ROOT_POSITION).only_leaf()
    if data is None or only is not None:
        top = work.grow(ROOT_POSITION, only, 0, len(work.changes))
    else:
        top = work.branch(ROOT_POSITION, 0, len(work.changes))
    if top is None:
        if data is not None:
            work.writes[ROOT_POSITION] = None
        return EMPTY_ROOT, work.writes
    if top.leaf is not None:
        node = Node()
        node.put(top.leaf[0] >> 4, top)
        work.writes[ROOT_POSITION] = bytes(node.body)
        if work.writes[ROOT_POSITION] == data:
            del work.writes[ROOT_POSITION]
    return top.hash, work.writes


def subtree(
    position: bytes, pairs: Iterable[tuple[bytes, bytes]], *, path_of: PathOf = path_of
) -> tuple[Child | None, dict[bytes, bytes]]:
    """The subtree of these pairs (distinct keys, all below `position`): as its parent sees it, and its nodes.

    A single pair has no node: it belongs to the parent.
    """
    work = _Update(lambda _position: None, [])
    changes = sorted((_change_of(path_of(key), value) for key, value in pairs), key=lambda change: change.nibbles)
    top = work.build(position, [(change.nibbles, change.child) for change in changes if change.child is not None])
    return top, {at: node for at, node in work.writes.items() if node is not None}


def joined(children: Mapping[int, Child]) -> tuple[Child, bytes]:
    """The branch over these children, by nibble: as its parent sees it, and its node. Not for a single leaf."""
    node = Node()
    for nibble in sorted(children):
        node.put(nibble, children[nibble])
    return Child(node.hash, None), bytes(node.body)
