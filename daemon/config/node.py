"""node.toml: what is one node's own.

Paths are relative to the file. Everything but where the node listens has a default. `load_node` gives the node with its
network and its keys, all checked against each other, or every problem of all these files at once.

What decides whether a node votes is the network, not a switch here: a node votes in the epochs whose set of validators
has its voting key. Where the members cannot change who votes (the first rules), a node whose key is a validator's of
`[genesis]` must hold that validator's voting key, and any other node none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as File
from typing import Annotated, Literal

from pydantic import Field

from daemon.config.files import Read, read
from daemon.config.keyfiles import KeyFile, Purpose, load_key
from daemon.config.network import Network, NodeAddress, load_network
from daemon.config.problems import ConfigurationFault, Problems
from daemon.config.texts import PUBLIC_KEY, Address
from daemon.config.values import AddressText, PublicKey, Table, bounded
from daemon.config.voting_keys import VotingKeys
from protocol import limits
from protocol.crypto.signing import SigningKey
from protocol.ledger.genesis import GenesisValidator, members_decide


class KeysTable(Table):
    """Where this node's keys are: a path, or credential:NAME for one that systemd hands over (LoadCredential)."""

    node: Annotated[str, Field(description="Key of the channel to other nodes.", min_length=1)] = "keys/node.key"
    voting: Annotated[
        str | None, Field(description="Key of votes. Validators have one, observers none.", min_length=1)
    ] = None


class PeersTable(Table):
    """Other nodes."""

    listen: Annotated[AddressText, Field(description="Where to listen for them.")]
    dial: Annotated[
        tuple[PublicKey, ...] | None,
        Field(
            description="Node keys to connect to. Without this: every node that network.toml or addresses below name.",
            max_length=limits.PEERS_MAX,
        ),
    ] = None
    addresses: Annotated[
        tuple[NodeAddress, ...],
        Field(
            description="Where nodes are that network.toml does not name, or that are elsewhere as seen from here. "
            "Nodes named here are accepted even if the network's state, as far as known here, does not know them.",
            max_length=limits.PEERS_MAX,
        ),
    ] = ()
    observers: Annotated[
        tuple[PublicKey, ...],
        Field(description="Node keys of observers that may follow here.", max_length=limits.OBSERVERS_MAX),
    ] = ()
    connections_max: int = bounded(1, limits.PEERS_MAX, "Connections in all.", default=128)
    connections_per_address_max: int = bounded(
        1, limits.PEERS_MAX, "Connections from one IP address, those that have not proven a key included.", default=16
    )


class ApiTable(Table):
    """The HTTP API. It knows no users: whoever reaches it may read everything and submit what is signed."""

    listen: Annotated[
        AddressText,
        Field(description="Where to serve it. Beyond loopback put a proxy with TLS and access rules in front."),
    ] = Address("127.0.0.1", 8100)
    connections_max: int = bounded(1, 65_536, "Connections at once.", default=1_024)
    cors_origins: Annotated[
        tuple[Annotated[str, Field(pattern=r"^(\*|https?://[^/\s]+)$")], ...],
        Field(description="Origins whose pages may ask from a browser, as https://host; * for all. None by default."),
    ] = ()


class LogTable(Table):
    """The log, on standard error."""

    format: Annotated[
        Literal["auto", "json", "console"],
        Field(description="json for machines, console for people, auto: console on a terminal."),
    ] = "auto"
    level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="The least that is written.")] = (
        "info"
    )


class MetricsTable(Table):
    """What is counted for /metrics beyond what costs nothing."""

    cpu_by_part: Annotated[
        bool,
        Field(description="CPU time by part of the node (network, consensus, ...); costs less than 1% of it."),
    ] = False


class WorkersTable(Table):
    """Processes beside the node's own. One more executes blocks."""

    verify: int = bounded(1, 64, "Processes that check clients' signatures; about one for each two cores.", default=1)


