"""Kill -9 of all four nodes, again and again, while clients submit.

Every final receipt that a client saw is there afterwards, at every node and in the same place; no two disks differ; and
after each time the network takes and finalizes new transactions. When the nodes are killed is drawn from a seed and
counted in events, not in time: after so many further receipts, when a node says that it is ready, or while none is yet.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import trio

from tests.system.load import Load, load_on
from tests.system.network import Network
from tests.system.test_memory import votes

ROUNDS = 6
ROUNDS_LONG = 50
RECEIPTS_MAX = 25


async def test_kill_9_of_all_four_loses_no_receipt_that_was_seen(
    networks: Callable[..., Network], is_long: bool
) -> None:
    """L-24, C-5, C-10."""
    seed = 20261124
    chance = random.Random(seed)
    network = networks(4)
    await network.start()
    waits: list[float] = []
    async with load_on(network.nodes, clients=4) as load:
        await load.more(20)
        for _ in range(ROUNDS_LONG if is_long else ROUNDS):
            await _moment(network, load, chance)
            await _kill_all(network, chance)
            for node in chance.sample(network.nodes, 4):
                node.start()
                if chance.random() < 0.1:
                    # Killed in the middle of its start, which then begins again.
                    await node.logged("peer_up") if chance.random() < 0.5 else node.check()
                    await node.kill()
                    node.start()
            # Finality is back: something sent after the start is final.
            began = trio.current_time()
            await load.more(load.clients + 1)
            waits.append(trio.current_time() - began)
        for node in network.nodes:
            await node.ready()
    await network.same_roots()
    assert len(load.seen) > 20 + (load.clients + 1) * ROUNDS
    for node in network.nodes:
        await load.kept_at(node)
        memory = (await node.status() or {})["memory"]
        assert memory == {"phase": "known", "vote_floor": 0, "waiting_for": []}, "a node that was killed forgot nothing"
        await votes(node)  # not while it stands in a view that it knows as final
    await network.stop()
    height = await network.same_history()
    waits.sort()
    print(f"{len(waits)} times, {len(load.seen)} receipts, height {height}, finality back after")  # noqa: T201
    print(f"{waits[0]:.1f} to {waits[-1]:.1f} s, median {waits[len(waits) // 2]:.1f} s")  # noqa: T201


async def _moment(network: Network, load: Load, chance: random.Random) -> None:
    """Wait for a moment to kill everyone."""
    kind = chance.randrange(3)
    if kind == 0:
        await load.more(chance.randrange(1, RECEIPTS_MAX))
    elif kind == 1:
        await chance.choice(network.nodes).ready()
    else:
        await load.more(1)


async def _kill_all(network: Network, chance: random.Random) -> None:
    """All four: at once, or one after the other while the rest goes on."""
    order = chance.sample(network.nodes, 4)
    if chance.random() < 0.5:
        async with trio.open_nursery() as nursery:
            for node in order:
                nursery.start_soon(node.kill)
    else:
        for node in order:
            await node.kill()
