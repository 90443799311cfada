"""The log is RFC 6962's: against its recursive definition, and with proofs that prove (L-2, L-21)."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.crypto.log import (
    EMPTY_ROOT,
    append,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from protocol.errors import BrokenInvariant


def tree_hash(data: list[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1."""
    if not data:
        return sha256(b"").digest()
    if len(data) == 1:
        return sha256(b"\x00" + data[0]).digest()
    k = split(len(data))
    return sha256(b"\x01" + tree_hash(data[:k]) + tree_hash(data[k:])).digest()


def audit_path(m: int, data: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962, 2.1.1."""
    if len(data) == 1:
        return []
    k = split(len(data))
    if m < k:
        return [*audit_path(m, data[:k]), tree_hash(data[k:])]
    return [*audit_path(m - k, data[k:]), tree_hash(data[:k])]


def old_parts(m: int, data: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962, 2.1.2."""
    if m == len(data):
        return [] if whole else [tree_hash(data)]
    k = split(len(data))
    if m <= k:
        return [*old_parts(m, data[:k], whole), tree_hash(data[k:])]
    return [*old_parts(m - k, data[k:], False), tree_hash(data[:k])]


def split(n: int) -> int:
    """Largest power of two below n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


class Log:
    """A stored log and its data; counts reads."""

    def __init__(self) -> None:
        self.nodes: dict[tuple[int, int], bytes] = {}
        self.data: list[bytes] = []
        self.reads = 0

    def get(self, level: int, index: int) -> bytes | None:
        """The stored subtree."""
        self.reads += 1
        return self.nodes.get((level, index))

    def add(self, data: list[bytes]) -> None:
        """Append and store."""
        size, writes = append(self.get, len(self.data), [leaf_hash(d) for d in data])
        assert not writes.keys() & self.nodes.keys(), "a complete subtree is written once"
        self.nodes.update(writes)
        self.data += data
        assert size == len(self.data)


def log_of(size: int) -> Log:
    """A log of distinct leaves."""
    log = Log()
    log.add([b"leaf %d" % i for i in range(size)])
    return log


@given(batches=st.lists(st.integers(0, 20), max_size=8))
def test_root_is_the_definition_in_whatever_batches_it_grew(batches: list[int]) -> None:
    """L-2: every root, also of earlier sizes, is MTH; exactly the complete subtrees are stored."""
    log = Log()
    for count in batches:
        log.add([b"%d" % (len(log.data) + i) for i in range(count)])
        assert root(log.get, len(log.data)) == tree_hash(log.data)
    size = len(log.data)
    for earlier in range(size + 1):
        assert root(log.get, earlier) == tree_hash(log.data[:earlier])
    assert set(log.nodes) == {(level, i) for level in range(12) for i in range(size >> level)}


def test_every_proof_of_small_logs_is_the_definition_and_verifies() -> None:
    """L-21: all indices and sizes up to 33; each path equals PATH, and SUBPROOF, of the RFC."""
    log = log_of(33)
    for size in range(1, 34):
        top = tree_hash(log.data[:size])
        for index in range(size):
            path = inclusion_proof(log.get, index, size)
            assert list(path) == audit_path(index, log.data[:size])
            assert verify_inclusion(leaf_hash(log.data[index]), index, size, path, top)
        for first in range(1, size + 1):
            path = consistency_proof(log.get, first, size)
            assert list(path) == old_parts(first, log.data[:size], True)
            assert verify_consistency(first, size, tree_hash(log.data[:first]), top, path)


def test_an_inclusion_proof_proves_one_leaf_at_one_place() -> None:
    """L-21: any other index, size, leaf, root or path is refused, for every size up to 17."""
    log = log_of(17)
    for size in range(1, 18):
        top = root(log.get, size)
        for index in range(size):
            leaf, path = leaf_hash(log.data[index]), inclusion_proof(log.get, index, size)
            assert not any(verify_inclusion(leaf, other, size, path, top) for other in range(-1, 40) if other != index)
            assert not verify_inclusion(leaf_hash(b"other"), index, size, path, top)
            assert not verify_inclusion(leaf, index, size, path, sha256(top).digest())
            assert not verify_inclusion(leaf, index, size, (*path, top), top)
            assert not verify_inclusion(leaf, index, size, (leaf, *path), top)
            for at, sibling in enumerate(path):
                assert not verify_inclusion(leaf, index, size, path[:at] + path[at + 1 :], top)
                altered = bytes([sibling[0] ^ 1]) + sibling[1:]
                assert not verify_inclusion(leaf, index, size, (*path[:at], altered, *path[at + 1 :]), top)


def test_a_consistency_proof_proves_one_growth() -> None:
    """L-21: other sizes, roots, altered, cut and lengthened paths are refused, for every pair up to 13."""
    log = log_of(13)
    for second in range(1, 14):
        for first in range(1, second + 1):
            old, new = root(log.get, first), root(log.get, second)
            path = consistency_proof(log.get, first, second)
            assert verify_consistency(first, second, old, new, path)
            assert not verify_consistency(first, second, sha256(old).digest(), new, path)
            assert not verify_consistency(first, second, old, sha256(new).digest(), path)
            assert not verify_consistency(first, second, old, new, (*path, new))
            assert not verify_consistency(second, first, new, old, path) or first == second
            for at, part in enumerate(path):
                assert not verify_consistency(first, second, old, new, path[:at] + path[at + 1 :])
                altered = part[:-1] + bytes([part[-1] ^ 1])
                assert not verify_consistency(first, second, old, new, (*path[:at], altered, *path[at + 1 :]))


def test_a_rewritten_log_is_not_consistent() -> None:
    """L-21: a log in which an old leaf was changed has no proof from the old root."""
    log = log_of(9)
    old = root(log.get, 6)
    forged = Log()
    forged.add([*log.data[:3], b"rewritten", *log.data[4:]])
    path = consistency_proof(forged.get, 6, 9)
    assert verify_consistency(6, 9, root(forged.get, 6), root(forged.get, 9), path)
    assert not verify_consistency(6, 9, old, root(forged.get, 9), path)


def test_bounds() -> None:
    """L-21: outside the log nothing is built, and nothing verifies; the empty tree begins no proof."""
    log = log_of(5)
    top = root(log.get, 5)
    for index, size in ((-1, 5), (5, 5), (0, 0)):
        with pytest.raises(BrokenInvariant):
            inclusion_proof(log.get, index, size)
    for first, second in ((0, 5), (6, 5), (-1, 5)):
        with pytest.raises(BrokenInvariant):
            consistency_proof(log.get, first, second)
    for size in (-1, limits.U63_MAX + 1):
        with pytest.raises(BrokenInvariant):
            root(log.get, size)
    with pytest.raises(BrokenInvariant):
        append(log.get, limits.U63_MAX, [top])
    for size in (6, 7, 8):
        with pytest.raises(BrokenInvariant, match="missing"):
            root(log.get, size)
    assert not verify_consistency(0, 5, EMPTY_ROOT, top, ())
    assert not verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, ())
    assert verify_consistency(5, 5, top, top, ())
    assert not verify_consistency(5, 5, top, top, (top,))
    assert not verify_inclusion(b"", 0, 1, (), b"")
    leaf = leaf_hash(b"leaf 0")
    path = inclusion_proof(log.get, 0, 5)
    assert not verify_inclusion(leaf, 0, 5, (path[0][:-1], *path[1:]), top)
    assert not verify_inclusion(leaf, 0, 1 << 70, path, top)


def test_a_path_has_the_length_of_its_tree() -> None:
    """L-21: also where the hashes would fit: a longer or shorter path is that of a log of another size."""
    a, b, c = (leaf_hash(data) for data in (b"a", b"b", b"c"))
    pair = node_hash(a, b)
    assert verify_inclusion(b, 1, 2, (a,), pair)
    assert not verify_inclusion(b, 0, 1, (a,), pair)
    assert not verify_inclusion(a, 0, 3, (b,), pair)
    assert verify_consistency(1, 2, a, pair, (b,))
    assert not verify_consistency(1, 4, a, pair, (b,))
    assert not verify_consistency(2, 3, pair, node_hash(pair, c), (c, a))
    assert not verify_consistency(1, 2, a, node_hash(pair, c), (b, c))


def test_everything_takes_logarithmic_reads() -> None:
    """L-21: with 100,000 leaves no operation reads more than a few subtrees a level."""
    log = log_of(100_000)
    levels = 17
    for act in (
        lambda: root(log.get, 99_999),
        lambda: inclusion_proof(log.get, 50_001, 99_999),
        lambda: inclusion_proof(log.get, 99_998, 99_999),
        lambda: consistency_proof(log.get, 65_537, 99_999),
        lambda: consistency_proof(log.get, 3, 99_999),
        lambda: log.add([b"x"] * 500),
    ):
        log.reads = 0
        act()
        assert log.reads <= 2 * levels


def test_leaves_and_nodes_are_apart() -> None:
    """L-2: 0x00 and 0x01; a node's content passed off as a leaf has another hash."""
    left, right = leaf_hash(b"l"), leaf_hash(b"r")
    assert node_hash(left, right) == sha256(b"\x01" + left + right).digest()
    assert leaf_hash(left + right) == sha256(b"\x00" + left + right).digest()
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
