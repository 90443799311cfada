"""A state to try something on: what is written to it is seen by who writes, and by nobody else."""

from __future__ import annotations

from typing import Any, TypeVar

from protocol.ledger.spaces import KeyParts, Space
from protocol.ledger.state import StateView

R = TypeVar("R")


class Scratch:
    """A `State` over another that is only read."""

    __slots__ = ("_below", "_written")

    def __init__(self, below: StateView) -> None:
        self._below = below
        self._written: dict[bytes, Any] = {}

    def get(self, space: Space[R], parts: KeyParts) -> R | None:
        """The value, or None."""
        key = space.key(parts)
        if key in self._written:
            value: R | None = self._written[key]
            return value
        return self._below.get(space, parts)

    def put(self, space: Space[R], parts: KeyParts, value: R) -> None:
        """Set a value, here."""
        self._written[space.key(parts)] = value

    def delete(self, space: Space[Any], parts: KeyParts) -> None:
        """Remove a value, here."""
        self._written[space.key(parts)] = None
