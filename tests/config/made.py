"""Files that tests change and break."""

from __future__ import annotations

from pathlib import Path

from daemon.config.creation import NodePlan, create_network
from daemon.config.network import Network
from daemon.config.texts import Address

MEMBERS = ("bank", "customs", "port")
CREATED_MS = 1_767_225_600_000


def plans(members: tuple[str, ...] = MEMBERS, validators: int = 2) -> list[NodePlan]:
    """Nodes on loopback; the last ones are observers."""
    made = []
    for index, member in enumerate(members):
        listen = Address("127.0.0.1", 7100 + index)
        made.append(NodePlan(member, listen, Address("127.0.0.1", 8100 + index), listen, votes=index < validators))
    return made


def network(directory: Path) -> Network:
    """Two validators and an observer."""
    return create_network(directory, "test", plans(), CREATED_MS)[0]


def change(file: Path, old: str, new: str, count: int = 1) -> None:
    """Replace a text in a file; it stands there."""
    text = file.read_text()
    assert old in text, f"{old!r} does not stand in {file}"
    file.write_text(text.replace(old, new, count))


def line_of(file: Path, text: str) -> int:
    """The line, from 1, of the first that holds `text`."""
    return next(number for number, line in enumerate(file.read_text().splitlines(), 1) if text in line)
