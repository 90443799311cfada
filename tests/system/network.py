"""A network of real processes, in a directory and at a loopback address of its own.

It is made by `papilio network create`, like an operator's; then node.toml says whom each node dials (`Links`): `mesh`
lets everyone dial everyone, in a `ring` each dials the next, in a `star` everyone dials the first. Nobody is reachable
by a link that nobody dialed.

What all nodes have to agree on is judged from outside: `same_history` reads every node's blocks from its disk and
compares them, and lets a separate process execute each history again from genesis.
"""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import Final

import trio

from daemon.config.files import read
from daemon.config.network import Network as NetworkSettings
from daemon.config.network import NodeAddress, load_network
from daemon.config.node import NodeFile, load_node
from daemon.config.texts import Address
from daemon.config.write import to_toml
from daemon.demo.commands import auditing
from daemon.store.directory import open_to_read
from protocol.codec import decode
from protocol.ledger.records import Block
from tests.system.processes import PATIENCE_SECONDS, Json, NodeProcess, environment, papilio_done, until

PORTS: Final = range(20_000, 30_000)
"""Below the range of outgoing connections, so that a node that was killed gets its port back."""
MEMBERS: Final = ("bank", "port", "farm", "shop", "customs", "insurer", "carrier")


class Links(Enum):
    """Who dials whom."""

    MESH = "mesh"
    RING = "ring"
    STAR = "star"

    def dialed(self, index: int, count: int) -> list[int] | None:
        """Whom node `index` of `count` dials; None: everyone."""
        match self:
            case Links.MESH:
                return None
            case Links.RING:
                return [(index + 1) % count]
            case Links.STAR:
                return [] if index == 0 else [0]


