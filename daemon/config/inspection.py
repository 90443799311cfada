"""Looking at a file of any kind: is it right, and what does it come to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

from pydantic import BaseModel

from daemon.config.card import CardFile
from daemon.config.files import Read, read, read_tables, read_text
from daemon.config.keyfiles import load_key
from daemon.config.network import NetworkFile, load_network
from daemon.config.node import NodeFile, load_node
from daemon.config.places import Path
from daemon.config.problems import ConfigurationFault, Problem, dotted
from daemon.config.texts import NETWORK_ID, PUBLIC_KEY
from daemon.config.write import scalar

MODELS: dict[str, type[BaseModel]] = {"network": NetworkFile, "node": NodeFile, "card": CardFile}


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that was looked at: its kind, what it is in words, or what is wrong with it."""

    file: File
    kind: str
    words: str
    problems: tuple[Problem, ...] = ()


def kind_of_file(file: File) -> str:
    """`network`, `node`, `card` or `key`, by what stands in it. Raises ConfigurationFault if it is not TOML."""
    content = read_tables(file, read_text(file))
    if "secret" in content or "purpose" in content:
        return "key"
    if "card" in content:
        return "card"
    return "network" if "genesis" in content or "network_id" in content else "node"


def check_file(file: File) -> Checked:
    """Everything that is wrong with the file, and with those that it names."""
    kind = "unknown"
    try:
        kind = kind_of_file(file)
        return Checked(file, kind, _CHECKS[kind](file))
    except ConfigurationFault as fault:
        return Checked(file, kind, "", fault.problems)


def _network(file: File) -> str:
    found = load_network(file)
    count = len(found.genesis.validators)
    return f"network {found.genesis.name}, {NETWORK_ID.format(found.network_id)}, validators: {count}"


def _node(file: File) -> str:
    found = load_node(file)
    role = "validator" if found.is_validator else "observer"
    whose = f" of {found.member}" if found.member is not None else ""
    return f"node, {role}{whose} in network {found.network.genesis.name}, dials {len(found.dial)}"


def _card(file: File) -> str:
    found = read(file, CardFile)
    if found.problems:
        raise ConfigurationFault(found.problems)
    return f"card of a node of {found.value.card.member}, {PUBLIC_KEY.format(found.value.card.node_key)}"


def _key(file: File) -> str:
    found = load_key(str(file.absolute()), None, File())
    return f"{found.purpose} key, {PUBLIC_KEY.format(found.key.public)}"


_CHECKS = {"network": _network, "node": _node, "card": _card, "key": _key}


@dataclass(frozen=True, slots=True)
class Value:
    """An effective value: its dotted key, itself, as a file would write it, and its line, None for a default."""

    key: str
    value: Any
    text: str
    line: int | None


def effective(file: File) -> list[Value]:
    """Every value that the file comes to, in the order of its model. Raises ConfigurationFault."""
    kind = kind_of_file(file)
    if kind == "key":
        problem = Problem(str(file), 0, 0, "", "network.toml, node.toml or member.toml", "a key file: papilio key show")
        raise ConfigurationFault([problem])
    found = read(file, MODELS[kind])
    if found.problems:
        raise ConfigurationFault(found.problems)
    return list(_values(found, found.value, ()))


def _values(found: Read[BaseModel], table: BaseModel, above: Path) -> Iterator[Value]:
    shown = table.model_dump(mode="json")
    for name in type(table).model_fields:
        value, path = getattr(table, name), (*above, name)
        if isinstance(value, BaseModel):
            yield from _values(found, value, path)
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            for index, item in enumerate(value):
                yield from _values(found, item, (*path, index))
        else:
            place = found.source.places.get(path)
            text = "-" if value is None else scalar(tuple(shown[name]) if isinstance(value, tuple) else shown[name])
            yield Value(dotted(path), shown[name], text, None if place is None else place.line)
