"""Where the parts of a directory are that somebody was given: a node's own, its `data`, or segment files alone.

    NODE/            node.toml, data/         as `papilio node create` makes it
    NODE/data/       format.json, segments/   what back-ups hold
    anything/        *.seg                    segments alone

The network's file is what is believed, so it is named by the one who audits; without a word the `network.toml` beside
the directory, or the one that its node.toml names, is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from daemon.store.directory import state_directory
from protocol.errors import OperatorFault

_NETWORK: Final = "network.toml"


@dataclass(frozen=True, slots=True)
class Place:
    """given: what was named. segments: the folder of segment files. state: of the state store, None without one."""

    given: Path
    segments: Path
    state: Path | None


def find_place(given: Path) -> Place:
    """The parts of the directory `given`. Raises OperatorFault if it holds no history."""
    if not given.is_dir():
        raise OperatorFault(f"{given} is no directory: name a node's directory, its data, or a folder of .seg files")
    for data in (given / "data", given):
        if (data / "segments").is_dir():
            state = state_directory(data)
            return Place(given, data / "segments", state if (state / "data.mdb").exists() else None)
    if any(given.glob("*.seg")):
        return Place(given, given, None)
    raise OperatorFault(f"{given} holds no history: neither data/segments, nor segments, nor .seg files")


def network_file(place: Place) -> Path:
    """The network's file that goes with a directory if nobody names another. Raises OperatorFault if none is found."""
    above = (place.given, place.given.parent, place.given.parent.parent)
    named = [folder / _node_names(folder / "node.toml") for folder in above[:2] if (folder / "node.toml").is_file()]
    for file in (*named, *(folder / _NETWORK for folder in above)):
        if file.is_file():
            return file
    raise OperatorFault(f"no network.toml stands beside {place.given}: name it with --network, from a source you trust")


def _node_names(file: Path) -> str:
    from daemon.config.files import read
    from daemon.config.node import NodeFile

    return read(file, NodeFile).value.network