class Network:
    """See the essay. nodes: in the order of MEMBERS."""

    def __init__(self, directory: Path, nodes: list[NodeProcess]) -> None:
        self.directory = directory
        self.nodes = nodes
        self.settings: NetworkSettings = load_network(self.file)

    @property
    def file(self) -> Path:
        return self.directory / "network.toml"

    @property
    def running(self) -> list[NodeProcess]:
        return [node for node in self.nodes if node.process is not None]

    @property
    def urls(self) -> list[str]:
        return [node.url for node in self.nodes]

    # -- Life ---------------------------------------------------------------------------------------

    async def start(self, nodes: Iterable[NodeProcess] | None = None) -> None:
        """Start them, all at once, and wait until each is ready."""
        chosen = self.nodes if nodes is None else list(nodes)
        for node in chosen:
            node.start()
        for node in chosen:
            await node.ready()

    async def stop(self) -> None:
        """SIGTERM to all that run; each ends with exit code 0."""
        codes: dict[str, int] = {}

        async def stop(node: NodeProcess) -> None:
            codes[node.member] = await node.stop()

        async with trio.open_nursery() as nursery:
            for node in self.running:
                nursery.start_soon(stop, node)
        assert set(codes.values()) <= {0}, codes

    def destroy(self) -> None:
        for node in self.nodes:
            node.destroy()

    # -- Waiting ------------------------------------------------------------------------------------

    async def heights(self) -> dict[str, int]:
        """Executed heights of all that run."""
        return {node.member: await node.height() for node in self.running}

    async def reach(self, height: int, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until every node that runs has executed `height`."""
        last: dict[str, int] = {}

        async def look() -> bool:
            for node in self.running:
                node.check()
            last.update(await self.heights())
            return all(at >= height for at in last.values())

        await until(look, lambda: f"height {height} at all: {last}\n{self.tails()}", seconds)

    async def level(self) -> int:
        """Wait until all that run have the highest of their heights; that height."""
        height = max((await self.heights()).values())
        await self.reach(height)
        return height

    def tails(self, lines: int = 6) -> str:
        return "\n".join(node.tail(lines) for node in self.nodes)

    # -- Settings -----------------------------------------------------------------------------------

    def edit(self, node: NodeProcess, change: Callable[[NodeFile], NodeFile]) -> None:
        """Write a node's settings anew; it must read them again to know."""
        edit(node.directory / "node.toml", change)

    def node_key(self, node: NodeProcess) -> bytes:
        return load_node(node.directory / "node.toml").node_key.public

    # -- Judging ------------------------------------------------------------------------------------

    async def same_roots(self) -> int:
        """All that run show the same results at one height, asked from their APIs; that height."""
        height = await self.level()
        shown = [await node.json(f"/v1/blocks/{height}") for node in self.running]
        assert all(block is not None for block in shown), shown
        facts = {(b["hash"], b["state_root"], b["log_root"], b["log_size"]) for b in shown if b is not None}
        assert len(facts) == 1, f"nodes differ at height {height}: {shown}"
        return height

    async def same_history(self, *, executed: bool = True) -> int:
        """No two disks differ in a block that both hold, and each history executes to what its headers say.

        Gives the lowest last height.
        """
        histories = {node.member: _history(node, self.settings.network_id) for node in self.nodes}
        longest = max(histories.values(), key=len)
        for member, history in histories.items():
            for height, block in enumerate(history, 1):
                assert block == longest[height - 1], f"{member} forks at height {height}"
        height = min(len(history) for history in histories.values())
        if executed:
            roots = [await self._recomputed(node, height) for node in self.nodes]
            assert len({(r["state_root"], r["log_root"], r["transactions"]) for r in roots}) == 1, roots
        return height

    async def _recomputed(self, node: NodeProcess, height: int) -> Json:
        command = auditing(self.file, node.data, height)
        done = await trio.run_process(command, capture_stdout=True, check=False, env=environment())
        found: Json = json.loads(done.stdout)
        assert done.returncode == 0, f"{node.member}: {found}"
        assert found["wrong"] == [], f"{node.member}: {found}"
        assert found["height"] == height
        return found


def _history(node: NodeProcess, network_id: bytes) -> list[tuple[bytes, tuple[bytes, ...]]]:
    """Header and batches of every block on the node's disk; certificates of one block may differ between nodes."""
    onlooker = open_to_read(node.data, network_id)
    try:
        history = []
        for height in range(1, onlooker.segments.last_height + 1):
            data = onlooker.segments.read(height)
            assert data is not None, f"{node.member} lost block {height}"
            block = decode(Block, data)
            history.append((bytes(block.header), tuple(map(bytes, block.batches))))
        return history
    finally:
        onlooker.close()


# -- Making -----------------------------------------------------------------------------------------


def make_network(
    directory: Path,
    count: int,
    *,
    links: Links = Links.MESH,
    validators: int | None = None,
    parameters: dict[str, int] | None = None,
) -> Network:
    """A network of `count` members in `directory`, which is new; nothing runs yet."""
    members = MEMBERS[:count]
    host = own_host()
    ports = free_ports(2 * count, host)
    peers = [f"{host}:{port}" for port in ports[:count]]
    apis = [f"{host}:{port}" for port in ports[count:]]
    options = [f"--host-of={member}={at}" for member, at in zip(members, peers, strict=True)]
    options += [f"--api-of={member}={at}" for member, at in zip(members, apis, strict=True)]
    options += [f"--parameter={name}={value}" for name, value in (parameters or {}).items()]
    if validators is not None:
        options.append(f"--validators={validators}")
    papilio_done("network", "create", directory, "--name", "system", "--members", ",".join(members), *options)
    nodes = [
        NodeProcess(member, directory / member, at, f"http://{api}")
        for member, at, api in zip(members, peers, apis, strict=True)
    ]
    network = Network(directory, nodes)
    if links is not Links.MESH:
        _link(network, links)
    return network


def _link(network: Network, links: Links) -> None:
    keys = [network.node_key(node) for node in network.nodes]
    for index, node in enumerate(network.nodes):
        dialed = links.dialed(index, len(keys))
        assert dialed is not None
        network.edit(node, lambda file, dialed=dialed: dialing(file, [keys[other] for other in dialed]))  # type: ignore[misc]


def edit(file: Path, change: Callable[[NodeFile], NodeFile]) -> None:
    """Write a node.toml anew."""
    file.write_text(to_toml(change(read(file, NodeFile).value)), encoding="utf-8")


def dialing(file: NodeFile, keys: Sequence[bytes]) -> NodeFile:
    """These settings, dialing these nodes only."""
    return file.model_copy(update={"peers": file.peers.model_copy(update={"dial": tuple(keys)})})


def reaching(file: NodeFile, addresses: dict[bytes, str]) -> NodeFile:
    """These settings, reaching nodes at these places."""
    told = tuple(NodeAddress(node_key=key, address=address(at)) for key, at in addresses.items())
    return file.model_copy(update={"peers": file.peers.model_copy(update={"addresses": told})})


def observed_by(file: NodeFile, keys: Sequence[bytes]) -> NodeFile:
    """These settings, letting these observers follow."""
    return file.model_copy(update={"peers": file.peers.model_copy(update={"observers": tuple(keys)})})


def address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host, int(port))


def own_host() -> str:
    """A loopback address that no other network uses: ports of one that is down are not taken by another meanwhile."""
    chance = random.SystemRandom()
    return f"127.{chance.randrange(1, 255)}.{chance.randrange(256)}.{chance.randrange(1, 255)}"


def free_ports(count: int, host: str) -> list[int]:
    """Ports that nobody listens on now, distinct."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError(f"no {count} free ports on {host}")


__all__ = ["Links", "Network", "NodeProcess", "make_network"]
