"""One node's disk becomes full, or fails: nothing that was promised is lost, and the others go on (L-24)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from daemon.client import Account, AsyncClient, TransactionRefused, evidence
from tests.system.disks import can_have_disks, disk_of
from tests.system.load import load_on
from tests.system.network import Network
from tests.system.processes import PATIENCE_SECONDS, NodeProcess, until

DISK_FAILED = 74
CONFIGURATION = 78

pytestmark = pytest.mark.skipif(not can_have_disks(), reason="disks of their own need root, loop devices and e2fsprogs")


async def test_when_a_sync_fails_the_node_stops_and_the_others_go_on(
    networks: Callable[..., Network], tmp_path: Path
) -> None:
    """L-24: no vote leaves that is not durable; what it promised before, it keeps after the repair."""
    network = networks(4)
    *others, failing = network.nodes
    async with disk_of(failing, tmp_path / "disk", pool_mib=100, size_mib=1_500) as disk:
        await network.start()
        async with load_on(others, clients=3) as load:
            await load.more(10)
            disk.exhaust()
            assert await failing.ended() == DISK_FAILED
            assert failing.events()[-1]["event"] == "node_stopped"
            await load.more(20)
            disk.repair()
            await network.start([failing])
            await load.more(10)
        await network.same_roots()
        await load.kept_at(failing)
        assert [node.member for node in network.nodes if node.events("evidence")] == []
        await network.stop()
        await network.same_history()


@pytest.mark.long
async def test_a_full_disk_is_waited_out(networks: Callable[..., Network], tmp_path: Path) -> None:
    """It takes nothing and says why, the others go on, and it goes on by itself once there is room."""
    network = networks(4)
    *others, full = network.nodes
    async with disk_of(full, tmp_path / "disk", pool_mib=200, size_mib=1_200) as disk:
        await network.start()
        async with load_on(others, clients=3) as load:
            await load.more(10)
            disk.fill()
            await _told(full, is_full=True)
            with pytest.raises(TransactionRefused) as refused:
                await _submit(full, timeout_seconds=3)
            assert refused.value.code == "disk_full"
            await load.more(30)
            full.check()
            disk.drain()
            await _told(full, is_full=False)
            await _submit(full)
            await load.more(10)
        await network.same_roots()
        await load.kept_at(full)
        await network.stop()
        await network.same_history()


@pytest.mark.long
async def test_a_file_system_that_becomes_read_only_harms_nobody(
    networks: Callable[..., Network], tmp_path: Path
) -> None:
    """The node waits, or stops if a sync failed (L-24); on the repaired disk it has all that it promised."""
    network = networks(4)
    *others, failing = network.nodes
    async with disk_of(failing, tmp_path / "disk", pool_mib=400, size_mib=1_200) as disk:
        await network.start()
        async with load_on(others, clients=3) as load:
            await load.more(10)
            disk.fail()
            await until(partial(_gave_up, failing), lambda: f"word of the disk\n{failing.tail()}")
            await load.more(20)
            assert await failing.stop() in (0, DISK_FAILED)
            failing.start()
            assert await failing.ended() == CONFIGURATION
            assert "read-only" in failing.events()[-1]["words"]
            disk.repair()
            await network.start([failing])
            await load.more(10)
        await network.same_roots()
        await load.kept_at(failing)
        assert [node.member for node in network.nodes if node.events("equivocation")] == []
        await network.stop()
        await network.same_history()


async def _gave_up(node: NodeProcess) -> bool:
    return bool(node.events("disk") or node.events("node_stopped"))


async def _submit(node: NodeProcess, timeout_seconds: float = PATIENCE_SECONDS) -> None:
    async with AsyncClient(node.url) as client:
        operation = evidence.record_of(secrets.token_bytes(32))
        await client.transact(Account.new(), [operation], timeout_seconds=timeout_seconds)


async def _told(node: NodeProcess, *, is_full: bool) -> None:
    async def look() -> bool:
        node.check()
        lines = node.events("disk")
        return bool(lines) and lines[-1]["full"] is is_full

    await until(look, lambda: f"word of the disk, full: {is_full}\n{node.tail()}")
