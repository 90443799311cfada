"""Validators that lost their memory, and second copies of one (C-24), as real processes under load."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.config.texts import Address
from tests.system.load import load_on
from tests.system.network import Network, edit, free_ports
from tests.system.processes import NodeProcess, papilio_done, until

BROKEN = 70


async def votes(node: NodeProcess) -> None:
    """Wait until a node votes."""

    async def look() -> bool:
        status = await node.status()
        return status is not None and bool(status["voting"])

    await until(look, lambda: f"{node.member} votes\n{node.tail()}")


def no_evidence(network: Network) -> None:
    """Nobody has signed what C-10 forbids, as far as anybody saw."""
    for node in network.nodes:
        assert node.events("equivocation") == []
        assert not (node.data / "evidence").exists()


@pytest.mark.long
async def test_a_lost_disk_comes_back_from_a_backup_that_was_taken_under_load(
    networks: Callable[..., Network], tmp_path: Path
) -> None:
    """C-24: it follows at once, asks what it may have signed, and votes above that; the others then need its vote."""
    network = networks(4)
    await network.start()
    *others, lost = network.nodes
    for node in network.nodes:
        await votes(node)
    async with load_on(others, clients=3) as load:
        await load.more(20)
        told = papilio_done("backup", lost.directory, tmp_path / "backup", "--keys")
        assert "blocks up to height" in told
        await load.more(20)
        await lost.kill()
        shutil.rmtree(lost.directory)
        papilio_done("restore", tmp_path / "backup", lost.directory)
        await network.start([lost])
        assert "until a quorum of the others has answered" in (await lost.logged("amnesiac"))["words"]
        assert not lost.events("ready")[0]["voting"]
        await lost.logged("memory_restored")
        await lost.logged("memory_known")
        await votes(lost)
        # Now the others cannot do without it.
        await others[0].kill()
        await load.more(10)
    await network.start([others[0]])
    await network.same_roots()
    await load.kept_at(lost)
    no_evidence(network)
    await network.stop()
    await network.same_history(executed=False)


async def test_a_copy_of_a_running_node_refuses_and_the_first_goes_on(
    networks: Callable[..., Network], tmp_path: Path
) -> None:
    """C-24: the second process with one key is noticed, and stops before it has signed anything."""
    network = networks(4)
    await network.start()
    first = network.nodes[-1]
    for node in network.nodes:
        await votes(node)
    async with load_on(network.nodes[:3], clients=2) as load:
        await load.more(10)
        copy = tmp_path / "copy" / first.directory.name
        shutil.copytree(first.directory, copy, ignore=shutil.ignore_patterns("lock", "node.log"))
        shutil.copy(network.file, tmp_path / "copy" / "network.toml")
        host = first.peers.rsplit(":", 1)[0]
        peers, api = free_ports(2, host)
        edit(
            copy / "node.toml",
            lambda found: found.model_copy(
                update={
                    "peers": found.peers.model_copy(update={"listen": Address(host, peers)}),
                    "api": found.api.model_copy(update={"listen": Address(host, api)}),
                }
            ),
        )
        second = NodeProcess(first.member, copy, f"{host}:{peers}", f"http://{host}:{api}")
        try:
            second.start()
            assert await second.ended() == BROKEN, second.tail()
            assert "twin" in second.events("node_stopped")[0]["words"]
        finally:
            second.destroy()
        first.check()
        await votes(first)
        await network.nodes[0].kill()
        await load.more(10)
    await network.start([network.nodes[0]])
    no_evidence(network)
    await network.stop()
    await network.same_history(executed=False)
