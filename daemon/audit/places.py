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
from typing import TYPE_CHECKING, Final

from daemon.store.directory import state_directory
from protocol.errors import OperatorFault

if TYPE_CHECKING:
    from daemon.config.node import NodeFile

_NETWORK: Final = "network.toml"


@dataclass(frozen=True, slots=True)
class Place:
    """given: what was named. segments: the folder of segment files. state: of the state store, None without one."""

    given: Path
    segments: Path
    state: Path | None


def find_place(given: Path) -> Place:
    """The parts of the directory `given`. Raises OperatorFault if it holds no history, ConfigurationFault."""
    if not given.is_dir():
        raise OperatorFault(f"{given} is no directory: name a node's directory, its data, or a folder of .seg files")
    for data in (data_directory(given), given):
        if (data / "segments").is_dir():
            state = state_directory(data)
            return Place(given, data / "segments", state if (state / "data.mdb").exists() else None)
    if any(given.glob("*.seg")):
        return Place(given, given, None)
    raise OperatorFault(f"{given} holds no history: neither data/segments, nor segments, nor .seg files")


def data_directory(given: Path) -> Path:
    """Where the data of the node in `given` lies, as its node.toml says. Raises ConfigurationFault."""
    settings = _settings(given)
    return given / ("data" if settings is None else settings.data_directory)


def network_file(given: Path) -> Path:
    """The network's file that goes with a directory if nobody names another.

    Raises OperatorFault if none is found, ConfigurationFault.
    """
    settings = [(folder, _settings(folder)) for folder in (given, given.parent)]
    named = [folder / found.network for folder, found in settings if found is not None]
    for file in (*named, *(folder / _NETWORK for folder in (given, given.parent, given.parent.parent))):
        if file.is_file():
            return file
    raise OperatorFault(f"no network.toml stands beside {given}: name it with --network, from a source you trust")


def _settings(folder: Path) -> NodeFile | None:
    """What node.toml in this folder says, None without one."""
    from daemon.config.files import read
    from daemon.config.node import NodeFile

    file = folder / "node.toml"
    return read(file, NodeFile).value if file.is_file() else None
