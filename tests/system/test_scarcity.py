"""What a machine runs out of: file handles, memory that the kernel takes back by killing, a disk that takes writes.

The node goes on by itself when there is enough again; nobody restarts anything.
"""

from __future__ import annotations

import os
import resource
import secrets
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from daemon.client import Account, AsyncClient, TransactionRefused, evidence
from tests.system.altered import World
from tests.system.load import load_on
from tests.system.memory_limit import memory_group
from tests.system.network import Network
from tests.system.processes import NodeProcess, until

SPARE_HANDLES = 6
CLIENTS = 40


async def submit(node: NodeProcess) -> None:
    async with AsyncClient(node.url) as client:
        await client.transact(Account.new(), [evidence.record_of(secrets.token_bytes(32))], timeout_seconds=60)


def handles(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


async def test_without_file_handles_a_node_waits_and_goes_on(networks: Callable[..., Network]) -> None:
    """Connections beyond are not taken; what is open goes on; with handles again new ones are taken."""
    network = networks(1)
    await network.start()
    node = network.nodes[0]
    await submit(node)
    before = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (handles(node.pid) + SPARE_HANDLES, before[1]))
    host, port = node.url.removeprefix("http://").rsplit(":", 1)
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            stack.enter_context(socket.create_connection((host, int(port)), timeout=30))

        async def used_up() -> bool:
            node.check()
            return handles(node.pid) >= resource.prlimit(node.pid, resource.RLIMIT_NOFILE)[0] - 1

        await until(used_up, lambda: f"no handle is left\n{node.tail()}")
        height = max(line["height"] for line in node.events("block"))

        async def goes_on() -> bool:
            node.check()
            return any(line["height"] > height for line in node.events("block"))

        await until(goes_on, lambda: f"blocks without handles for more\n{node.tail()}")
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, before)
    await submit(node)
    await network.stop()
    await network.same_history()


async def test_workers_that_the_kernel_kills_for_memory_are_replaced(networks: Callable[..., Network]) -> None:
    """As its out-of-memory killer does: signal 9 to a child, at any moment."""
    network = networks(1)
    await network.start()
    node = network.nodes[0]
    await submit(node)
    for child in node.processes()[1:]:
        if _is_worker(child):
            os.kill(child, signal.SIGKILL)
    await node.logged("worker_lost")
    await submit(node)
    node.check()
    await network.stop()
    await network.same_history()


async def test_a_read_only_disk_is_waited_out(networks: Callable[..., Network], tmp_path: Path) -> None:
    """L-28: it takes nothing and says why, serves what it has, and goes on by itself when writes pass again."""
    network = networks(1)
    node = network.nodes[0]
    world = World.make(tmp_path / "world", node)
    await network.start()
    await submit(node)
    world.change(read_only=True)
    told = await node.logged("disk")
    assert told["full"]
    assert "read-only" in told["words"]
    async with AsyncClient(node.url) as client:
        with pytest.raises(TransactionRefused) as refused:
            await client.transact(Account.new(), [evidence.record_of(b"a note")], timeout_seconds=3)
    assert refused.value.code == "disk_full"
    ready = await node.get("/v1/health/ready")
    assert (ready.status_code, "takes no writes" in ready.text) == (503, True)
    height = await node.height()
    assert await node.json(f"/v1/blocks/{height}") is not None
    world.change()

    async def over() -> bool:
        node.check()
        return [line["full"] for line in node.events("disk")] == [True, False]

    await until(over, lambda: f"room again, told once\n{node.tail()}")
    await submit(node)
    await network.stop()
    await network.same_history()


@pytest.mark.long
async def test_out_of_memory_is_survived(networks: Callable[..., Network]) -> None:
    """The kernel kills in the node's control group whom it likes, until there is memory again: then all goes on."""
    with memory_group() as group:
        if group is None:
            pytest.skip("this machine lets nobody make a control group with a memory limit")
        network = networks(4)
        *others, tight = network.nodes
        tight.prefix = group.prefix
        await network.start()
        async with load_on(others, clients=3) as load:
            await load.more(10)
            with group.exhausted():
                await until(partial(_killed, tight), lambda: f"the kernel kills\n{tight.tail()}")
                await load.more(20)
            assert tight.process is not None
            if tight.process.poll() is not None:
                assert await tight.ended() == -signal.SIGKILL
                await network.start([tight])  # as a service manager does
            await load.more(10)
            async with load_on([tight], clients=1) as there:
                await there.more(3)
        await network.same_roots()
        await load.kept_at(tight)
        assert [node.member for node in network.nodes if node.events("equivocation")] == []
        await network.stop()
        await network.same_history()


async def _killed(node: NodeProcess) -> bool:
    assert node.process is not None
    return node.process.poll() is not None or bool(node.events("worker_lost"))


def _is_worker(pid: int) -> bool:
    """Not multiprocessing's own helper, which holds nothing."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    return b"resource_tracker" not in command and b"forkserver" not in command
