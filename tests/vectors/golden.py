"""Our own golden bytes: two examples of every record kind, derived from the field annotations alone.

`golden.json` holds for each kind its name, version, fields with their bounds in words, and two encoded examples:
`full`, with every optional part there, two items in each tuple and values from the whole range, and `least`, with
the least that the bounds allow. An example's values follow from its class and field names through SHA-256, so that
the same class gives the same bytes everywhere, and two fields of one type do not get the same value.

    python -m tests.vectors.golden                          says what is missing, stale or different; exit code 1 if any
    python -m tests.vectors.golden --write                  adds what is missing, changes nothing
    python -m tests.vectors.golden --write --change KIND    replaces, or removes, the vector of this kind

Changing a vector is a decision to be written down: older disks and other nodes hold the old bytes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from click import echo

import protocol
from protocol.codec import KINDS, Items, Octets, Range, Text, encode

FILE = Path(__file__).with_name("golden.json")
_LONGEST_EXAMPLE = 48
"""Bytes of the longest byte string or text in an example; an exact length is kept whatever it is."""


def all_records() -> dict[int, type[Any]]:
    """Every record kind of `protocol`, all its modules imported; kinds that tests made are not among them."""
    for module in pkgutil.walk_packages(protocol.__path__, "protocol."):
        importlib.import_module(module.name)
    return {kind: cls for kind, cls in sorted(KINDS.items()) if cls.__module__.split(".")[0] == "protocol"}


def vector_of(kind: int, cls: type[Any]) -> dict[str, Any]:
    """The entry of one kind."""
    full = encode(example(cls, cls.__name__, least=False))
    least = encode(example(cls, cls.__name__, least=True))
    return {"kind": kind, "name": cls.__name__, "fields": described(cls), "full": full.hex(), "least": least.hex()}


def example(hint: Any, where: str, *, least: bool) -> Any:
    """A value of the annotated type; `where` is the dotted path that its content is derived from."""
    if get_origin(hint) is Annotated:
        base, *extras = get_args(hint)
        bounds = [extra for extra in extras if not isinstance(extra, str)]  # text is words for people
        return _bounded(base, bounds[-1], where, least=least) if bounds else example(base, where, least=least)
    if get_origin(hint) in (typing.Union, types.UnionType):
        return None if least else example(_present(hint), where, least=False)
    if hint is bool:
        return not least
    assert is_dataclass(hint), f"{where}: {hint!r}"
    hints = get_type_hints(hint, include_extras=True)
    return hint(*(example(hints[f.name], f"{where}.{f.name}", least=least) for f in fields(hint)))  # type: ignore[operator]


def _bounded(base: Any, bound: Any, where: str, *, least: bool) -> Any:
    if isinstance(bound, Octets):
        return _stream(where, bound.low if least else _size(bound.low, bound.low if bound.high is None else bound.high))
    if isinstance(bound, Text):
        return _letters(where, bound.low if least else _size(bound.low, bound.high))
    if isinstance(bound, Range):
        span = bound.high - bound.low + 1
        return bound.low if least else bound.low + int.from_bytes(_stream(where, 8), "big") % span
    assert isinstance(bound, Items), f"{where}: {bound!r}"
    count = bound.low if least else min(bound.high, max(2, bound.low))
    return tuple(example(get_args(base)[0], f"{where}[{index}]", least=least) for index in range(count))


def _size(low: int, high: int) -> int:
    return max(low, min(high, _LONGEST_EXAMPLE))


def _stream(where: str, size: int) -> bytes:
    blocks = (sha256(f"{where}#{index}".encode()).digest() for index in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def _letters(where: str, size: int) -> str:
    """Text of `size` bytes that holds a letter of two bytes if there is room."""
    text = "".join(chr(ord("a") + octet % 26) for octet in _stream(where, size))
    return text if size < 4 else text[:-2] + "é"


def described(cls: type[Any]) -> list[str]:
    """The fields in order, as `name: type with bounds`."""
    hints = get_type_hints(cls, include_extras=True)
    return [f"{f.name}: {_words(hints[f.name])}" for f in fields(cls)]


def _words(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        base, *extras = get_args(hint)
        bounds = [extra for extra in extras if not isinstance(extra, str)]
        if not bounds:
            return _words(base)
        bound = bounds[-1]
        if isinstance(bound, Octets):
            return f"bytes {bound.low}" + ("" if bound.high is None else f"..{bound.high}")
        if isinstance(bound, Text):
            return f"text {bound.low}..{bound.high} bytes"
        if isinstance(bound, Range):
            return f"integer {bound.low}..{bound.high}"
        return f"{bound.low}..{bound.high} of ({_words(get_args(base)[0])})"
    if get_origin(hint) in (typing.Union, types.UnionType):
        return f"nil or {_words(_present(hint))}"
    if hint is bool:
        return "boolean"
    return f"{hint.__name__} [{', '.join(described(hint))}]"


def _present(hint: Any) -> Any:
    return next(part for part in get_args(hint) if part is not type(None))


def load(path: Path = FILE) -> dict[int, dict[str, Any]]:
    """The stored vectors by kind; none if the file does not exist yet."""
    if not path.exists():
        return {}
    return {vector["kind"]: vector for vector in json.loads(path.read_text(encoding="utf-8"))["kinds"]}


def save(vectors: Mapping[int, Mapping[str, Any]], path: Path = FILE) -> None:
    """Write the vectors, by kind."""
    content = {"kinds": [vectors[kind] for kind in sorted(vectors)]}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def differences(stored: Mapping[int, Any], derived: Mapping[int, Any]) -> dict[int, str]:
    """What is wrong, by kind: missing, stale, or different and in what."""
    found: dict[int, str] = {}
    for kind in sorted({*stored, *derived}):
        if kind not in stored:
            found[kind] = f"{derived[kind]['name']} has no vector"
        elif kind not in derived:
            found[kind] = f"{stored[kind]['name']} is no record any more"
        elif stored[kind] != derived[kind]:
            parts = sorted(key for key in derived[kind] if stored[kind].get(key) != derived[kind][key])
            found[kind] = f"{derived[kind]['name']} differs from its vector in {', '.join(parts)}"
    return found


def main(arguments: Sequence[str], path: Path = FILE, derived: Mapping[int, Any] | None = None) -> int:
    """The command; 0 if vectors and records agree in the end, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.vectors.golden", description="Golden bytes of our records.")
    parser.add_argument("--write", action="store_true", help="add missing vectors")
    parser.add_argument("--change", type=int, action="append", default=[], metavar="KIND", help="replace this kind's")
    options = parser.parse_args(arguments)
    if options.change and not options.write:
        parser.error("--change goes with --write")
    if derived is None:
        derived = {kind: vector_of(kind, cls) for kind, cls in all_records().items()}
    stored = load(path)
    if options.write:
        for kind in differences(stored, derived):
            if kind in derived and (kind not in stored or kind in options.change):
                stored[kind] = derived[kind]
                echo(f"kind {kind}: {derived[kind]['name']} written")
            elif kind in options.change:
                echo(f"kind {kind}: {stored.pop(kind)['name']} removed")
        save(stored, path)
    left = differences(stored, derived)
    for kind, words in left.items():
        echo(f"kind {kind}: {words}")
    if left:
        echo("A changed vector is a decision: write it down, then --write --change KIND. Missing ones: --write.")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
