"""The purity check finds each kind of planted violation, and lets through what is pure (house rule 4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import purity

PLANTED = {
    "a clock": ("import time", "import of time"),
    "a clock inside a function": ("def f():\n    import time", "import of time"),
    "a member of a module": ("from os import path", "import of os"),
    "a submodule": ("import os.path", "import of os.path"),
    "a thread": ("import threading", "import of threading"),
    "a logger": ("import structlog", "import of structlog"),
    "the daemon": ("from daemon import limits", "import of daemon"),
    "randomness outside the simulator": ("from random import Random", "import of random"),
    "a library in the wrong room": ("import nacl.bindings", "import of nacl.bindings"),
    "a relative import": ("from . import limits", "relative import"),
    "a star import": ("from protocol.limits import *", "star import"),
    "floats of math": ("from math import sqrt", "of math only"),
    "math as a whole": ("import math", "of math only"),
    "a float": ("x = 0.5", "0.5"),
    "an imaginary number": ("x = 2j", "2j"),
    "division": ("x = 1 / 2", "true division"),
    "division in place": ("x = 1\nx /= 2", "true division"),
    "float()": ("x = float('1')", "float()"),
    "open": ("open('x')", "open()"),
    "print": ("print(1)", "print()"),
    "hash": ("hash('x')", "hash()"),
    "id": ("id(object())", "id()"),
    "eval": ("eval('1')", "eval()"),
    "async": ("async def f():\n    pass", "async"),
    "global": ("x = 1\ndef f():\n    global x\n    x = 2", "global"),
    "a loop over a set": ("for x in {1, 2}:\n    pass", "iteration over a set"),
    "a loop over set()": ("for x in set([1]):\n    pass", "iteration over a set"),
    "a loop over a named set": ("def f():\n    s = set()\n    for x in s:\n        pass", "iteration over a set"),
    "a loop over a set of the module": ("S = {1}\ndef f():\n    return [x for x in S]", "iteration over a set"),
    "a loop over a set parameter": ("def f(s: set[int]):\n    for x in s:\n        pass", "iteration over a set"),
    "a loop over a frozenset": ("def f(s: frozenset[int]):\n    return tuple(s)", "iteration over a set"),
    "a loop over an annotated set": ("s: set[int] = g()\nlist(s)", "iteration over a set"),
    "a loop over a union": ("def f(s: set[int], t):\n    return [x for x in s | t]", "iteration over a set"),
    "a loop over a difference": ("def f(s: set[int], t):\n    return [*s.difference(t)]", "iteration over a set"),
    "a tuple of a generator over a set": (
        "def f(s: set[int]):\n    return tuple(x for x in s)",
        "iteration over a set",
    ),
    "a dictionary made from a set": ("def f(s: set[int]):\n    return {x: 1 for x in s}", "iteration over a set"),
    "join": ("b''.join({b'a', b'b'})", "iteration over a set"),
    "pop": ("def f(s: set[int]):\n    return s.pop()", "iteration over a set"),
    "max by a key": ("def f(s: set[int]):\n    return max(s, key=g)", "iteration over a set"),
}

PURE = {
    "the closed list": "import hashlib\nfrom collections.abc import Iterable\nfrom dataclasses import dataclass",
    "protocol": "from protocol import limits\nfrom protocol.codec import encode",
    "integers of math": "from math import isqrt, gcd",
    "floor division": "x = 7 // 2",
    "a sorted set": "def f(s: set[int]):\n    return [x for x in sorted(s)]",
    "what does not care for order": "def f(s: set[int]):\n    return len(s), sum(s), max(s), any(x for x in s), 1 in s",
    "a list of the same name elsewhere": "def f():\n    s = {1}\ndef g(s: list[int]):\n    return [x for x in s]",
    "a dictionary": "def f(d: dict[int, int]):\n    return [k for k in d]",
    "a method named open": "def f(door):\n    door.open()",
    "pop of a list": "def f(items: list[int]):\n    return items.pop()",
}


@pytest.mark.parametrize("name", PLANTED)
def test_finds_what_is_planted(name: str) -> None:
    source, words = PLANTED[name]
    found = purity.check_source(source, "protocol.ledger.planted", "planted.py")
    assert [v for v in found if words in v.words], found


@pytest.mark.parametrize("name", PURE)
def test_lets_through_what_is_pure(name: str) -> None:
    assert purity.check_source(PURE[name], "protocol.ledger.pure", "pure.py") == []


def test_libraries_only_in_their_rooms() -> None:
    assert purity.check_source("import msgpack", "protocol.codec.records", "x.py") == []
    assert purity.check_source("from nacl.bindings import crypto_sign", "protocol.crypto.signing", "x.py") == []
    assert purity.check_source("import nacl.bindings", "protocol.codec.records", "x.py")
    assert purity.check_source("import msgpack", "protocol.codecs", "x.py"), "a room's name is not a prefix"


def test_the_simulator_may_use_a_seeded_generator_and_nothing_else_of_random() -> None:
    room = "protocol.sim.events"
    assert purity.check_source("from random import Random\nr = Random('seed')", room, "x.py") == []
    assert purity.check_source("from random import Random\nr = Random()", room, "x.py")
    assert purity.check_source("import random\nrandom.random()", room, "x.py")
    assert purity.check_source("from random import choice", room, "x.py")
    assert purity.check_source("import time", room, "x.py")


def test_names_file_and_line_in_order(tmp_path: Path) -> None:
    room = tmp_path / "protocol" / "ledger"
    room.mkdir(parents=True)
    (room / "__init__.py").write_text("import os\n")
    (room / "block.py").write_text("x = 1\ny = x / 2\nz = 1.5\n")
    assert [str(v).split(": ")[0] for v in purity.check(tmp_path)] == [
        "protocol/ledger/__init__.py:1",
        "protocol/ledger/block.py:2",
        "protocol/ledger/block.py:3",
    ]


def test_the_protocol_is_pure() -> None:
    modules = list((purity.ROOT / "protocol").rglob("*.py"))
    assert len(modules) > 10, "nothing was looked at"
    assert purity.check() == []
