"""Four processes of `papilio run`, and what is done to them from outside: started, killed, stopped.

Each is in a session of its own, so that Ctrl-C reaches the demonstration only, which then stops them in order. They are
on a leash (`daemon.cli.leashed`), unless they are to be left running: if the demonstration itself is killed, they end.
Their logs are `node.log` in their directories; their process ids are in `node.pid`.

Ports are chosen below the range from which systems take ports for outgoing connections: a node that is killed gets its
port back when it returns.
"""

from __future__ import annotations

import random
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from daemon.client import AsyncClient, ClientError
from daemon.client.views import Json
from daemon.config.creation import NodePlan, create_network
from daemon.config.network import Network
from daemon.config.texts import Address
from daemon.demo.commands import LEASHED, PAPILIO, environment
from protocol.errors import INTERNAL_ERROR, PapilioError

HOST: Final = "127.0.0.1"
PORTS: Final = range(20_000, 30_000)
READY_SECONDS: Final = 60
"""From a start to a node that is ready; a second or two is usual."""
ASK_AGAIN_SECONDS: Final = 0.05
ANSWER_SECONDS: Final = 0.5
STOP_SECONDS: Final = 15
LOG_LINES: Final = 5
"""Last lines of a log that are shown when a node ends by itself."""


class NodeEnded(PapilioError):
    """A node ended that nobody stopped, or does not answer; or there is no room for one."""

    code = INTERNAL_ERROR


@dataclass(slots=True)
class NodeProcess:
    """One node. directory: with its node.toml. url: of its API. process: None while it is not running."""

    member: str
    directory: Path
    peers: Address
    url: str
    leashed: bool
    process: trio.Process | None = None
    starts: int = 0
    seconds_to_ready: list[float] = field(default_factory=list)

    @property
    def log(self) -> Path:
        """Where its standard error goes."""
        return self.directory / "node.log"

    @property
    def data_directory(self) -> Path:
        """Journal, segments and state."""
        return self.directory / "data"

    async def start(self) -> None:
        """Start the process; it is not ready yet."""
        assert self.process is None, "a node is started once"
        with self.log.open("ab") as log:
            self.process = await trio.lowlevel.open_process(
                [*(LEASHED if self.leashed else PAPILIO), "run", str(self.directory)],
                stdin=subprocess.PIPE if self.leashed else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
                start_new_session=True,
            )
        self.starts += 1
        (self.directory / "node.pid").write_text(f"{self.process.pid}\n", encoding="ascii")

    async def ready(self) -> None:
        """Wait until it takes work. Raises NodeEnded if it ends instead, or takes too long."""
        began = trio.current_time()
        await self.first_answer("/v1/health/ready")
        self.seconds_to_ready.append(trio.current_time() - began)

    async def first_answer(self, path: str) -> Json:
        """What it answers at `path` as soon as it does. Raises NodeEnded if it ends instead, or takes too long."""
        deadline = trio.current_time() + READY_SECONDS
        while trio.current_time() < deadline:
            self.check()
            answer = await self.answers(path)
            if answer is not None:
                return answer
            await trio.sleep(ASK_AGAIN_SECONDS)
        raise NodeEnded(f"the node of {self.member} did not answer in {READY_SECONDS} s; its log is {self.log}")

    async def answers(self, path: str) -> Json | None:
        """What this node and no other answers at `path`, or None: it is asked once, by a client without a memory."""
        async with AsyncClient(self.url) as client:
            try:
                return await client.get_json(path, timeout_seconds=ANSWER_SECONDS)
            except ClientError:
                return None

    def check(self) -> None:
        """Raises NodeEnded, with the end of its log, if the process has ended."""
        if self.process is not None and self.process.poll() is not None:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
            told = "\n".join(f"    {line[:300]}" for line in lines)
            words = f"the node of {self.member} ended with exit code {self.process.returncode}; its log {self.log} ends"
            raise NodeEnded(f"{words}\n{told}")

    async def kill(self) -> None:
        """Signal 9: nothing of it gets to run any more."""
        assert self.process is not None, "a node that runs is killed"
        self.process.kill()
        await _ended(self.process)
        self.process = None

    async def stop(self) -> int | None:
        """SIGTERM, and its exit code; after `STOP_SECONDS` it is killed, and the code is None."""
        process, self.process = self.process, None
        if process is None:
            return 0
        code: int | None = None
        process.terminate()
        with trio.move_on_after(STOP_SECONDS):
            code = await process.wait()
        if code is None:
            process.kill()
        await _ended(process)
        (self.directory / "node.pid").unlink(missing_ok=True)
        return code


async def _ended(process: trio.Process) -> None:
    """Wait for the end of a process, and let go of its leash."""
    await process.wait()
    if process.stdin is not None:
        await process.stdin.aclose()


def make_network(
    directory: Path, members: tuple[str, ...], created_ms: int, *, leashed: bool
) -> tuple[Network, list[NodeProcess]]:
    """Make a network of one node a member in `directory`, new or empty. Raises ConfigurationFault."""
    ports = free_ports(2 * len(members))
    plans = [
        NodePlan(member, peers, Address(HOST, ports[2 * at + 1]), peers)
        for at, member in enumerate(members)
        for peers in [Address(HOST, ports[2 * at])]
    ]
    network, _ = create_network(directory, "demo", plans, created_ms)
    nodes = [
        NodeProcess(plan.member, directory / plan.member, plan.listen, f"http://{plan.api}", leashed) for plan in plans
    ]
    return network, nodes


async def start_all(nodes: list[NodeProcess]) -> None:
    """Start all at once, and wait until each is ready. Raises NodeEnded."""
    for node in nodes:
        await node.start()
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.ready)


async def stop_all(nodes: list[NodeProcess]) -> Mapping[str, int | None]:
    """Stop all at once; exit codes by member. Runs to its end even when everything else is being cancelled."""
    codes: dict[str, int | None] = {}

    async def stop(node: NodeProcess) -> None:
        codes[node.member] = await node.stop()

    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            for node in nodes:
                nursery.start_soon(stop, node)
    return codes


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on now, distinct. Raises NodeEnded if there are not enough."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return sorted(found)
    raise NodeEnded(f"no {count} free ports from {PORTS.start} to {PORTS.stop} on {HOST}")
