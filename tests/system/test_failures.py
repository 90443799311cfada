"""Nodes that are killed, frozen, and come back: what the rest does meanwhile (C-9, C-12, C-13)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from daemon.client import Account, AsyncClient, OutcomeUnknown, Stage, evidence
from tests.system.load import load_on
from tests.system.network import Network

QUIET_SECONDS = 2.0
"""Long for a network that finalizes in tens of milliseconds."""


async def test_one_of_four_killed_and_the_others_go_on(networks: Callable[..., Network]) -> None:
    network = networks(4)
    await network.start()
    *others, killed = network.nodes
    async with load_on(network.nodes, clients=3) as load:
        await load.more(20)
        await killed.kill()
        await load.more(40)
        await network.start([killed])
        await load.more(20)
    assert await network.same_roots() >= 1
    for node in network.nodes:
        await load.kept_at(node)
    await network.stop()
    await network.same_history()
    assert {node.member for node in others} == {"bank", "port", "farm"}


async def test_two_of_four_killed_and_nothing_is_final_until_one_returns(networks: Callable[..., Network]) -> None:
    network = networks(4)
    await network.start()
    first, second, third, fourth = network.nodes
    account = Account.new()
    async with AsyncClient(first.url, second.url) as client:
        await client.transact(account, [evidence.record_of(b"before")])
        await network.level()
        await third.kill()
        await fourth.kill()

        # What is sent now is taken, and is pending for as long as one looks.
        sealed = await client.prepare(account, [evidence.record_of(b"meanwhile")])
        with pytest.raises(OutcomeUnknown):
            await client.send(sealed, timeout_seconds=QUIET_SECONDS)
        before = await network.heights()
        assert (await client.outcome(sealed, wait_seconds=QUIET_SECONDS)).stage is Stage.PENDING
        assert await network.heights() == before
        assert all(node.events("node_stopped") == [] for node in (first, second))

        # One returns: three of four go on, with what waited.
        await network.start([fourth])
        receipt = await client.send(sealed)
        assert receipt.ok
        assert receipt.height > max(before.values())
        await client.transact(account, [evidence.record_of(b"after")])

        # The last one too.
        await network.start([third])
        await client.transact(account, [evidence.record_of(b"with all")])
    await network.same_roots()
    await network.stop()
    await network.same_history()


@pytest.mark.long
async def test_a_frozen_node_holds_nobody_up_and_goes_on_when_it_thaws(networks: Callable[..., Network]) -> None:
    """SIGSTOP: its connections stay open and it takes nothing; a machine that swaps looks like that."""
    network = networks(4)
    await network.start()
    *others, frozen = network.nodes
    async with load_on(others) as load:
        await load.more(10)
        frozen.freeze()
        await load.more(30)
        frozen.thaw()
        await load.more(10)
    await network.same_roots()
    await load.kept_at(frozen)
    await network.stop()
    await network.same_history()
