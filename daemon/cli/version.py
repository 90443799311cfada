"""`papilio version`: what a report of a fault should name."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Final

import click

from daemon import VERSION
from daemon.cli.output import emit, json_option

LIBRARIES: Final = (
    *(
        "trio",
        "msgpack",
        "msgspec",
        "pynacl",
        "structlog",
        "lmdb",
        "zstandard",
        "httptools",
        "pydantic",
        "typing-extensions",
    ),
    *("click", "rich", "httpx", "anyio", "prometheus-client"),
)


def library_version(name: str) -> str | None:
    """The version of a library that is installed here; None if it is not."""
    try:
        return version_of(name)
    except PackageNotFoundError:
        return None


def _formats() -> dict[str, int]:
    """Versions of what nodes and disks understand; imported here, so that only this command pays for it."""
    from protocol.apps.registry import NEWEST_RULES
    from protocol.wire.channel import VERSION_HIGH, VERSION_LOW

    return {"channel": VERSION_HIGH, "channel_lowest": VERSION_LOW, "rules": NEWEST_RULES}


def trie_in_c() -> bool:
    """Whether the state trie's update runs in C here; imported late, as above."""
    from protocol.crypto.trie_descent import native

    return native


@click.command()
@json_option
def version() -> None:
    """Show versions of program, protocol and libraries.

    \b
    Example:
        papilio version --json
    """
    libraries = {name: library_version(name) for name in LIBRARIES}
    facts = {
        "papilio": VERSION,
        "protocol": _formats(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "trie_in_c": trie_in_c(),
        "libraries": libraries,
    }

    def lines() -> None:
        print(f"papilio {VERSION}")
        print(f"protocol {', '.join(f'{name} {number}' for name, number in _formats().items())}")
        print(f"python {platform.python_version()} on {platform.platform()}")
        print(f"state trie in {'C' if trie_in_c() else 'Python (not compiled at installation): slower'}")
        for name, number in libraries.items():
            print(f"    {name} {number or 'missing'}")

    emit(facts, lines)
