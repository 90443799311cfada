"""The pages of the state's file, walked without LMDB: is this a store that LMDB may be let at?

LMDB maps its file and believes it: a page number that leads past the end is a bus error, a wrong length inside a page
a fault of the process. So before a file that may be damaged is opened, its trees are walked here with plain reads:
both root records, and from the newer one every page that it leads to: its number, kind, bounds of entries, order of
keys, each page once, and as many pages and entries as the root says. What is not reached is free, and may hold
anything.

That finds damage to the structure, and says at which byte. Damage inside a value has no check in LMDB: content is
compared by executing again (daemon.upkeep).

Tables of names (`daemon.store.rows`) are *duplicates of one size*: each has one key, under which stands either a
small page inside the entry, or the record of a tree of its own, whose leaves hold values of that size and nothing else.

The layout is that of LMDB 0.9 (data format 1) on a little-endian machine of 64 bits, as lmdb.h and mdb.c describe it.
Deliberately absent: other kinds of duplicates, and writable maps, which the state does not use; repair: the state is
derived.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from struct import Struct
from typing import Final

MAGIC: Final = 0xBEEFC0DE
VERSION: Final = 1
PAGE_BYTES_LEAST: Final = 512
PAGE_BYTES_MOST: Final = 65_536
KEY_BYTES_MOST: Final = 511
DEPTH_MOST: Final = 32
MAP_BYTES_MOST: Final = 1 << 46
_HEAD: Final = Struct("<QHHHH")
"""Page number, padding, flags, lower, upper."""
_LOWER_AT: Final = 12
_OVERFLOW: Final = Struct("<QHHI")
_META: Final = Struct("<IIQQ")
"""Magic, version, address, map size; then two `_DB`, then `_LAST`."""
_DB: Final = Struct("<IHHQQQQQ")
"""Padding, flags, depth, branch pages, leaf pages, overflow pages, entries, root."""
_LAST: Final = Struct("<QQ")
"""Last page, transaction."""
_NODE: Final = Struct("<HHHH")
_BRANCH, _LEAF, _BIG, _ROOTS, _TIGHT, _INSIDE = 0x01, 0x02, 0x04, 0x08, 0x20, 0x40
"""The last two: a leaf of values of one size; a page inside an entry."""
_CHANGED: Final = 0x10
"""Of a page that a transaction has changed: never on disk, except inside of an entry."""
_BIGDATA, _SUBDATA, _DUPLICATES = 0x01, 0x02, 0x04
_INTEGER_KEY: Final = 0x08
_NAMES: Final = 0x04 | 0x10
"""A tree of duplicates of one size; the trees of the duplicates themselves have the second alone."""
_ONE_SIZE: Final = 0x10
_PERSISTENT: Final = 0x7FFF
_NO_ROOT: Final = (1 << 64) - 1


class PageDamaged(Exception):
    """The page at byte `offset` is not what the tree needs there."""

    def __init__(self, offset: int, words: str) -> None:
        super().__init__(f"at byte {offset}: {words}")
        self.offset = offset
        self.words = words


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree as its record describes it. padding: the size of a value, where all have one."""

    padding: int
    flags: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    entries: int
    root: int

    @classmethod
    def read(cls, data: bytes, at: int) -> Tree:
        """The record at `at`."""
        padding, flags, depth, *counts = _DB.unpack_from(data, at)
        return cls(padding, flags & _PERSISTENT, depth, *counts)


@dataclass(frozen=True, slots=True)
class Roots:
    """One of the two root records: which trees it leads to."""

    offset: int
    page_bytes: int
    map_bytes: int
    free: Tree
    main: Tree
    last_page: int
    transaction: int


@dataclass(slots=True)
class _Counts:
    branch: int = 0
    leaf: int = 0
    overflow: int = 0
    entries: int = 0


