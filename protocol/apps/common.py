"""What applications share: how one is put together, where a thing was recorded, words for people.

Two kinds of words are kept apart. Words of a *refusal* stand in receipts and are consensus: they are made of
arguments and state only. Words of an *explanation* are for a person's terminal, may change with any version, and
escape what a terminal would obey.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Any, Final

from protocol import limits
from protocol.codec import Hash, Range, structure
from protocol.errors import BrokenInvariant
from protocol.ledger.application import Context, OperationKind
from protocol.ledger.genesis import Genesis
from protocol.ledger.spaces import Space
from protocol.ledger.state import State

Explain = Callable[[Any, Any], str]
"""(arguments, result or None) to a sentence for a person."""


@dataclass(frozen=True, slots=True)
class App:
    """An application (see `protocol.ledger.application`) with a sentence for each of its operations.

    Raises BrokenInvariant unless every operation has exactly one name and one explanation.
    """

    name: str
    words: str
    operations: Mapping[str, OperationKind]
    spaces: tuple[Space[Any], ...]
    explanations: Mapping[str, Explain]
    begin: Callable[[Genesis, State], None] | None = None
    governs: bool = False

    def __post_init__(self) -> None:
        if list(self.operations) != list(self.explanations):
            raise BrokenInvariant(f"{self.name}: operations and explanations differ")

    def genesis(self, genesis: Genesis, state: State) -> None:
        """Most applications begin empty: what genesis says of accounts, the ledger writes."""
        if self.begin is not None:
            self.begin(genesis, state)


def make_app(
    name: str,
    words: str,
    spaces: tuple[Space[Any], ...],
    kinds: Iterable[tuple[OperationKind, Explain]],
    *,
    begin: Callable[[Genesis, State], None] | None = None,
    governs: bool = False,
) -> App:
    """An application of these operations, in the given order. Raises BrokenInvariant if two have one name."""
    listed = list(kinds)
    operations = {kind.name: kind for kind, _ in listed}
    if len(operations) != len(listed):
        raise BrokenInvariant(f"{name}: two operations have one name")
    explanations = {kind.name: explain for kind, explain in listed}
    return App(name, words, MappingProxyType(operations), spaces, MappingProxyType(explanations), begin, governs)


@structure
class Origin:
    """Where something was written: the transaction's id, and the index of the operation in its envelope.

    What only has to be proven as "was recorded" stands there, under its signatures, and not in the state.
    """

    transaction: Hash
    operation: Annotated[int, Range(0, limits.OPERATIONS_MAX - 1)]


def origin_of(context: Context) -> Origin:
    """The operation that is being applied."""
    return Origin(context.transaction, context.operation)


def ascending(items: tuple[bytes, ...]) -> bool:
    """Whether byte strings are distinct and ascending, the one form in which a set is written."""
    return all(low < high for low, high in pairwise(items))


_SHOWN_BYTES: Final = 6


def short(name: bytes) -> str:
    """A hash or id as people tell them apart: its first bytes in hex."""
    return name[:_SHOWN_BYTES].hex() + ("…" if len(name) > _SHOWN_BYTES else "")


def quoted(text: str) -> str:
    """Text that somebody else wrote, for a terminal: in quotes, what does not print escaped."""
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else _escaped(c) for c in text) + '"'


def _escaped(character: str) -> str:
    return f"\\{character}" if character in '"\\' else f"\\u{{{ord(character):x}}}"
