"""The network that is measured: real processes of `papilio run`, made, started, and given what the workloads need."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from daemon.bench.http import HttpConnection
from daemon.bench.meters import disk_bytes
from daemon.bench.plans import Address
from daemon.bench.workloads import VALIDITY_MS, Cast, endowing, evidence, make_cast, opening
from daemon.client import Account, AsyncClient, ClientError
from daemon.config.creation import ACCOUNT_KEY_FILE, NODE_FILE
from daemon.config.network import Network
from daemon.config.texts import parse_address
from daemon.demo.desk import Desk
from daemon.demo.nodes import NodeEnded, NodeProcess, make_network, start_all
from protocol.errors import PapilioError

MEMBERS: Final = ("alder", "birch", "cedar", "damson", "elm", "fir", "gorse", "hazel", "iris", "juniper")
SETTLE_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.1
COUNTING_OFF: Final = "# cpu_by_part = false"
COUNTING_ON: Final = "cpu_by_part = true"


class BenchFailed(PapilioError):
    """A node ended, or the network did not do what it must: there are no figures then."""

    code = "bench_failed"


@dataclass(slots=True)
class Stand:
    """A network that runs, and everything that is needed to load it.

    seed: of everyone's keys. used: envelopes that were signed so far, so that mixes go on where they stood.
    start_s: from starting all nodes to all of them ready, and to the first final transaction.
    """

    directory: Path
    network: Network
    nodes: list[NodeProcess]
    seed: bytes
    desk: Desk
    issuer: Account
    cast: Cast
    used: int = 0
    start_s: dict[str, float] = field(default_factory=dict)

    @property
    def targets(self) -> list[Address]:
        """Where the APIs of all nodes are that run."""
        return [address_of(node.url) for node in self.nodes if node.process is not None]

    @property
    def pids(self) -> dict[str, int]:
        """Main processes by member, of those that run."""
        return {node.member: node.process.pid for node in self.nodes if node.process is not None}

    async def open(self) -> None:
        """Start the nodes, and give the accounts what the workloads move. Raises NodeEnded, BenchFailed."""
        began = time.monotonic()
        await start_all(self.nodes)
        self.start_s["ready"] = round(time.monotonic() - began, 2)
        urls = [node.url for node in self.nodes]
        async with AsyncClient(*urls, network_id=self.network.network_id) as client:
            await self._deliver(client, [(self.issuer, opening(self.cast))])
            self.start_s["first_final"] = round(time.monotonic() - began, 2)
            await self._deliver(client, endowing(self.cast))
        await self.settled()

    async def one_more(self) -> None:
        """One transaction, to its final receipt. Raises BenchFailed."""
        async with AsyncClient(*(node.url for node in self.nodes), network_id=self.network.network_id) as client:
            await self._deliver(client, [(self.cast.holders[0], [evidence()])])

    async def _deliver(self, client: AsyncClient, envelopes: list[tuple[Account, list[Any]]]) -> None:
        sealed = [self.desk.sign(account, operations, validity_ms=VALIDITY_MS) for account, operations in envelopes]
        for result in await client.send_all(sealed):
            if isinstance(result, ClientError) or not result.ok:
                raise BenchFailed(f"the network does not take what it must: {result.code}: {result.words}")

    def disks(self) -> dict[str, dict[str, int]]:
        """What each node occupies on disk, by member and part."""
        return {node.member: disk_bytes(node.data_directory) for node in self.nodes}

    # -- Asking -------------------------------------------------------------------------------------

    async def statuses(self) -> list[dict[str, Any]]:
        """/v1/node of all that run."""
        return [dict(await node.first_answer("/v1/node")) for node in self.nodes if node.process is not None]

    async def settled(self) -> int:
        """Wait until nothing is under way on any node, and all have the same log; its size.

        Raises BenchFailed if no log has grown for `SETTLE_SECONDS` meanwhile.
        """
        sizes: set[int] = set()
        with trio.move_on_after(SETTLE_SECONDS) as patience:
            while True:
                found = await self.statuses()
                before, sizes = sizes, {one["log_size"] for one in found}
                if sizes != before:
                    patience.deadline = trio.current_time() + SETTLE_SECONDS
                waiting = sum(one["pool_envelopes"] + one["unordered_batches"] for one in found)
                heights = {(one["final_height"] - one["executed_height"]) for one in found}
                if waiting == 0 and len(sizes) == 1 and heights == {0}:
                    return sizes.pop()
                await trio.sleep(LOOK_SECONDS)
        raise BenchFailed(
            f"the network did not come to rest in {SETTLE_SECONDS:.0f} s: logs of {sorted(sizes)} receipts"
        )

    async def metrics(self) -> dict[str, str]:
        """/metrics of all that run, by member."""
        found = {}
        for node in self.nodes:
            if node.process is not None:
                connection = await HttpConnection.open(address_of(node.url))
                _, body = await connection.ask("GET", "/metrics")
                connection.close()
                found[node.member] = body.decode()
        return found


def make_stand(directory: Path, nodes: int, *, cpu_by_part: bool) -> Stand:
    """Make a network of so many nodes in `directory`, which is new. Raises ConfigurationFault.

    cpu_by_part: they count CPU time by part.
    """
    network, processes = make_network(directory, MEMBERS[:nodes], time.time_ns() // 1_000_000, leashed=True)
    if cpu_by_part:
        for node in processes:
            file = node.directory / NODE_FILE
            text = file.read_text(encoding="utf-8")
            assert COUNTING_OFF in text, "a node's file names every setting"
            file.write_text(text.replace(COUNTING_OFF, COUNTING_ON), encoding="utf-8")
    seed = secrets.token_bytes(32)
    issuer = Account.read(processes[0].directory / ACCOUNT_KEY_FILE)
    cast = make_cast(seed, issuer.name)
    return Stand(directory, network, processes, seed, Desk.of(network.genesis), issuer, cast)


def address_of(url: str) -> Address:
    """Host and port of an API."""
    place = parse_address(url.removeprefix("http://"))
    return place.host, place.port


__all__ = ["BenchFailed", "NodeEnded", "Stand", "address_of", "make_stand"]
