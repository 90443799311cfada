"""Nodes that were away, or come later: block sync, and observers (L-16)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.client import Account, AsyncClient, evidence
from daemon.config.card import CardFile
from daemon.config.files import read
from daemon.config.texts import PUBLIC_KEY
from tests.system.load import load_on
from tests.system.network import Network, free_ports, observed_by
from tests.system.processes import NodeProcess, papilio_done, until

HEIGHTS_AWAY = 150
HEIGHTS_AWAY_LONG = 1_500
"""More than the horizon of batches (`batch_ttl_max`), and than what peers keep in memory."""


async def test_a_node_that_was_away_for_many_blocks_catches_up_and_votes(
    networks: Callable[..., Network], is_long: bool
) -> None:
    network = networks(4)
    await network.start()
    *others, away = network.nodes
    async with load_on(others, clients=3) as load:
        await load.more(10)
        left_at = await away.height()
        await away.kill()
        await network.reach(left_at + (HEIGHTS_AWAY_LONG if is_long else HEIGHTS_AWAY), seconds=600)
        await network.start([away])

        async def caught_up() -> bool:
            status = await away.status()
            heights = [await node.height() for node in others]
            return status is not None and int(status["executed_height"]) >= max(heights) - 8

        # While clients go on: it catches up with a network that moves.
        await until(caught_up, network.tails)
        assert (await away.get("/v1/health/ready")).status_code == 200
        await load.more(10)
        # It votes again: now the others cannot do without it.
        await others[0].kill()
        await load.more(20)
    await network.start([others[0]])
    await network.same_roots()
    await load.kept_at(away)
    await network.stop()
    await network.same_history()


@pytest.mark.long
async def test_an_observer_of_genesis_follows_serves_and_passes_envelopes_on(networks: Callable[..., Network]) -> None:
    """L-16: it holds no voting key, authors nothing, and clients need not know that."""
    network = networks(5, validators=4)
    await network.start()
    observer = network.nodes[4]
    assert (await observer.logged("ready"))["voting"] is False
    async with load_on([observer]) as load:
        await load.more(20)
        # Losing it costs the network nothing; it comes back to where the network is.
        await observer.kill()
        async with load_on(network.nodes[:4]) as others:
            await others.more(10)
        await network.start([observer])
        await load.more(10)
    await network.same_roots()
    await load.kept_at(observer)
    await others.kept_at(observer)
    proposers = set()
    for height in range(1, await observer.height() + 1, 5):
        block = await observer.json(f"/v1/blocks/{height}")
        assert block is not None
        proposers.add(block["proposer"])
    assert len(proposers) == 4
    await network.stop()
    await network.same_history()


async def test_an_observer_that_joins_later_is_let_in_by_node_toml(networks: Callable[..., Network]) -> None:
    """L-16: who may observe stands in the node.toml of the nodes that accept them; others refuse it."""
    network = networks(4)
    await network.start()
    async with load_on(network.nodes) as load:
        await load.more(20)

    # Made on its own machine, with the network's file and nothing else.
    observer = _make_observer(network)
    observer.start()
    refused = await observer.logged("dial_failed")
    assert refused["code"] not in ("connection_lost", "internal_error"), refused
    assert (await observer.status() or {"executed_height": 0})["executed_height"] == 0

    # Two nodes are told about it.
    key = read(observer.directory / "member.toml", CardFile).value.card.node_key
    for node in network.nodes[:2]:
        network.edit(node, lambda file: observed_by(file, [key]))
        await node.stop()
        await network.start([node])
    network.nodes.append(observer)
    await network.level()
    await load.kept_at(observer)

    async with AsyncClient(observer.url) as client:
        receipt = await client.transact(Account.new(), [evidence.record_of(secrets.token_bytes(32))])
        assert receipt.ok
    await network.same_roots()
    await network.stop()
    await network.same_history()


def _make_observer(network: Network) -> NodeProcess:
    host = network.nodes[0].peers.partition(":")[0]
    peers, api = (f"{host}:{port}" for port in free_ports(2, host))
    directory: Path = network.directory / "reader"
    account = read(network.nodes[0].directory / "member.toml", CardFile).value.card.account_keys[0]
    options = ["--member", "bank", "--account-key", PUBLIC_KEY.format(account), "--observer"]
    options += ["--listen", peers, "--api", api]
    papilio_done("node", "create", directory, *options)
    papilio_done("node", "join", directory, network.file)
    return NodeProcess("reader", directory, peers, f"http://{api}")
