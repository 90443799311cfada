"""network.toml: what all nodes of a network share.

The part `[genesis]` is what the network id commits to (L-4); it is written once and never changes, and nothing in it
has a default: a program with other defaults would compute another id. The order of its tables has no meaning, the
record sorts them. Outside of it stand the id itself, as a check against a slip of the hand, and where nodes can be
reached; both may differ between members' copies without harm.

`load_network` gives the checked network, or every problem with its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as File
from typing import Annotated

from pydantic import Field

from daemon.config.files import Read, read
from daemon.config.genesis import faults_in_file, to_record
from daemon.config.problems import ConfigurationFault
from daemon.config.tables import GenesisTable
from daemon.config.texts import NETWORK_ID, Address
from daemon.config.values import AddressText, NetworkId, PublicKey, Table
from protocol.ledger.genesis import Genesis, network_id


class NodeAddress(Table):
    """Where a node can be reached."""

    node_key: Annotated[PublicKey, Field(description="Key of the node's channel, as in [genesis].")]
    address: Annotated[AddressText, Field(description="Where it listens for other nodes, as others reach it.")]
    note: Annotated[str | None, Field(description="For people.", max_length=200)] = None


class NetworkFile(Table):
    """What all nodes of a network share. Give every node the same [genesis]; its hash is the network's id."""

    network_id: Annotated[
        NetworkId | None,
        Field(description="Hash of [genesis], as a check: a node refuses this file when the two differ."),
    ] = None
    genesis: Annotated[
        GenesisTable,
        Field(
            description="What the network begins with. The network id commits to every value in it: never change one."
        ),
    ]
    nodes: Annotated[
        tuple[NodeAddress, ...],
        Field(
            description="Where nodes can be reached. Not part of [genesis]: change it whenever a node moves. "
            "A node that nobody can reach, because it only dials, needs no entry."
        ),
    ] = ()


@dataclass(frozen=True, slots=True)
class Network:
    """A network file that was read and checked: its record, its id, where its nodes are (node key -> address)."""

    file: File
    genesis: Genesis
    network_id: bytes
    addresses: Mapping[bytes, Address]


def load_network(file: File) -> Network:
    """The checked network in `file`. Raises ConfigurationFault with every problem."""
    return check_network(read(file, NetworkFile))


def check_network(found: Read[NetworkFile]) -> Network:
    """What the file means. Raises ConfigurationFault with every problem, unknown keys included."""
    source, value = found.source, found.value
    problems = [*found.problems, *faults_in_file(source, value.genesis)]
    seen: set[bytes] = set()
    for index, node in enumerate(value.nodes):
        if node.node_key in seen:
            problems.append(source.problem(("nodes", index, "node_key"), "each node once", "one that stands above too"))
        seen.add(node.node_key)
    if problems:
        raise ConfigurationFault(problems)
    genesis = to_record(value.genesis)
    id_ = network_id(genesis)
    if value.network_id is not None and value.network_id != id_:
        found_words = f"{NETWORK_ID.format(value.network_id)}: [genesis] is not the one that this id was written for"
        raise ConfigurationFault([source.problem(("network_id",), NETWORK_ID.format(id_), found_words)])
    return Network(source.file, genesis, id_, {node.node_key: node.address for node in value.nodes})
