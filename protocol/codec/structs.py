"""The quick way: every record class is a struct of msgspec, which packs, unpacks and bounds its fields in C.

`records.py` has the rules, field by field, with words for whoever breaks one: two calls a field, and a node spent a
third of its time there. What is made here from the same annotations accepts the same bytes and says nothing about
others: the caller then asks the rules, which refuse in words (or, were the two ever to differ, have the last word).
`tests/codec/test_structs.py` holds one against the other.

msgspec's rules are not quite ours, so three things are added:

* **The head.** A record's array begins with its kind and version. They are two fields before all others, which only one
  value fits (`Literal`), and which whoever makes a record does not name: the metaclass puts them in front.
* **Canonical form.** msgspec reads integers and headers that are longer than needed. What was read is packed again
  and compared with what came, in C too.
* **Text** is bounded in bytes of UTF-8, which msgspec counts in characters: `fits` looks again where a text is not
  ASCII.

A record may extend another: its fields are that one's and its own, and one that is named again keeps its place.
Lengths are compared with their bounds before anything is allocated for them. A class answers to the functions of
`dataclasses` (`fields`, `replace`, `asdict`) as if it were one. Its instances are left out of the garbage collector's
rounds: they hold no cycles, since a record's fields are all older than it is.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from inspect import Signature
from operator import attrgetter
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from msgspec import Meta, Struct, StructMeta
from msgspec.msgpack import Decoder, Encoder

from protocol.codec.fields import Items, Octets, Range, Text
from protocol.values import NOT_COPIED, answer_as_dataclass, fields_of

HEAD: Final = ("_kind", "_version")
"""The fields in front of a record's own."""

pack: Final = Encoder().encode
"""Bytes of a record or structure, whether or not it keeps its bounds."""
Fits = Callable[[Any], bool]


class _RecordMeta(StructMeta):
    """Puts kind and version in front of the arguments; to patterns and signatures they are not there."""

    head: tuple[int, int]

    @property
    def __match_args__(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.__struct_fields__[len(HEAD) :]

    @property
    def __signature__(self) -> Signature:
        return Signature(list(super().__signature__.parameters.values())[len(HEAD) :])

    def __call__(self, *values: Any, **named: Any) -> Any:
        return super().__call__(*self.head, *values, **named)


@dataclass(frozen=True, slots=True)
class Quick:
    """What was made of one class.

    unpack: the value in these bytes; raises whatever msgspec raises. fits: whether all its texts keep their bounds.
    """

    made: type[Any]
    hints: dict[str, Any]
    unpack: Callable[[bytes], Any]
    fits: Fits | None


_QUICK: dict[type[Any], Quick] = {}


def quick(cls: type[Any], hints: dict[str, Any], head: tuple[int, int] | None) -> Quick:
    """Make a struct of a class that was written like a dataclass. hints: its fields. head: kind and version."""
    own = {name: content for name, content in vars(cls).items() if not _gone(name, content)}
    fields = fields_of(cls)
    front = dict(zip(HEAD, (Literal[number] for number in head or ()), strict=False))
    own["__annotations__"] = {**front, **{name: _type_of(hint) for name, hint in hints.items()}}
    own["__repr__"] = _shown
    own["__reduce__"] = _remade
    meta = StructMeta if head is None else _RecordMeta
    bases = tuple(base for base in cls.__bases__ if base is not object) or (Struct,)
    made: Any = meta(cls.__name__, bases, own, array_like=True, frozen=True, forbid_unknown_fields=True, gc=False)
    if head is not None:
        made.head = head
    found = Quick(made, hints, Decoder(made).decode, _fits_class(hints))
    made.__annotations__ = hints
    answer_as_dataclass(made, fields)
    _QUICK[made] = found
    return found


def _gone(name: str, content: Any) -> bool:
    """Whether this of a class body is not for the class made from it: of one that extends a record, its slots too."""
    return name in NOT_COPIED or name == "__slots__" or isinstance(content, types.MemberDescriptorType)


def _shown(self: Any) -> str:
    fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__dataclass_fields__)
    return f"{type(self).__qualname__}({fields})"


def _remade(self: Any) -> tuple[Any, ...]:
    return type(self), tuple(getattr(self, name) for name in self.__dataclass_fields__)


def _type_of(hint: Any) -> Any:
    """The same field type in msgspec's words. `records.py` has refused what is none."""
    base, bound = _split(hint)
    if get_origin(base) in (typing.Union, types.UnionType):
        inner = next(one for one in get_args(base) if one is not type(None))
        return _type_of(inner) | None
    match bound:
        case Octets(low, high):
            return Annotated[bytes, Meta(min_length=low, max_length=low if high is None else high)]
        case Text(low, high):
            return Annotated[str, Meta(min_length=low, max_length=high)]
        case Range(low, high):
            return Annotated[int, Meta(ge=low, le=high)]
        case Items(low, high):
            inner = _type_of(get_args(base)[0])
            return Annotated[tuple[inner, ...], Meta(min_length=low, max_length=high)]  # type: ignore[valid-type]
    return base


def _split(hint: Any) -> tuple[Any, Any]:
    """Base type and bound."""
    if get_origin(hint) is not Annotated:
        return hint, None
    base, *extras = get_args(hint)
    return base, next((extra for extra in reversed(extras) if not isinstance(extra, str)), None)


def _fits_class(hints: dict[str, Any]) -> Fits | None:
    """Looks at every text of a value; None if its class has none."""
    texts = {name: bound.high for name, hint in hints.items() if isinstance(bound := _split(hint)[1], Text)}
    if len(texts) < 2:
        texts = {}  # one alone is looked at like any other field
    plan = [_texts_fit(texts)] if texts else []
    plan += [
        _field_fits(name, fits)
        for name, hint in hints.items()
        if name not in texts and (fits := _fits(hint)) is not None
    ]
    return reduce(_both_fit, plan) if plan else None


def _both_fit(first: Fits, second: Fits) -> Fits:
    return lambda value: first(value) and second(value)


def _field_fits(name: str, fits: Fits) -> Fits:
    get = attrgetter(name)
    return lambda value: fits(get(value))


def _texts_fit(highs: dict[str, int]) -> Fits:
    """All texts of a value at once: they are ASCII nearly always, and nothing is called in Python for each."""
    get, bounds = attrgetter(*highs), tuple(highs.values())
    return lambda value: (
        "".join(texts := get(value)).isascii()
        or all(len(text.encode()) <= high for text, high in zip(texts, bounds, strict=True))
    )


def _fits(hint: Any) -> Fits | None:
    base, bound = _split(hint)
    if isinstance(bound, Text):
        most = bound.high
        return lambda text: text.isascii() or len(text.encode()) <= most
    if base in _QUICK:
        return _QUICK[base].fits
    inner = _fits(get_args(base)[0]) if get_origin(base) in (typing.Union, types.UnionType, tuple) else None
    if inner is None:
        return None
    if isinstance(bound, Items):
        return lambda items: all(map(inner, items))
    return lambda value: value is None or inner(value)