class StorageTable(Table):
    """What is kept on the disk, and how a node that has no blocks yet gets to the network's state."""

    sync: Annotated[
        Literal["blocks", "snapshot"],
        Field(
            description="How a node without blocks begins. blocks: it fetches and executes every block from the first "
            "one on, and believes nothing that it did not compute. snapshot: it takes the state from its peers, with "
            "proofs under a header that a quorum has finalized, and only the newest blocks: minutes instead of days, "
            "and no history. Where blocks are there already it means nothing."
        ),
    ] = "blocks"
    keep: Annotated[
        str,
        Field(
            description='How many old blocks are kept: "all" (an archive), or as "90 days" or "1000000 blocks". Whole '
            "segments are deleted once all in them is older. What peers and proofs need is kept in any case.",
            pattern=r"^(all|[1-9][0-9]{0,9} (days|blocks))$",
        ),
    ] = "all"
    snapshot_interval_seconds: int = bounded(
        0,
        7 * 24 * 3600,
        "A snapshot of the state is made for joining nodes so often, of block time; the newest two are kept. The same "
        "on all nodes, so that a joiner can take one from all of them. 0: none.",
        default=3_600,
    )

    @property
    def keep_blocks(self) -> int | None:
        """So many of the newest blocks; None if that is not what is kept."""
        return int(self.keep.split()[0]) if self.keep.endswith("blocks") else None

    @property
    def keep_ms(self) -> int | None:
        """Blocks of so much block time, ms; None if that is not what is kept."""
        return int(self.keep.split()[0]) * 24 * 3600 * 1000 if self.keep.endswith("days") else None


class PinnedTable(Table):
    """A closing header that the operator knows for certain (C-23): the node stops at another block of its height."""

    height: int | None = bounded(1, limits.U53_MAX, "Height of the block that closed an epoch.", default=None)
    hash: Annotated[str | None, Field(description="Its hash, in hex.", pattern="^[0-9a-f]{64}$")] = None


class NodeFile(Table):
    """One node's own settings. Paths are relative to this file."""

    network: Annotated[str, Field(description="The network's file.", min_length=1)] = "network.toml"
    data_directory: Annotated[
        str, Field(description="Journal, segments and state. Never share or copy it.", min_length=1)
    ] = "data"
    keys: Annotated[KeysTable, Field(description="Where this node's keys are.")] = KeysTable()
    peers: Annotated[PeersTable, Field(description="Other nodes.")]
    api: Annotated[ApiTable, Field(description="The HTTP API.")] = ApiTable()
    log: Annotated[LogTable, Field(description="The log.")] = LogTable()
    metrics: Annotated[MetricsTable, Field(description="What is counted beyond what costs nothing.")] = MetricsTable()
    storage: Annotated[StorageTable, Field(description="What is kept on the disk.")] = StorageTable()
    pinned: Annotated[PinnedTable, Field(description="A closing header known for certain.")] = PinnedTable()
    workers: Annotated[WorkersTable, Field(description="Processes beside the node's own.")] = WorkersTable()


@dataclass(frozen=True, slots=True)
class Node:
    """A node that was read and checked. Holds secrets: its text leaves them out.

    addresses: node key -> where this node would reach it, from both files; its own key is not in it.
    dial: node keys to connect to, each with an address.
    observers: node keys of observers that may follow here, beyond those of genesis.
    """

    file: File
    settings: NodeFile
    network: Network
    node_key: SigningKey
    voting_key: SigningKey | None
    voting_keys: VotingKeys | None
    journal_id: bytes
    member: str | None
    addresses: Mapping[bytes, Address]
    dial: tuple[bytes, ...]

    @property
    def data_directory(self) -> File:
        """Where journal, segments and state are."""
        return self.file.parent / self.settings.data_directory

    @property
    def observers(self) -> frozenset[bytes]:
        """Node keys of observers that may follow here (L-16)."""
        return frozenset(self.settings.peers.observers)

    @property
    def is_validator(self) -> bool:
        """Whether it has a voting key: it votes in the epochs whose set has that."""
        return self.voting_key is not None

    @property
    def pinned(self) -> tuple[int, bytes] | None:
        """Height and hash of a closing header that the operator knows for certain (C-23)."""
        pinned = self.settings.pinned
        if pinned.height is None or pinned.hash is None:
            return None
        return (pinned.height, bytes.fromhex(pinned.hash))


def load_node(file: File) -> Node:
    """The checked node in `file`, with network and keys. Raises ConfigurationFault with every problem of them all."""
    found = read(file, NodeFile)
    problems = Problems()
    problems.found += found.problems
    network = _load_network(found, problems)
    node_key = _load_key(found, found.value.keys.node, "node", problems)
    voting = found.value.keys.voting
    voting_keys = None if voting is None else VotingKeys(voting, found.source.file.parent)
    voting_key = None if voting_keys is None else _load_voting_key(voting_keys, problems)
    if network is not None and node_key is not None and (voting is None or voting_key is not None):
        _check_role(found, network, node_key.key.public, voting_key, problems)
    _check_pinned(found, problems)
    addresses = _addresses(found.value, network, node_key)
    dial = _dial(found, addresses, node_key, problems)
    problems.settle()
    assert network is not None
    assert node_key is not None
    assert node_key.journal_id is not None
    return Node(
        file,
        found.value,
        network,
        node_key.key,
        None if voting_key is None else voting_key.key,
        voting_keys,
        node_key.journal_id,
        member_of(network, node_key.key.public),
        addresses,
        dial,
    )


