"""The wall clock of a running node jumps by an hour or a day: nothing is undone, nobody sets it right (C-16, L-18)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.client import Account, AsyncClient, TransactionRefused, evidence
from tests.system.altered import World
from tests.system.load import load_on
from tests.system.network import Network
from tests.system.processes import NodeProcess, until

HOUR = 3_600
DAY = 24 * HOUR


async def jumped(node: NodeProcess, seconds: int) -> None:
    """It says by how much."""

    async def look() -> bool:
        node.check()
        return any(abs(line["jump_ms"] - 1000 * seconds) < 60_000 for line in node.events("clock_jumped"))

    await until(look, lambda: f"a jump of {seconds} s\n{node.tail()}")


async def test_the_only_clock_goes_a_day_ahead_and_back(networks: Callable[..., Network], tmp_path: Path) -> None:
    """A quorum's clocks were wrong: block time has run ahead, never goes back, and transactions go on."""
    network = networks(1)
    node = network.nodes[0]
    world = World.make(tmp_path / "world", node)
    await network.start()
    heights = [await submit(node)]
    ahead = 0
    for seconds in (DAY, 0, -HOUR, 0):
        world.change(ahead_seconds=seconds)
        await jumped(node, seconds - ahead)
        heights.append(await submit(node))
        ahead = seconds
    assert heights == sorted(set(heights))
    times = [(await node.json(f"/v1/blocks/{height}") or {})["time_ms"] for height in heights]
    assert times == sorted(set(times))
    assert times[-1] - times[0] > DAY * 1000
    await network.stop()
    await network.same_history()


async def submit(node: NodeProcess) -> int:
    """The height of a new transaction. What was signed when block time was a day earlier has expired: signed again."""
    async with AsyncClient(node.url) as client:
        while True:
            try:
                receipt = await client.transact(Account.new(), [evidence.record_of(secrets.token_bytes(32))])
            except TransactionRefused as refused:
                if refused.code != "expired":
                    raise
            else:
                return receipt.height


@pytest.mark.long
async def test_one_clock_of_four_jumps_and_the_network_goes_on(
    networks: Callable[..., Network], tmp_path: Path
) -> None:
    """A day ahead, an hour behind, and a start with a wrong clock; then all is right again by itself."""
    network = networks(4)
    *others, wrong = network.nodes
    world = World.make(tmp_path / "world", wrong)
    await network.start()
    async with load_on(others, clients=3) as load:
        await load.more(10)
        world.change(ahead_seconds=DAY)
        await jumped(wrong, DAY)
        await load.more(20)
        world.change(ahead_seconds=-HOUR)
        await jumped(wrong, -DAY - HOUR)
        await load.more(20)
        await wrong.kill()
        await network.start([wrong])
        await load.more(10)
        world.change()
        await jumped(wrong, HOUR)
        async with load_on([wrong], clients=1) as there:
            await there.more(3)
    await network.same_roots()
    await load.kept_at(wrong)
    assert [node.member for node in network.nodes if node.events("equivocation")] == []
    await network.stop()
    await network.same_history()