class Walk:
    """One walk over a file; `pages` are those that were reached."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._page_bytes = 0
        self._last_page = 0
        self._apart = 0
        self.seen: set[int] = set()

    def run(self) -> Roots:
        """Walk all trees from the newer root record. Raises PageDamaged."""
        roots = self.roots()
        if self._apart > 1:
            raise PageDamaged(roots.offset, "the two root records are not of two commits in a row")
        self._page_bytes, self._last_page = roots.page_bytes, roots.last_page
        self._tree(roots.free, roots.offset, named=False)
        self._tree(roots.main, roots.offset, named=True)
        return roots

    def roots(self) -> Roots:
        """Both root records are read; the newer one counts. Raises PageDamaged."""
        first = self._roots(0, 0)
        second = self._roots(first.page_bytes, 1)
        if second.page_bytes != first.page_bytes:
            raise PageDamaged(second.offset, "the two root records differ in the size of a page")
        newer = max((first, second), key=lambda roots: roots.transaction)
        self._apart = abs(first.transaction - second.transaction)
        return newer

    def _roots(self, offset: int, number: int) -> Roots:
        size = _HEAD.size + _META.size + 2 * _DB.size + _LAST.size
        data = os.pread(self._descriptor, size, offset)
        if len(data) != size:
            raise PageDamaged(offset, "the file ends before its root records")
        page, _, flags, _, _ = _HEAD.unpack_from(data)
        magic, version, address, map_bytes = _META.unpack_from(data, _HEAD.size)
        at = _HEAD.size + _META.size
        page_bytes = int.from_bytes(data[at : at + 4], "little")
        if (page, flags, magic, version, address) != (number, _ROOTS, MAGIC, VERSION, 0):
            raise PageDamaged(offset, "this is no root record of LMDB")
        if not PAGE_BYTES_LEAST <= page_bytes <= PAGE_BYTES_MOST or page_bytes & (page_bytes - 1):
            raise PageDamaged(offset, f"pages of {page_bytes} bytes")
        last_page, transaction = _LAST.unpack_from(data, at + 2 * _DB.size)
        if not (last_page + 1) * page_bytes <= map_bytes <= MAP_BYTES_MOST:
            raise PageDamaged(offset, f"a map of {map_bytes} bytes with {last_page + 1} pages")
        free, main = Tree.read(data, at), Tree.read(data, at + _DB.size)
        # What the binding makes: keys of the free list are integers, and neither of these two has duplicates.
        if free.flags != _INTEGER_KEY or main.flags:
            raise PageDamaged(offset, "trees of other kinds than the state's")
        return Roots(offset, page_bytes, map_bytes, free, main, last_page, transaction)

    def _tree(self, tree: Tree, offset: int, *, named: bool) -> _Counts:
        """One tree. named: whether its values describe more trees. offset: where its record stands."""
        counts = _Counts()
        if tree.root != _NO_ROOT:
            if tree.depth > DEPTH_MOST:
                raise PageDamaged(offset, f"a tree of depth {tree.depth}")
            self._page(tree, tree.root, tree.depth, offset, counts, (b"", None), named=named)
        expected = (tree.branch_pages, tree.leaf_pages, tree.overflow_pages, tree.entries)
        if (counts.branch, counts.leaf, counts.overflow, counts.entries) != expected:
            raise PageDamaged(offset, "a tree has other numbers of pages and entries than its record says")
        return counts

    def _page(
        self,
        tree: Tree,
        number: int,
        depth: int,
        from_offset: int,
        counts: _Counts,
        bounds: tuple[bytes, bytes | None],
        *,
        named: bool,
    ) -> None:
        offset, data = self._read(number, from_offset)
        _, padding, kind, lower, upper = _HEAD.unpack_from(data)
        tight = depth == 1 and tree.flags == _ONE_SIZE
        wanted = _BRANCH if depth != 1 else _LEAF | _TIGHT if tight else _LEAF
        # Of other pages the padding is what a page before in the same memory had.
        if not depth or kind != wanted or (tight and padding != tree.padding):
            raise PageDamaged(offset, "a page of another kind than the tree needs here")
        if not _HEAD.size <= lower <= upper <= self._page_bytes or lower % 2:
            raise PageDamaged(offset, "the bounds of its entries do not fit the page")
        if tight:
            counts.leaf += 1
            counts.entries += self._values(data, offset, padding, bounds)
            return
        starts = [int.from_bytes(data[at : at + 2], "little") for at in range(_HEAD.size, lower, 2)]
        nodes = [self._node(data, offset, start, upper, is_leaf=depth == 1) for start in starts]
        self._check_order(offset, nodes, bounds, is_leaf=depth == 1, integers=bool(tree.flags & _INTEGER_KEY))
        if depth == 1:
            counts.leaf += 1
            for key, start, size, flags in nodes:
                at = start + _NODE.size + len(key)
                if tree.flags == _NAMES:
                    self._duplicates(data[at : at + size], offset, flags, counts)
                else:
                    counts.entries += 1
                    self._value(data, offset, at, size, flags, counts, named=named)
            return
        counts.branch += 1
        ordered = not tree.flags & _INTEGER_KEY
        for at, (key, _, child, _) in enumerate(nodes):
            high = nodes[at + 1][0] if at + 1 < len(nodes) else bounds[1]
            inner = (key if at else bounds[0], high) if ordered else (b"", None)
            self._page(tree, child, depth - 1, offset, counts, inner, named=named)

    def _duplicates(self, value: bytes, offset: int, flags: int, counts: _Counts) -> None:
        """What stands under the key of a tree of names: one value, a page inside the entry, or a tree of its own."""
        if not flags:
            counts.entries += 1
        elif flags == _DUPLICATES:
            if len(value) < _HEAD.size:
                raise PageDamaged(offset, "a page inside an entry has no head")
            _, size, kind, lower, _ = _HEAD.unpack_from(value)
            if kind & ~_CHANGED != _LEAF | _TIGHT | _INSIDE or not _HEAD.size <= lower <= len(value) or lower % 2:
                raise PageDamaged(offset, "a page inside an entry is of another kind than the tree needs here")
            counts.entries += self._values(value, offset, size, (b"", None))
        elif flags == _DUPLICATES | _SUBDATA and len(value) == _DB.size:
            tree = Tree.read(value, 0)
            if tree.flags != _ONE_SIZE:
                raise PageDamaged(offset, "a tree of another kind than the state's")
            below = self._tree(tree, offset, named=False)
            counts.branch += below.branch
            counts.leaf += below.leaf
            counts.entries += below.entries
        else:
            raise PageDamaged(offset, "an entry of another kind than the tree holds")

    def _values(self, page: bytes, offset: int, size: int, bounds: tuple[bytes, bytes | None]) -> int:
        """How many values of `size` bytes stand in a page without heads. Raises PageDamaged."""
        count = (int.from_bytes(page[_LOWER_AT : _LOWER_AT + 2], "little") - _HEAD.size) // 2
        end = _HEAD.size + count * size
        if not size or not count or end > len(page):
            raise PageDamaged(offset, "its values do not fit the page")
        values = [page[at : at + size] for at in range(_HEAD.size, end, size)]
        if any(first >= second for first, second in pairwise(values)):
            raise PageDamaged(offset, "values are out of order")
        low, high = bounds
        if values[0] < low or (high is not None and values[-1] >= high):
            raise PageDamaged(offset, "a value belongs to another page")
        return count

    def _read(self, number: int, from_offset: int) -> tuple[int, bytes]:
        """A page that something leads to, once. Raises PageDamaged."""
        if not 2 <= number <= self._last_page or number in self.seen:
            words = f"it leads to page {number}, which is outside of the file's pages or belongs elsewhere"
            raise PageDamaged(from_offset, words)
        self.seen.add(number)
        offset = number * self._page_bytes
        data = os.pread(self._descriptor, self._page_bytes, offset)
        if len(data) != self._page_bytes:
            raise PageDamaged(offset, f"the file ends at byte {self._size}, inside of this page or before it")
        if _HEAD.unpack_from(data)[0] != number:
            raise PageDamaged(offset, "the page has another number")
        return offset, data

    def _node(self, data: bytes, offset: int, start: int, upper: int, *, is_leaf: bool) -> tuple[bytes, int, int, int]:
        """Key, where it starts, its value's size (in a branch: the page), flags."""
        if not upper <= start <= self._page_bytes - _NODE.size or start % 2:
            raise PageDamaged(offset, "an entry lies outside of the page")
        low, high, flags, key_bytes = _NODE.unpack_from(data, start)
        end = start + _NODE.size + key_bytes
        if key_bytes > KEY_BYTES_MOST or end > self._page_bytes:
            raise PageDamaged(offset, "a key is too long")
        key = data[start + _NODE.size : end]
        if not is_leaf:
            return key, start, low | high << 16 | flags << 32, 0
        size = low | high << 16
        if flags & ~(_BIGDATA | _SUBDATA | _DUPLICATES) or (not flags & _BIGDATA and end + size > self._page_bytes):
            raise PageDamaged(offset, "a value lies outside of the page")
        return key, start, size, flags

    def _check_order(
        self,
        offset: int,
        nodes: list[tuple[bytes, int, int, int]],
        bounds: tuple[bytes, bytes | None],
        *,
        is_leaf: bool,
        integers: bool,
    ) -> None:
        keys = [node[0] for node in nodes] if is_leaf else [node[0] for node in nodes[1:]]
        if not keys:
            raise PageDamaged(offset, "a page without entries")
        values = [int.from_bytes(key, "little") for key in keys] if integers else keys
        if any(first >= second for first, second in pairwise(values)):  # type: ignore[operator]
            raise PageDamaged(offset, "keys are out of order")
        low, high = bounds
        if not integers and (keys[0] < low or (high is not None and keys[-1] >= high)):
            raise PageDamaged(offset, "a key belongs to another page")
        spans = sorted((node[1], node[1] + _NODE.size + len(node[0])) for node in nodes)
        if any(first[1] > second[0] for first, second in pairwise(spans)):
            raise PageDamaged(offset, "entries overlap")

    def _value(self, data: bytes, offset: int, at: int, size: int, flags: int, counts: _Counts, *, named: bool) -> None:
        if flags & _BIGDATA:
            number = int.from_bytes(data[at : at + 8], "little")
            counts.overflow += self._overflow(number, size, offset)
        if bool(flags & _SUBDATA) != named or flags & _DUPLICATES:
            raise PageDamaged(offset, "an entry of another kind than the tree holds")
        if named:
            if size != _DB.size:
                raise PageDamaged(offset, "the record of a tree has a wrong length")
            tree = Tree.read(data, at)
            if tree.flags not in (0, _NAMES):
                raise PageDamaged(offset, "a tree of another kind than the state's")
            self._tree(tree, offset, named=False)

    def _overflow(self, number: int, size: int, from_offset: int) -> int:
        """Pages of a long value."""
        offset, data = self._read(number, from_offset)
        _, _, kind, pages = _OVERFLOW.unpack_from(data)
        wanted = -(-(_HEAD.size + size) // self._page_bytes)
        if kind != _BIG or pages != wanted:
            raise PageDamaged(offset, "the pages of a long value do not fit it")
        rest = range(number + 1, number + pages)
        if rest and (rest[-1] > self._last_page or not self.seen.isdisjoint(rest)):
            raise PageDamaged(offset, "the pages of a long value belong elsewhere")
        self.seen.update(rest)
        if (number + pages) * self._page_bytes > self._size:
            raise PageDamaged(offset, f"the file ends at byte {self._size}, inside of a long value")
        return int(pages)


def walk(path: Path) -> Roots:
    """Walk the file of a state, which nobody writes meanwhile. Raises PageDamaged, FileNotFoundError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return Walk(descriptor).run()
    finally:
        os.close(descriptor)


def glance(path: Path) -> Roots:
    """Both root records, and that the file reaches to the roots of the trees: what a start can afford. As `walk`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        roots = Walk(descriptor).roots()
        size = os.fstat(descriptor).st_size
        for tree in (roots.free, roots.main):
            if tree.root != _NO_ROOT and (tree.root + 1) * roots.page_bytes > size:
                raise PageDamaged(tree.root * roots.page_bytes, f"the file ends at byte {size}, before this page")
        return roots
    finally:
        os.close(descriptor)
