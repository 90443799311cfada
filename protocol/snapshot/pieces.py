"""The state in pieces: subtrees of the trie, small enough to travel, each checked by its hash alone (L-20).

A piece stands at a prefix of paths. Either it holds *all pairs* of the subtree there, or, where these are too many,
the *branch*: which children it has and their hashes. Whoever knows the hash of a subtree can check the piece at its
prefix and knows the hashes of the pieces below: so from the state root that a final header names every piece proves
itself, whoever sent it, in whatever order, and the first wrong one names its sender. The cut follows from the state
alone: a subtree is split where it holds more than `PIECE_BYTES` or `PIECE_PAIRS`, so all honest nodes have the same.
A finer cut proves itself too, so who has pairs also answers for the prefixes below them (`piece_at`).

Pairs come in order of path, the only order that `check` takes, so a piece has one encoding.

`cut` makes all pieces of a state from a `Heap` of its pairs. A heap that is larger than `HEAP_BYTES` is split by nibble
before anything of it is sorted: memory is bounded however large the state is, and however many keys somebody has made
for one prefix.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

from protocol import limits
from protocol.codec import KINDS, decode, encode, kind_of
from protocol.crypto.trie import EMPTY_ROOT, joined, path_of, subtree
from protocol.crypto.trie_nodes import Child, branch_hash, nibbles_of
from protocol.errors import Malformed
from protocol.wire.snapshot import PIECE_BYTES, PIECE_PAIRS, StatePair, TrieBranch, TriePairs

HEAP_BYTES: Final = 64 * limits.MIB
"""Pairs that are sorted at once."""


class Pair(NamedTuple):
    """A key and its value, and the nibbles of its path."""

    nibbles: bytes
    key: bytes
    value: bytes

    @property
    def size(self) -> int:
        """Bytes of key and value."""
        return len(self.key) + len(self.value)


class Heap(Protocol):
    """Pairs in no order, in memory or elsewhere."""

    @property
    def size(self) -> int:
        """Bytes of keys and values."""
        ...

    def sorted(self) -> list[Pair]:
        """All pairs, ascending by path."""
        ...

    def split(self, depth: int) -> list[Heap]:
        """Sixteen heaps, by the nibble at `depth`; this one is used up."""
        ...


class MemoryHeap:
    """A heap in memory."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._pairs = [Pair(nibbles_of(path_of(key)), key, value) for key, value in pairs]
        self.size = sum(pair.size for pair in self._pairs)

    def add(self, pair: Pair) -> None:
        """One more."""
        self._pairs.append(pair)
        self.size += pair.size

    def sorted(self) -> list[Pair]:
        """All pairs, ascending by path."""
        return sorted(self._pairs)

    def split(self, depth: int) -> list[Heap]:
        """Sixteen heaps, by the nibble at `depth`."""
        heaps = [MemoryHeap(()) for _ in range(16)]
        for pair in self._pairs:
            heap = heaps[pair.nibbles[depth]]
            heap.add(pair)
        return list(heaps)


class Below(NamedTuple):
    """A subtree that a branch names: where it stands and what it has to hash to."""

    prefix: bytes
    hash: bytes


def cut(
    heap: Heap,
    put: Callable[[bytes, bytes], None],
    *,
    heap_bytes: int = HEAP_BYTES,
    piece_bytes: int = PIECE_BYTES,
    piece_pairs: int = PIECE_PAIRS,
) -> bytes:
    """Give every piece of these pairs to `put` (prefix, encoded piece), and return the state root (32 bytes).

    piece_bytes, piece_pairs: less than their defaults in tests only; whoever checks takes smaller pieces too.
    """
    top = _Cut(put, heap_bytes, piece_bytes, piece_pairs).heap(b"", heap)
    return EMPTY_ROOT if top is None else top.hash


class _Cut:
    __slots__ = ("heap_bytes", "piece_bytes", "piece_pairs", "put")

    def __init__(
        self, put: Callable[[bytes, bytes], None], heap_bytes: int, piece_bytes: int, piece_pairs: int
    ) -> None:
        self.put = put
        self.heap_bytes, self.piece_bytes, self.piece_pairs = heap_bytes, piece_bytes, piece_pairs

    def heap(self, prefix: bytes, heap: Heap) -> Child | None:
        if heap.size <= self.heap_bytes or len(prefix) == limits.TRIE_DEPTH_MAX:
            return self.pairs(prefix, heap.sorted())
        children = {
            nibble: child
            for nibble, part in enumerate(heap.split(len(prefix)))
            if (child := self.heap(prefix + bytes([nibble]), part)) is not None
        }
        return self.branch(prefix, children)

    def pairs(self, prefix: bytes, pairs: list[Pair]) -> Child | None:
        if not pairs and prefix:
            return None
        size = sum(pair.size for pair in pairs)
        if len(pairs) <= 1 or (len(pairs) <= self.piece_pairs and size <= self.piece_bytes):
            self.put(prefix, encode(TriePairs(tuple(StatePair(pair.key, pair.value) for pair in pairs))))
            return subtree(prefix, ((pair.key, pair.value) for pair in pairs))[0]
        depth = len(prefix)
        starts = [bisect_left(pairs, nibble, key=lambda pair: pair.nibbles[depth]) for nibble in range(16)]
        parts = zip(starts, [*starts[1:], len(pairs)], strict=True)
        children = {
            nibble: child
            for nibble, (start, end) in enumerate(parts)
            if (child := self.pairs(prefix + bytes([nibble]), pairs[start:end])) is not None
        }
        return self.branch(prefix, children)

    def branch(self, prefix: bytes, children: dict[int, Child]) -> Child:
        top, _ = joined(children)
        bitmap = sum(1 << nibble for nibble in children)
        self.put(prefix, encode(TrieBranch(bitmap, tuple(children[nibble].hash for nibble in sorted(children)))))
        return top


