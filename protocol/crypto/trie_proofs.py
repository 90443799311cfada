"""Proofs that a key has a value in a state of known root, or has none (L-20).

A proof is the way from the root to where the key's path ends: for each branch its bitmap and the hashes of the
children beside the path. The verifier computes the hashes from the lower end up, taking each nibble from the
path of the key it asks about, and compares with the root.

The way ends in one of four ways, and a proof says which by its form alone:

* at the key's own leaf (inclusion): every level has the path's child, `other` is None;
* at an empty child (absence): the last level lacks the path's child, `other` is None;
* at another key's leaf (absence): every level has the path's child, `other` is that leaf, whose path begins with
  the same nibbles and differs;
* at once, the map being empty (absence): no levels, `other` None, and the root that of the empty map.

What is computed at a level is put at the path's place among the siblings, and the result has to be the hash of the
real branch there: so it is the real child there, and the way is the key's own, down to its end. Hence nothing else
needs a check: another number of siblings is another hash, and a leaf at the end has the nibbles of the way. A true
statement has exactly one proof, the record one encoding, and no byte of it can differ.
"""

from __future__ import annotations

from typing import Annotated

from protocol import limits
from protocol.codec import Hash, Items, Range, record, structure
from protocol.crypto.hashing import HASH_BYTES
from protocol.crypto.trie_nodes import (
    EMPTY_ROOT,
    ROOT_POSITION,
    GetNode,
    Node,
    PathOf,
    branch_hash,
    leaf_hash,
    nibbles_of,
    path_of,
    value_digest,
)
from protocol.errors import BrokenInvariant


@structure
class TrieLevel:
    """One branch on the way: which children it has, and the hashes of those that are not on the way, by nibble."""

    bitmap: Annotated[int, Range(1, 0xFFFF)]
    siblings: Annotated[tuple[Hash, ...], Items(0, 16)]


@structure
class OtherLeaf:
    """The leaf that stands where the key's would: its path and the digest of its value."""

    path: Hash
    value_digest: Hash


@record(kind=12)
class TrieProof:
    """A proof of inclusion or absence; levels from the root down."""

    levels: Annotated[tuple[TrieLevel, ...], Items(0, limits.TRIE_DEPTH_MAX)]
    other: OtherLeaf | None


def prove(get: GetNode, key: bytes, *, path_of: PathOf = path_of) -> TrieProof:
    """The proof about `key` in the stored trie: of its inclusion if it is there, else of its absence.

    Raises BrokenInvariant if a stored node is missing or damaged.
    """
    path = path_of(key)
    nibbles = nibbles_of(path)
    levels: list[TrieLevel] = []
    data = get(ROOT_POSITION)
    if data is None:
        return TrieProof((), None)
    top = Node.stored(data, ROOT_POSITION)
    child = top.only_leaf()
    if child is None:
        node = top
        while True:
            nibble = nibbles[len(levels)]
            levels.append(TrieLevel(node.present, node.siblings(nibble)))
            child = node.child(nibble)
            if child is None or child.leaf is not None:
                break
            node = _node_at(get, nibbles[: len(levels)])
    if child is None or child.leaf is None or child.leaf.startswith(path):
        return TrieProof(tuple(levels), None)
    return TrieProof(tuple(levels), OtherLeaf(child.leaf[:HASH_BYTES], child.leaf[HASH_BYTES:]))


def verify_inclusion(root: bytes, key: bytes, value: bytes, proof: TrieProof, *, path_of: PathOf = path_of) -> bool:
    """Whether `proof` shows that `key` has exactly `value` in the state of `root` (32 bytes)."""
    if proof.other is not None:
        return False
    path = path_of(key)
    return _root_over(nibbles_of(path), proof.levels, leaf_hash(path + value_digest(value))) == root


def verify_absence(root: bytes, key: bytes, proof: TrieProof, *, path_of: PathOf = path_of) -> bool:
    """Whether `proof` shows that `key` has no value in the state of `root` (32 bytes)."""
    path = path_of(key)
    nibbles = nibbles_of(path)
    levels = proof.levels
    if proof.other is not None:
        other = proof.other
        if other.path == path:
            return False
        return _root_over(nibbles, levels, leaf_hash(other.path + other.value_digest)) == root
    if not levels:
        return root == EMPTY_ROOT
    last = levels[-1]
    if last.bitmap >> nibbles[len(levels) - 1] & 1:
        return False
    return _root_over(nibbles, levels[:-1], branch_hash(last.bitmap, b"".join(last.siblings))) == root


def _root_over(nibbles: bytes, levels: tuple[TrieLevel, ...], lowest: bytes) -> bytes | None:
    """The root above `lowest`, or None if a level has no child on the way."""
    current = lowest
    for depth in range(len(levels) - 1, -1, -1):
        bitmap, siblings = levels[depth].bitmap, levels[depth].siblings
        bit = 1 << nibbles[depth]
        if not bitmap & bit:
            return None
        rank = (bitmap & (bit - 1)).bit_count()
        current = branch_hash(bitmap, b"".join((*siblings[:rank], current, *siblings[rank:])))
    return current


def _node_at(get: GetNode, position: bytes) -> Node:
    data = get(position)
    if data is None:
        raise BrokenInvariant(f"the trie node at {position.hex()!r} is missing")
    return Node.stored(data, position)
