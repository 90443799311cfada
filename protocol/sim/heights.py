"""Things by height, without a gap, of which the lowest may be gone: blocks and results as a disk has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Heights(Generic[T]):
    """What stands at `first` and above, up to `last`. `last` is first - 1 where there is nothing."""

    __slots__ = ("_items", "first")

    def __init__(self, items: Iterable[T] = (), first: int = 1) -> None:
        self._items = list(items)
        self.first = first

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __bool__(self) -> bool:
        return bool(self._items)

    @property
    def last(self) -> int:
        """The highest height."""
        return self.first + len(self._items) - 1

    def at(self, height: int) -> T | None:
        """What stands at a height, or None."""
        return self._items[height - self.first] if self.first <= height <= self.last else None

    def numbered(self, first: int = 0) -> Iterator[tuple[int, T]]:
        """(height, what stands there), ascending, from `first` on."""
        begin = max(first, self.first)
        return enumerate(self._items[begin - self.first :], begin)

    def add(self, item: T) -> int:
        """Put one more on top; its height."""
        self._items.append(item)
        return self.last

    def cut_above(self, height: int) -> None:
        """Drop what stands above this height."""
        del self._items[max(0, height + 1 - self.first) :]

    def drop_below(self, height: int) -> None:
        """Drop what stands below this height, at most all."""
        gone = min(max(0, height - self.first), len(self._items))
        del self._items[:gone]
        self.first += gone

    def copy(self, last: int) -> Heights[T]:
        """The same up to this height."""
        copied = Heights(self._items, self.first)
        copied.cut_above(last)
        return copied