# -- Checking ---------------------------------------------------------------------------------------


def check(prefix: bytes, hashed: bytes, data: bytes) -> list[Below]:
    """Whether `data` is the piece at `prefix` whose subtree has this hash; the pieces below it, none for pairs.

    Raises Malformed if it is anything else.
    """
    kind = _kind(data)
    if kind is TrieBranch:
        branch = decode(TrieBranch, data)
        counted = branch.bitmap.bit_count() == len(branch.hashes)
        if not counted or branch_hash(branch.bitmap, b"".join(branch.hashes)) != hashed:
            raise Malformed("hashes", f"the branch at {prefix.hex()!r} is another than the one above it names")
        if len(prefix) >= limits.TRIE_DEPTH_MAX:
            raise Malformed("prefix", "a branch below the longest path")
        return _below(prefix, branch)
    if kind is not TriePairs:
        raise Malformed("data", "neither a branch nor pairs")
    if _top_of_pairs(prefix, read_pairs(prefix, data)) != hashed:
        raise Malformed("pairs", f"the pairs at {prefix.hex()!r} are others than the branch above them names")
    return []


def read_pairs(prefix: bytes, data: bytes) -> list[Pair]:
    """The pairs of a piece, which stand below `prefix`, ascending by path. Raises Malformed if they do not."""
    pairs = [Pair(nibbles_of(path_of(p.key)), p.key, p.value) for p in decode(TriePairs, data).pairs]
    if any(not pair.nibbles.startswith(prefix) for pair in pairs):
        raise Malformed("pairs", f"a pair that does not stand below {prefix.hex()!r}")
    if any(one.nibbles >= other.nibbles for one, other in pairwise(pairs)):
        raise Malformed("pairs", "pairs that do not ascend by path")
    return pairs


def _top_of_pairs(prefix: bytes, pairs: list[Pair]) -> bytes:
    """Hash of the subtree of these pairs (32 bytes)."""
    top, _ = subtree(prefix, ((pair.key, pair.value) for pair in pairs))
    return EMPTY_ROOT if top is None else top.hash


def children_of(prefix: bytes, data: bytes) -> list[Below]:
    """The pieces below one that was checked before; none for pairs."""
    return _below(prefix, decode(TrieBranch, data)) if _kind(data) is TrieBranch else []


def _kind(data: bytes) -> type | None:
    """What a piece says it is."""
    return KINDS.get(kind_of(data) or 0)


def _below(prefix: bytes, branch: TrieBranch) -> list[Below]:
    nibbles = [nibble for nibble in range(16) if branch.bitmap >> nibble & 1]
    return [Below(prefix + bytes([n]), h) for n, h in zip(nibbles, branch.hashes, strict=True)]


def piece_at(get: Callable[[bytes], bytes | None], prefix: bytes) -> bytes | None:
    """The piece at a prefix; None if nothing stands there. `get` gives those of the cut.

    Where the cut has all pairs at a shorter prefix, those that stand below this one are the piece: a joiner asks for it
    if somebody gave it the branch there, which proves itself as well.
    """
    for length in range(len(prefix), -1, -1):
        data = get(prefix[:length])
        if data is None:
            continue
        if length == len(prefix):
            return data
        if _kind(data) is not TriePairs:
            return None
        below = tuple(
            pair for pair in decode(TriePairs, data).pairs if nibbles_of(path_of(pair.key)).startswith(prefix)
        )
        return encode(TriePairs(below)) if below else None
    return None


def raise_trie(
    get: Callable[[bytes], bytes | None],
    put_pairs: Callable[[list[Pair]], None],
    put_nodes: Callable[[dict[bytes, bytes]], None],
) -> bytes:
    """Build a state from its pieces: pairs and trie nodes, by position, are given away as they are made; the root.

    Raises Malformed if a piece is missing or is not what it was when it was checked.
    """

    def walk(prefix: bytes) -> Child | None:
        data = get(prefix)
        if data is None:
            raise Malformed("prefix", f"the piece at {prefix.hex()!r} is missing")
        below = children_of(prefix, data)
        if not below:
            pairs = read_pairs(prefix, data)
            put_pairs(pairs)
            top, nodes = subtree(prefix, ((pair.key, pair.value) for pair in pairs))
            put_nodes(nodes)
            return top
        children: dict[int, Child] = {}
        for piece in below:
            child = walk(piece.prefix)
            if child is None or child.hash != piece.hash:
                raise Malformed("hash", f"the piece at {piece.prefix.hex()!r} is damaged")
            children[piece.prefix[-1]] = child
        top, node = joined(children)
        put_nodes({prefix: node})
        return top

    top = walk(b"")
    if top is None:
        return EMPTY_ROOT
    if top.leaf is not None:  # the trie of one leaf is stored at the root (crypto.trie)
        put_nodes({b"": joined({top.leaf[0] >> 4: top})[1]})
    return top.hash
