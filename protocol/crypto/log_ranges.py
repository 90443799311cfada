"""Proofs about a run of leaves of the log: one path for all of them (L-21, snapshot sync).

A run of leaves [first, end) of the log of `size` leaves proves itself with the hashes of the subtrees beside it, taken
in the order in which a walk from the root meets them, left before right. The verifier walks the same way, computes
the subtrees that the run fills, and compares the root.

What lies left of the run are complete subtrees, always (a left child of RFC 6962's tree is complete): exactly those
that `log.append` needs to go on from `first`. So a verifier who has checked one run has a log that it can append to,
without any leaf before the run. Runs that follow each other verify each by itself, whoever sends them.

Deliberately absent: runs without leaves, which would prove nothing and have nothing to go on from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from protocol.crypto.hashing import HASH_BYTES
from protocol.crypto.log import SIZE_MAX, GetSubtree, leaf_hash, left_size, node_hash, subtree_root
from protocol.errors import BrokenInvariant

__all__ = ["Subtrees", "leaf_hash", "range_proof", "verify_range"]

Subtrees = dict[tuple[int, int], bytes]
"""(level, index) -> hash of a complete subtree."""


def range_proof(get: GetSubtree, first: int, end: int, size: int) -> tuple[bytes, ...]:
    """The hashes beside the leaves [first, end) in the log of the first `size` leaves.

    Raises BrokenInvariant unless 0 <= first < end <= size, or if a stored subtree is missing.
    """
    if not 0 <= first < end <= size <= SIZE_MAX:
        raise BrokenInvariant(f"outside the log: leaves {first} to {end} of a log of {size}")
    path: list[bytes] = []

    def walk(start: int, stop: int) -> None:
        if stop <= first or start >= end:
            path.append(subtree_root(get, start, stop))
        elif not (first <= start and stop <= end):
            middle = start + left_size(stop - start)
            walk(start, middle)
            walk(middle, stop)

    walk(0, size)
    return tuple(path)


def verify_range(
    leaf_hashes: Sequence[bytes], first: int, size: int, path: Sequence[bytes], root: bytes
) -> Subtrees | None:
    """The complete subtrees left of the run, if `path` shows that it stands at `first` in the log of this root.

    None if it does not.
    """
    end = first + len(leaf_hashes)
    if not 0 <= first < end <= size <= SIZE_MAX or any(len(h) != HASH_BYTES for h in (*leaf_hashes, *path)):
        return None
    left: Subtrees = {}
    beside = iter(path)
    try:
        computed = _root_of(leaf_hashes, first, 0, size, beside, left)
    except StopIteration:
        return None
    return left if computed == root and next(beside, None) is None else None


def _root_of(
    leaf_hashes: Sequence[bytes], first: int, start: int, stop: int, beside: Iterator[bytes], left: Subtrees
) -> bytes:
    end = first + len(leaf_hashes)
    if stop <= first:
        hashed = next(beside)
        level = (stop - start).bit_length() - 1
        left[level, start >> level] = hashed
        return hashed
    if start >= end:
        return next(beside)
    if stop - start == 1:
        return leaf_hashes[start - first]
    middle = start + left_size(stop - start)
    before = _root_of(leaf_hashes, first, start, middle, beside, left)
    return node_hash(before, _root_of(leaf_hashes, first, middle, stop, beside, left))
