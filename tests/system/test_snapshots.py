"""A new node takes the state from its peers, and old blocks go (snapshot sync, pruning), as real processes."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest

from daemon.client import Account, AsyncClient, evidence
from daemon.config.node import NodeFile
from tests.system.load import load_on
from tests.system.network import Network, edit
from tests.system.processes import NodeProcess, papilio, until

SLOT_SECONDS = 3
PARAMETERS = {"envelope_ttl_max_ms": 20_000, "batch_ttl_max": 24, "execution_lag_max": 4, "idle_interval_ms": 500}


def storing(**settings: object) -> Callable[[NodeFile], NodeFile]:
    """These settings, with others of [storage]."""

    def change(file: NodeFile) -> NodeFile:
        storage = file.storage.model_copy(update={"snapshot_interval_seconds": SLOT_SECONDS, **settings})
        return file.model_copy(update={"storage": storage})

    return change


async def has_snapshot(node: NodeProcess) -> None:
    await node.logged("snapshot_made", seconds=120)


@pytest.mark.long
async def test_an_observer_joins_by_a_snapshot_is_killed_on_the_way_and_serves_what_is_new(
    networks: Callable[..., Network],
) -> None:
    network = networks(5, validators=4, parameters=PARAMETERS)
    *others, joiner = network.nodes
    for node in others:
        edit(node.directory / "node.toml", storing())
    edit(joiner.directory / "node.toml", storing(sync="snapshot"))
    await network.start(others)
    async with load_on(others, clients=3) as load:
        await load.more(60)
        for node in others:
            await has_snapshot(node)
        # Killed again and again while it joins: each time it goes on with what it has.
        for _ in range(3):
            joiner.start()
            await joiner.logged("joining")
            await joiner.kill()
        joiner.start()
        installed = await joiner.logged("snapshot_installed", seconds=120)
        await joiner.ready()
        await load.more(20)
        height = installed.get("height") or 1
        await network.reach(int(height) + 10)
    await network.same_roots()
    # What is new is proven there like anywhere; what is older than its window it does not have, and says so.
    async with AsyncClient(joiner.url) as client:
        receipt = await client.transact(Account.new(), [evidence.record_of(secrets.token_bytes(32))])
        assert receipt.ok

        async def proven() -> bool:
            got = await joiner.get(f"/v1/transactions/{receipt.transaction.hex()}/proof")
            return got.status_code == 200

        await until(proven, joiner.tail)
    await network.stop()
    for node in (joiner, others[0]):
        done = papilio("store", "check", node.data, "--network", network.file)
        assert done.returncode == 0, done.stdout + done.stderr
