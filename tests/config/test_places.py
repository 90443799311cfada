"""The places of keys and values: the same paths as the standard parser's, and the text there is what was asked for."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.places import Path, Place, places

TEXT = """\
# comment
title = "a"
dotted.inner = 1
[server]
  host = "x"   # comment
"quoted key" = '''
one
two'''
ports = [1,
  2, # two
  [3, 4]]
inline = {a = 1, b.c = [{d = "]"}]}
[[member]]
name = "first"
[member.extra]
x = 1
[[member]]
name = "second"
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("title",), Place(2, 1, 2, 9)),
        (("dotted",), Place(3, 1, 3, 1)),
        (("dotted", "inner"), Place(3, 1, 3, 16)),
        (("server",), Place(4, 1, 4, 1)),
        (("server", "host"), Place(5, 3, 5, 10)),
        (("server", "quoted key"), Place(6, 1, 6, 16)),
        (("server", "ports"), Place(9, 1, 9, 9)),
        (("server", "ports", 1), Place(10, 3, 10, 3)),
        (("server", "ports", 2, 1), Place(11, 7, 11, 7)),
        (("server", "inline", "b", "c", 0, "d"), Place(12, 26, 12, 30)),
        (("member",), Place(13, 1, 13, 1)),
        (("member", 0), Place(13, 1, 13, 1)),
        (("member", 0, "extra", "x"), Place(16, 1, 16, 5)),
        (("member", 1, "name"), Place(18, 1, 18, 8)),
    ],
)
def test_places_by_hand(path: Path, place: Place) -> None:
    assert places(TEXT)[path] == place


def paths(value: Any, above: Path = ()) -> Iterator[Path]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*above, key)
        yield from paths(item, (*above, key))


def test_the_same_paths_as_the_standard_parser_by_hand() -> None:
    assert set(places(TEXT)) == set(paths(tomllib.loads(TEXT)))


class Writer:
    """Writes a document as TOML, choosing among the ways to write it."""

    def __init__(self, choice: Random) -> None:
        self.choice = choice

    def space(self) -> str:
        return self.choice.choice(["", " ", "\t "])

    def line_end(self) -> str:
        return self.choice.choice(["\n", "\r\n", " # ]}\"'= comment\n", "\n\n"])

    def key(self, name: str) -> str:
        ways = [json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")]
        if name and all(c.isascii() and (c.isalnum() or c in "-_") for c in name):
            ways.append(name)
        if name.isprintable() and "'" not in name:
            ways.append(f"'{name}'")
        return self.choice.choice(ways)

    def text(self, value: str) -> str:
        quoted = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        ways = [quoted, f'""{quoted}""']
        if value.isprintable() and "'" not in value:
            ways += [f"'{value}'", f"'''\n{value}'''"]
        return self.choice.choice(ways)

    def value(self, value: Any) -> str:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, list):
            gap = self.choice.choice(["", " ", "\n", " # comment ]\n  "])
            inside = f",{gap}".join(self.value(item) for item in value)
            return f"[{gap}{inside}{',' if value and self.choice.random() < 0.3 else ''}{gap}]"
        if isinstance(value, dict):
            pairs = [f"{self.key(k)}{self.space()}={self.space()}{self.value(v)}" for k, v in value.items()]
            return f"{{{self.space()}{', '.join(pairs)}{self.space()}}}"
        return str(value)

    def table(self, value: dict[str, Any], above: str = "") -> str:
        """Plain keys, then tables below as headers."""
        plain, below = "", ""
        for name, item in value.items():
            key = self.key(name)
            is_tables = isinstance(item, list) and item and all(isinstance(i, dict) for i in item)
            if isinstance(item, dict) and self.choice.random() < 0.6:
                below += f"{self.space()}[{self.space()}{above}{key}{self.space()}]{self.line_end()}"
                below += self.table(item, f"{above}{key}.")
            elif is_tables and self.choice.random() < 0.6:
                for one in item:
                    below += f"[[{above}{key}]]{self.line_end()}" + self.table(one, f"{above}{key}.")
            else:
                plain += f"{self.space()}{key}{self.space()}={self.space()}{self.value(item)}{self.line_end()}"
        return plain + below


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=6)
SCALARS = st.one_of(
    st.integers(-(2**60), 2**60), st.booleans(), NAMES, st.sampled_from(['"', "'", "]", "}", "#", "\\"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=5)


@given(DOCUMENTS, st.randoms(use_true_random=False))
def test_the_same_paths_as_the_standard_parser(document: dict[str, Any], choice: Random) -> None:
    text = Writer(choice).table(document)
    assert tomllib.loads(text) == document, "the test writes what it means"
    found = places(text.replace("\r\n", "\n"))
    assert set(found) == set(paths(document))


@given(st.dictionaries(NAMES, SCALARS, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_text_at_a_place_is_the_value(document: dict[str, Any], choice: Random) -> None:
    text = Writer(choice).table(document).replace("\r\n", "\n")
    lines = text.split("\n")
    for (name,), place in places(text).items():
        key_on = "\n".join([lines[place.line - 1][place.column - 1 :], *lines[place.line :]])
        assert tomllib.loads(key_on)[str(name)] == document[str(name)]
        value_on = "\n".join([lines[place.value_line - 1][place.value_column - 1 :], *lines[place.value_line :]])
        longer = "a name that no document has"
        assert tomllib.loads(f"'{longer}' = {value_on}")[longer] == document[str(name)]
