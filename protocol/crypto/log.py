"""An append-only Merkle log: roots, inclusion and consistency proofs in logarithmic time (L-2, L-21).

The tree is that of RFC 6962, section 2.1: a leaf is SHA-256(0x00 || data), a node SHA-256(0x01 || left || right),
the left part of a tree of n > 1 leaves has as many as the largest power of two below n, and the empty tree's
root is SHA-256 of nothing. These hashes have no domain tag of ours (L-2), so that any tool for certificate
transparency can check a proof. The first byte separates leaves from nodes.

Storage follows from one observation: a subtree that is complete never changes again. So exactly the complete
ones are stored, under (level, index): `index`-th run of 2**level leaves, level 0 the leaf hashes. Appending writes
two hashes a leaf on average and reads one a level at most; root and proofs join a handful of them.

Proofs verify as RFC 9162, 2.1.3.2 and 2.1.4.2, say, step by step; the RFC leaves consistency from the empty tree
undefined, and it is refused here. Verifiers return False for anything wrong, also for a hash of another length
(two hashes joined could otherwise be cut elsewhere); those who build proofs raise `BrokenInvariant` for indices
outside the log, and when a node is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from protocol import limits
from protocol.crypto.hashing import HASH_BYTES
from protocol.errors import BrokenInvariant

GetSubtree = Callable[[int, int], bytes | None]
"""(level, index) of a complete subtree to its hash."""

EMPTY_ROOT: Final = sha256().digest()
SIZE_MAX: Final = limits.U63_MAX


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf (32 bytes)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of the node above two subtrees (32 bytes)."""
    return sha256(b"\x01" + left + right).digest()


def append(get: GetSubtree, size: int, leaf_hashes: Sequence[bytes]) -> tuple[int, dict[tuple[int, int], bytes]]:
    """Add leaves to a log of `size` leaves: the new size, and the newly complete subtrees to store.

    Raises BrokenInvariant if a stored subtree is missing, or the log would pass its largest size.
    """
    end = size + len(leaf_hashes)
    _require(0 <= size <= end <= SIZE_MAX, f"a log of {size} leaves grows by {len(leaf_hashes)}")
    complete: dict[tuple[int, int], bytes] = {}
    level, first, row = 0, size, list(leaf_hashes)
    while row:
        complete.update(zip(((level, index) for index in range(first, first + len(row))), row, strict=True))
        if first % 2:
            row.insert(0, _stored(get, level, first - 1))
        first //= 2
        pairs = zip(row[::2], row[1::2], strict=False)  # a left one without its right one waits for it
        row = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
        level += 1
    return end, complete


def peaks(size: int) -> list[tuple[int, int]]:
    """(level, index) of the complete subtrees that a log of `size` leaves consists of, largest first.

    With their hashes it can be appended to, and its root is known.
    """
    levels = range(size.bit_length() - 1, -1, -1)
    return [(level, (size >> level) - 1) for level in levels if size >> level & 1]


def root(get: GetSubtree, size: int) -> bytes:
    """Root of the first `size` leaves (32 bytes). Raises BrokenInvariant if a stored subtree is missing."""
    _require(0 <= size <= SIZE_MAX, f"a log of {size} leaves")
    return subtree_root(get, 0, size) if size else EMPTY_ROOT


def inclusion_proof(get: GetSubtree, index: int, size: int) -> tuple[bytes, ...]:
    """The audit path of leaf `index` in the log of the first `size` leaves (RFC 6962, 2.1.1), leaf's sibling first.

    Raises BrokenInvariant unless 0 <= index < size, or if a stored subtree is missing.
    """
    _require(0 <= index < size <= SIZE_MAX, f"leaf {index} of a log of {size}")
    start, end = 0, size
    path: list[bytes] = []
    while end - start > 1:
        middle = start + left_size(end - start)
        if index < middle:
            path.append(subtree_root(get, middle, end))
            end = middle
        else:
            path.append(subtree_root(get, start, middle))
            start = middle
    return tuple(reversed(path))


def consistency_proof(get: GetSubtree, first: int, second: int) -> tuple[bytes, ...]:
    """Proof that the log of `first` leaves is the beginning of that of `second` (RFC 6962, 2.1.2); none if equal.

    Raises BrokenInvariant unless 0 < first <= second, or if a stored subtree is missing.
    """
    _require(0 < first <= second <= SIZE_MAX, f"from a log of {first} to one of {second}")
    start, end = 0, second
    path: list[bytes] = []
    while first < end:
        middle = start + left_size(end - start)
        if first <= middle:
            path.append(subtree_root(get, middle, end))
            end = middle
        else:
            path.append(subtree_root(get, start, middle))
            start = middle
    if start:  # otherwise what is left is the old log itself, whose root the verifier has
        path.append(subtree_root(get, start, end))
    return tuple(reversed(path))


def verify_inclusion(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` shows that leaf `index` of the log of `size` leaves and `root` has `leaf_hash`."""
    if not 0 <= index < size <= SIZE_MAX or not _are_hashes(leaf_hash, root, *path):
        return False
    at, last, current = index, size - 1, leaf_hash
    for sibling in path:
        if last == 0:
            return False
        if at % 2 or at == last:
            current = node_hash(sibling, current)
            at, last = _without_right_edge(at, last)
        else:
            current = node_hash(current, sibling)
        at, last = at // 2, last // 2
    return last == 0 and current == root


def verify_consistency(first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether `path` shows that the log of `first` leaves is the beginning of that of `second`."""
    if not 0 < first <= second <= SIZE_MAX:
        return False
    if first == second:
        return not path and first_root == second_root
    if not path or not _are_hashes(first_root, second_root, *path):
        return False
    hashes = path if first & (first - 1) else (first_root, *path)
    at, last = first - 1, second - 1
    while at % 2:
        at, last = at // 2, last // 2
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if at % 2 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            at, last = _without_right_edge(at, last)
        else:
            new = node_hash(new, sibling)
        at, last = at // 2, last // 2
    return last == 0 and old == first_root and new == second_root


def _without_right_edge(at: int, last: int) -> tuple[int, int]:
    """Skip the levels at which the last node has no sibling (RFC 9162: "If LSB(fn) is not set, right-shift")."""
    while at and at % 2 == 0:
        at, last = at // 2, last // 2
    return at, last


def subtree_root(get: GetSubtree, start: int, end: int) -> bytes:
    """Root of the leaves from `start` to `end`, at least one (32 bytes). Raises BrokenInvariant if a part is missing.

    It is joined from its complete parts, right to left.
    """
    found: bytes | None = None
    while start < end:
        level = _lowest_bit(end - start)
        part = _stored(get, level, (end >> level) - 1)
        found = part if found is None else node_hash(part, found)
        end -= 1 << level
    assert found is not None, "a subtree is not empty"
    return found


def left_size(size: int) -> int:
    """Largest power of two below `size`, which is at least 2."""
    return 1 << (size - 1).bit_length() - 1


def _lowest_bit(size: int) -> int:
    return (size & -size).bit_length() - 1


def _stored(get: GetSubtree, level: int, index: int) -> bytes:
    found = get(level, index)
    if found is None:
        raise BrokenInvariant(f"the log's subtree at level {level}, index {index} is missing")
    return found


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_BYTES for value in values)


def _require(holds: bool, words: str) -> None:
    if not holds:
        raise BrokenInvariant(f"outside the log: {words}")
