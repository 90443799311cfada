"""What a machine runs out of: file handles, and memory that the kernel takes back by killing a worker.

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
from pathlib import Path

from daemon.client import Account, AsyncClient, evidence
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


def _is_worker(pid: int) -> bool:
    """Not multiprocessing's own helper, which holds nothing."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    return b"resource_tracker" not in command and b"forkserver" not in command