def member_of(network: Network, node_key: bytes) -> str | None:
    """Whose node genesis says it is; None for one that genesis does not know."""
    members = {o.node_key: o.member for o in network.genesis.observers}
    members |= {v.node_key: v.member for v in network.genesis.validators}
    return members.get(node_key)


def _load_network(found: Read[NodeFile], problems: Problems) -> Network | None:
    try:
        return load_network(found.source.file.parent / found.value.network)
    except ConfigurationFault as fault:
        problems.catch(fault)
        return None


def _load_key(found: Read[NodeFile], reference: str, purpose: Purpose, problems: Problems) -> KeyFile | None:
    try:
        return load_key(reference, purpose, found.source.file.parent)
    except ConfigurationFault as fault:
        problems.catch(fault)
        return None


def _load_voting_key(keys: VotingKeys, problems: Problems) -> KeyFile | None:
    try:
        return keys.present()
    except ConfigurationFault as fault:
        problems.catch(fault)
        return None


def _check_pinned(found: Read[NodeFile], problems: Problems) -> None:
    """One without the other would pin nothing."""
    pinned = found.value.pinned
    if (pinned.height is None) != (pinned.hash is None):
        problems.add(found.source.problem(("pinned",), "height and hash together, or neither", "one of the two"))


def _anothers(network: Network, node_key: bytes, voting_key: bytes) -> bool:
    """Whether genesis knows this node, and this voting key as another node's."""
    genesis = network.genesis
    known = {each.node_key for each in genesis.validators} | {each.node_key for each in genesis.observers}
    return node_key in known and any(
        validator.voting_key == voting_key and validator.node_key != node_key for validator in genesis.validators
    )


def _check_role(
    found: Read[NodeFile], network: Network, node_key: bytes, voting: KeyFile | None, problems: Problems
) -> None:
    """A validator of genesis holds a voting key; where the members cannot change who votes, that one, and others none.

    Where they can, keys may be newer than genesis; but no node of genesis has the key of another one of genesis.
    """
    validators = network.genesis.validators
    mine: GenesisValidator | None = next((v for v in validators if v.node_key == node_key), None)
    path = ("keys", "voting")
    if mine is not None and voting is None:
        expected = f"the key file of {PUBLIC_KEY.format(mine.voting_key)}, since genesis makes this node a validator"
        problems.add(found.source.problem(path, expected, "nothing"))
    elif members_decide(network.genesis) and (voting is None or not _anothers(network, node_key, voting.key.public)):
        return
    elif mine is not None and voting is not None and voting.key.public != mine.voting_key:
        expected = f"the key of this validator's votes, {PUBLIC_KEY.format(mine.voting_key)}"
        problems.add(found.source.problem(path, expected, PUBLIC_KEY.format(voting.key.public)))
    elif mine is None and voting is not None:
        expected = f"nothing, since no validator of {network.file} has this node's key {PUBLIC_KEY.format(node_key)}"
        problems.add(found.source.problem(path, expected, "a voting key"))


def _addresses(settings: NodeFile, network: Network | None, node_key: KeyFile | None) -> dict[bytes, Address]:
    """Node's own word before the network's; itself left out."""
    addresses = dict(network.addresses) if network is not None else {}
    addresses |= {node.node_key: node.address for node in settings.peers.addresses}
    if node_key is not None:
        addresses.pop(node_key.key.public, None)
    return addresses


def _dial(
    found: Read[NodeFile], addresses: Mapping[bytes, Address], node_key: KeyFile | None, problems: Problems
) -> tuple[bytes, ...]:
    wanted = found.value.peers.dial
    if wanted is None:
        return tuple(addresses)
    for index, key in enumerate(wanted):
        path = ("peers", "dial", index)
        if node_key is not None and key == node_key.key.public:
            problems.add(found.source.problem(path, "another node's key", "this node's own"))
        elif key not in addresses:
            expected = "a node that network.toml or [[peers.addresses]] gives an address"
            problems.add(found.source.problem(path, expected, PUBLIC_KEY.format(key)))
    return wanted
