"""The quick way: straight-line code for each record class, written from its annotations when the class is made.

`records.py` has the rules, field by field, with words for whoever breaks one. That is a call for each field, and a node
spends a third of its time there. What is here accepts the same values and says nothing about others: it raises `Slow`,
and the caller asks `records.py`, which refuses in words (or, were the two ever to differ, has the last word).
`tests/codec/test_generated.py` holds one against the other.

For a class it writes three functions:

* `make(raw)`: the record of a plain list, all checks inline, fields set in the slots without `__init__`;
* `check(raw)`: the same checks alone, for what is about to be sent;
* `pack(value)`: the plain list.

This is the one place of `protocol` that runs text as code (scripts/purity.py names it). The text is made of nothing
but names of fields and whole numbers of our own class definitions, at import, as `dataclasses` does it; no byte from
outside comes near it.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from protocol.codec.fields import Items, Octets, Range, Text


class Slow(Exception):
    """Not a value that is accepted here; `records.py` says why."""


@dataclass(frozen=True, slots=True)
class Quick:
    """The three functions of one class."""

    make: Callable[[Any], Any]
    check: Callable[[Any], None]
    pack: Callable[[Any], list[Any]]


def text_bytes(text: str) -> int:
    """Length in UTF-8; -1 where it has none (a lone surrogate)."""
    try:
        return len(text.encode("utf-8"))
    except UnicodeEncodeError:
        return -1


def quick(cls: type[Any], hints: dict[str, Any], head: list[int], known: dict[type[Any], Quick]) -> Quick:
    """Write the functions of `cls`. hints: its annotations; known: those of the classes it may hold."""
    names = list(hints)
    scope: dict[str, Any] = {"Slow": Slow, "text_bytes": text_bytes, "cls": cls, "new": object.__new__}
    for name in names:
        scope[f"set_{name}"] = getattr(cls, name).__set__
    writer = _Writer(scope, known)
    parts = [f"v{at}" for at in range(len(names))]
    opening = _opening(head, parts)
    making = [*opening, *writer.checks(hints, parts, make=True), *_closing(cls, names, parts)]
    checking = [*opening, *writer.checks(hints, parts, make=False)]
    fields = [writer.packed(hints[name], f"value.{name}") for name in names]
    packing = [f"return [{', '.join([*map(str, head), *fields])}]"]
    source = "".join(
        f"def {name}({argument}):\n" + "".join(f"    {line}\n" for line in lines)
        for name, argument, lines in (("make", "raw", making), ("check", "raw", checking), ("pack", "value", packing))
    )
    exec(source, scope)  # noqa: S102 - see the essay
    return Quick(scope["make"], scope["check"], scope["pack"])


def _opening(head: list[int], parts: list[str]) -> list[str]:
    """The array, its length, kind and version; the fields in local names."""
    length = len(head) + len(parts)
    lines = [f"if type(raw) is not list or len(raw) != {length}: raise Slow"]
    targets = [f"h{at}" for at in range(len(head))] + parts
    lines.append(f"{', '.join(targets)}, = raw" if targets else "pass")
    lines += [f"if h{at} != {number} or type(h{at}) is not int: raise Slow" for at, number in enumerate(head)]
    return lines


def _closing(cls: type[Any], names: list[str], parts: list[str]) -> list[str]:
    if hasattr(cls, "__post_init__"):
        return [f"return cls({', '.join(parts)})"]
    sets = [f"set_{name}(made, {part})" for name, part in zip(names, parts, strict=True)]
    return ["made = new(cls)", *sets, "return made"]


class _Writer:
    """Writes checks and packing of fields; `scope` gets what the text refers to."""

    def __init__(self, scope: dict[str, Any], known: dict[type[Any], Quick]) -> None:
        self._scope = scope
        self._known = known

    def checks(self, hints: dict[str, Any], parts: list[str], *, make: bool) -> list[str]:
        """Lines that check all fields, and with `make` replace lists by what they stand for."""
        return [
            line for hint, part in zip(hints.values(), parts, strict=True) for line in self._field(hint, part, make)
        ]

    def _field(self, hint: Any, part: str, make: bool) -> list[str]:
        base, bound = _plain(hint)
        if get_origin(base) in (typing.Union, types.UnionType):
            inner = next(one for one in get_args(base) if one is not type(None))
            lines = self._field(inner, part, make)
            return [f"if {part} is not None:", *(f"    {line}" for line in lines)]
        if get_origin(base) is tuple:
            return self._items(base, bound, part, make)
        if base in self._known:
            call = self._name(base, "make" if make else "check")
            return [f"{part} = {call}({part})" if make else f"{call}({part})"]
        return [f"if {_bad(base, bound, part)}: raise Slow"]

    def _items(self, base: Any, bound: Any, part: str, make: bool) -> list[str]:
        inner, inner_bound = _plain(get_args(base)[0])
        lines = [f"if type({part}) is not list or not {bound.low} <= len({part}) <= {bound.high}: raise Slow"]
        if inner in self._known:
            call = self._name(inner, "make" if make else "check")
            lines += (
                [f"{part} = tuple([{call}(item) for item in {part}])"]
                if make
                else [f"for item in {part}: {call}(item)"]
            )
            return lines
        lines += [f"for item in {part}:", f"    if {_bad(inner, inner_bound, 'item')}: raise Slow"]
        return [*lines, f"{part} = tuple({part})"] if make else lines

    def packed(self, hint: Any, value: str) -> str:
        """An expression: the plain form of a field."""
        base, _ = _plain(hint)
        if get_origin(base) in (typing.Union, types.UnionType):
            inner = next(one for one in get_args(base) if one is not type(None))
            plain = self.packed(inner, value)
            return value if plain == value else f"(None if {value} is None else {plain})"
        if get_origin(base) is tuple:
            plain = self.packed(get_args(base)[0], "item")
            return f"list({value})" if plain == "item" else f"[{plain} for item in {value}]"
        return f"{self._name(base, 'pack')}({value})" if base in self._known else value

    def _name(self, cls: type[Any], what: str) -> str:
        name = f"{what}_{cls.__name__}"
        assert self._scope.setdefault(f"class_{cls.__name__}", cls) is cls, "two classes of one name in one record"
        self._scope[name] = getattr(self._known[cls], what)
        return name


def _plain(hint: Any) -> tuple[Any, Any]:
    """A field's type, and its bound or None; words for people left out."""
    if get_origin(hint) is not Annotated:
        return hint, None
    base, *extras = get_args(hint)
    bounds = [extra for extra in extras if not isinstance(extra, str)]
    return (base, bounds[-1]) if bounds else _plain(base)


def _bad(base: Any, bound: Any, part: str) -> str:
    """An expression that is true of every value that a field without structure must not have."""
    match bound:
        case Octets(low, high):
            size = f"len({part}) != {low}" if high in (None, low) else f"not {low} <= len({part}) <= {high}"
            return f"type({part}) is not bytes or {size}"
        case Text(low, high):
            size = f"(len({part}) if {part}.isascii() else text_bytes({part}))"
            return f"type({part}) is not str or not {low} <= {size} <= {high}"
        case Range(low, high):
            return f"type({part}) is not int or not {low} <= {part} <= {high}"
        case Items():
            raise AssertionError("arrays inside arrays are structures")
    assert base is bool, f"{base!r} was refused before"
    return f"{part} is not True and {part} is not False"
