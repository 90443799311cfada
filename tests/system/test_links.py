"""Networks that are not a full mesh (L-14), and networks that tolerate nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.system.load import load_on
from tests.system.network import Links, Network
from tests.system.processes import papilio_done, until


async def _peers(network: Network) -> list[int]:
    return [len(status["peers"]) for node in network.nodes if (status := await node.status()) is not None]


async def _connected(network: Network, wanted: list[int]) -> None:
    async def look() -> bool:
        return await _peers(network) == wanted

    await until(look, lambda: f"connections {wanted}\n{network.tails()}")


@pytest.mark.parametrize(
    ("links", "peers"), [(Links.RING, [2, 2, 2, 2]), (Links.STAR, [3, 1, 1, 1])], ids=["ring", "star"]
)
async def test_four_in_a_ring_or_star_go_on_with_one_killed(
    networks: Callable[..., Network], links: Links, peers: list[int]
) -> None:
    """L-14: what someone cannot hear directly is passed on. The one killed is not the hub."""
    network = networks(4, links=links)
    await network.start()
    await _connected(network, peers)
    killed = network.nodes[2]
    others = [node for node in network.nodes if node is not killed]
    async with load_on(others, clients=3) as load:
        await load.more(30)
        assert await _peers(network) == peers, "nobody found another way"
        await killed.kill()
        await load.more(30)
        await network.start([killed])
        await load.more(10)
    await network.same_roots()
    for node in network.nodes:
        await load.kept_at(node)
    await network.stop()
    await network.same_history()


@pytest.mark.parametrize("count", [1, pytest.param(2, marks=pytest.mark.long), 3])
async def test_small_networks_finalize_and_say_that_they_tolerate_nothing(
    networks: Callable[..., Network], count: int
) -> None:
    network = networks(count)
    shown = papilio_done("network", "show", network.file)
    tolerated = "no failure: there is one validator" if count == 1 else f"no failure: all {count} validators"
    assert tolerated in shown
    await network.start()
    async with load_on(network.nodes) as load:
        await load.more(10)
    await network.same_roots()
    for node in network.nodes:
        await load.kept_at(node)
    await network.stop()
    assert await network.same_history() >= 1
