"""Real nodes whose lines all lead through the fault proxy of the lab: slow, lossy, one-way, cut, and healed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from daemon.lab.proxy import CLEAR, Condition, Proxy
from tests.system.load import load_on
from tests.system.network import Network, address, reaching

pytestmark = pytest.mark.long

SLOW = Condition(delay_seconds=0.02, tail_seconds=0.02, stall_chance=0.02, corrupt_chance=0.0005)


@asynccontextmanager
async def behind_proxies(network: Network) -> AsyncIterator[Proxy]:
    """Every node reaches every other by a port of the proxy; nothing runs yet."""
    proxy = Proxy(seed=7)
    async with trio.open_nursery() as nursery:
        for node in network.nodes:
            told: dict[bytes, str] = {}
            for other in network.nodes:
                if other is not node:
                    target = address(other.peers)
                    place = (target.host, target.port)
                    port = await nursery.start(proxy.listen, node.member, other.member, place)
                    told[network.node_key(other)] = f"127.0.0.1:{port}"
            network.edit(node, lambda file, told=told: reaching(file, told))  # type: ignore[misc]
        yield proxy
        nursery.cancel_scope.cancel()


def every(proxy: Proxy, condition: Condition, *, of: str | None = None) -> None:
    """This condition on all directions, or on what one node says."""
    for (sender, _), direction in proxy.directions.items():
        if of is None or sender == of:
            direction.become(condition)


async def test_four_nodes_on_bad_lines(networks: Callable[..., Network]) -> None:
    """C-12, L-14, L-15: what one says is lost, then it is cut off whole; it comes back, and nothing forks."""
    network = networks(4)
    async with behind_proxies(network) as proxy:
        every(proxy, SLOW)
        await network.start()
        mute, *others = network.nodes
        async with load_on(others, clients=3) as load:
            await load.more(15)
            every(proxy, Condition(blocked=True), of=mute.member)
            await load.more(10)
            every(proxy, Condition(cut=True), of=mute.member)
            await load.more(10)
            every(proxy, CLEAR)
            await load.more(5)
        await network.same_roots()
        for node in network.nodes:
            await load.kept_at(node)
        counted = [direction.counted for direction in proxy.directions.values()]
        assert all(sum(getattr(one, name) for one in counted) for name in ("delayed", "stalled", "corrupted", "cut"))
        await network.stop()
    await network.same_history()
