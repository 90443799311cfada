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

The bytes of a node stand in `trie_nodes`, the way down an update in `trie_descent`, proofs in `trie_proofs`; all are
reached from here. Deliberately absent: iteration and history (the tables have both), caching (the store's), deletion
of a whole space.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from protocol.crypto.trie_descent import Update, change_of, descend, descend_native, native
from protocol.crypto.trie_nodes import (
    EMPTY_ROOT,
    ROOT_POSITION,
    Child,
    GetNode,
    Node,
    PathOf,
    path_of,
)
from protocol.crypto.trie_proofs import OtherLeaf, TrieLevel, TrieProof, prove, verify_absence, verify_inclusion

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
    data = get(ROOT_POSITION)
    # one of two that do the same: see trie_descent
    top, writes = (descend_native if native else descend)(get, data, changes, path_of)
    if top is None:
        if data is not None:
            writes[ROOT_POSITION] = None
        return EMPTY_ROOT, writes
    if top.leaf is not None:
        node = Node()
        node.put(top.leaf[0] >> 4, top)
        writes[ROOT_POSITION] = bytes(node.body)
        if writes[ROOT_POSITION] == data:
            del writes[ROOT_POSITION]
    return top.hash, writes


def subtree(
    position: bytes, pairs: Iterable[tuple[bytes, bytes]], *, path_of: PathOf = path_of
) -> tuple[Child | None, dict[bytes, bytes]]:
    """The subtree of these pairs (distinct keys, all below `position`): as its parent sees it, and its nodes.

    A single pair has no node: it belongs to the parent.
    """
    work = Update(lambda _position: None, [])
    changes = sorted((change_of(path_of(key), value) for key, value in pairs), key=lambda change: change.nibbles)
    top = work.build(position, [(change.nibbles, change.child) for change in changes if change.child is not None])
    return top, {at: node for at, node in work.writes.items() if node is not None}


def joined(children: Mapping[int, Child]) -> tuple[Child, bytes]:
    """The branch over these children, by nibble: as its parent sees it, and its node. Not for a single leaf."""
    node = Node()
    for nibble in sorted(children):
        node.put(nibble, children[nibble])
    return Child(node.hash, None), bytes(node.body)
