"""A scenario's network on this machine: directories as operators make them, and settings that lead through the proxy.

Nodes are `node-0`, `node-1`, ...: first the validators, one a member, then the observers. Each is made by `create_node`
and completed by `join`, as an operator's; the network's parameters and powers are the scenario's. `network.toml` names
no addresses: where a node finds another stands in its own `node.toml`, as a port of the proxy, and only for links that
the scenario has. So nobody reaches anybody around the proxy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from daemon.config.card import CardFile
from daemon.config.creation import NETWORK_FILE, NODE_FILE, NodePlan, assemble, create_node, join
from daemon.config.files import read
from daemon.config.keyfiles import write_new
from daemon.config.network import Network, NodeAddress, load_network
from daemon.config.node import NodeFile, PeersTable
from daemon.config.texts import Address
from daemon.config.write import to_toml
from daemon.lab.lines import Pair
from daemon.lab.nodes import LabNode
from protocol.ledger.genesis import DEFAULT_PARAMETERS, Genesis, Parameters
from protocol.sim.network import TOPOLOGIES, Pairs
from protocol.sim.scenarios import Scenario

NETWORK_NAME: Final = "lab"
CONNECTIONS_PER_ADDRESS: Final = 128
"""All of a node's peers come from one address here: the proxy's."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node listens, for nodes and for clients."""

    peers: Address
    api: Address


@dataclass(frozen=True, slots=True)
class Made:
    """A network that nobody has started. peers: where each node listens for others. keys: node key of each node.

    leaders: node of each place among the validators.
    """

    network: Network
    nodes: list[LabNode]
    peers: list[Address]
    keys: list[bytes]
    leaders: list[int]


def links_of(scenario: Scenario) -> Pairs:
    """Who is linked, as in the simulator."""
    return scenario.links or TOPOLOGIES[scenario.topology](scenario.members + scenario.observers)


def parameters_of(scenario: Scenario) -> Parameters:
    """The scenario's timing, and otherwise what `network create` writes: also for limits that it does not speak of."""
    usual = Scenario("", "")
    limits = {name: value for name in _LIMITS if (value := getattr(scenario, name)) != getattr(usual, name)}
    return replace(
        DEFAULT_PARAMETERS,
        delta_ms=scenario.delta_ms,
        retry_interval_ms=scenario.retry_interval_ms,
        relay_delay_ms=scenario.relay_delay_ms,
        idle_interval_ms=scenario.idle_interval_ms,
        backoff_max=scenario.backoff_max,
        **limits,
    )


_LIMITS: Final = ("envelope_ttl_max_ms", "batch_ttl_max", "execution_lag_max")


def make(directory: Path, scenario: Scenario, places: Sequence[Place], created_ms: int) -> Made:
    """Make the network in `directory`, which is new. Raises ConfigurationFault, OperatorFault."""
    powers = scenario.powers or (1,) * scenario.members
    cards: list[CardFile] = []
    for index, place in enumerate(places):
        votes = index < scenario.members
        member = f"member-{index}" if votes else "member-0"
        account = () if votes else cards[0].card.account_keys
        plan = NodePlan(member, place.peers, place.api, None, votes, account)
        card = create_node(_directory(directory, index), plan, f"../{NETWORK_FILE}")
        power = powers[index] if votes else 1
        cards.append(card.model_copy(update={"card": card.card.model_copy(update={"power": power})}))
    tables = [card.card for card in cards]
    file = directory / NETWORK_FILE
    write_new(file, to_toml(assemble(tables, NETWORK_NAME, created_ms, parameters_of(scenario))))
    for index in range(len(places)):
        join(_directory(directory, index), file)
    network = load_network(file)
    nodes = [
        LabNode(index, _directory(directory, index), f"http://{place.api}", index < scenario.members)
        for index, place in enumerate(places)
    ]
    keys = [table.node_key for table in tables]
    return Made(network, nodes, [place.peers for place in places], keys, _leaders(network.genesis, keys))


def _leaders(genesis: Genesis, keys: Sequence[bytes]) -> list[int]:
    return [keys.index(validator.node_key) for validator in genesis.validators]


def connect(made: Made, ports: Mapping[Pair, Address]) -> None:
    """Let each node reach others at these places: (dialer, dialed) to an address."""
    for node in made.nodes:
        told = tuple(
            NodeAddress(node_key=made.keys[other], address=address, note=f"node {other}, through the proxy")
            for (dialer, other), address in sorted(ports.items())
            if dialer == node.index
        )
        _edit(node.directory / NODE_FILE, told)


def _edit(file: Path, addresses: tuple[NodeAddress, ...]) -> None:
    settings = read(file, NodeFile).value
    changed = {"addresses": addresses, "connections_per_address_max": CONNECTIONS_PER_ADDRESS}
    peers: PeersTable = settings.peers.model_copy(update=changed)
    file.write_text(to_toml(settings.model_copy(update={"peers": peers})), encoding="utf-8")


def _directory(directory: Path, index: int) -> Path:
    return directory / f"node-{index}"
