"""A state to try something on: what is written to it is seen by who writes, and by nobody else before `write_to`."""

from __future__ import annotations

from typing import Any, TypeVar

from protocol.ledger.spaces import KeyParts, Space
from protocol.ledger.state import ChangedState, StateView

R = TypeVar("R")


class Scratch:
    """A `ChangedState` over another that is only read."""

    __slots__ = ("_below", "_written")

    def __init__(self, below: StateView) -> None:
        self._below = below
        self._written: dict[bytes, tuple[Space[Any], KeyParts, Any]] = {}

    def get(self, space: Space[R], parts: KeyParts) -> R | None:
        """The value, or None."""
        written = self._written.get(space.key(parts))
        if written is None:
            return self._below.get(space, parts)
        value: R | None = written[2]
        return value

    def put(self, space: Space[R], parts: KeyParts, value: R) -> None:
        """Set a value, here."""
        self._written[space.key(parts)] = (space, parts, value)

    def delete(self, space: Space[Any], parts: KeyParts) -> None:
        """Remove a value, here."""
        self._written[space.key(parts)] = (space, parts, None)

    def write_to(self, state: ChangedState) -> None:
        """Write all of it, in the order in which it was written here."""
        for space, parts, value in self._written.values():
            if value is None:
                state.delete(space, parts)
            else:
                state.put(space, parts, value)
