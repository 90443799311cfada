"""A network of one on this machine: a real `papilio` process in a directory of its own, for developing and testing.

    with local_network(Path("/tmp/net")) as network:
        with Client(network.endpoint) as client: ...

It is what members run, with one validator: the same program, disk, API and proofs. Its member's account may do what
members may (open programmes), and its key is at hand. The process listens on free ports of the loopback interface, is
called ready by its own word (sd_notify), and ends when the block is left, or when this process ends in whatever way
(daemon/cli/leashed.py).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from daemon.client.account import Account
from daemon.client.asynchronous import AsyncClient
from daemon.client.errors import ClientError
from daemon.client.synchronous import Client
from protocol.errors import INTERNAL_ERROR

ROOT: Final = Path(__file__).resolve().parents[2]
MEMBER: Final = "dev"
LOG_FILE: Final = "node.log"
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class LocalNetwork:
    """A network of one that runs.

    endpoint: of its API. account: its member's, with its key. network_file: what proofs are verified with.
    """

    endpoint: str
    directory: Path
    network_file: Path
    key_file: Path
    account: Account
    network_id: bytes
    process: subprocess.Popen[bytes] = field(repr=False)

    def client(self) -> Client:
        """A new client of it, which insists on this network."""
        return Client(self.endpoint, network_id=self.network_id)

    def async_client(self) -> AsyncClient:
        """The same for Trio or asyncio."""
        return AsyncClient(self.endpoint, network_id=self.network_id)


class StartFailed(ClientError):
    """The node did not start; the words hold the end of its log."""

    code = INTERNAL_ERROR


@contextmanager
def local_network(directory: Path, *, api_port: int | None = None) -> Iterator[LocalNetwork]:
    """Make a network of one in `directory` (new or empty), or go on with the one that is there, and run it.

    api_port: where the API of a new one listens; None: any free port. Raises StartFailed, ConfigurationFault.
    """
    if not (directory / "network.toml").exists():
        make(directory, api_port or free_port())
    with running(directory) as network:
        yield network


def make(directory: Path, api_port: int) -> None:
    """Make the network: keys, settings, journal. Raises ConfigurationFault if the directory holds anything."""
    from daemon.config.creation import NodePlan, create_network
    from daemon.config.texts import Address

    listen = Address("127.0.0.1", free_port())
    plan = NodePlan(MEMBER, listen, Address("127.0.0.1", api_port), listen)
    create_network(directory, MEMBER, [plan], time.time_ns() // 1_000_000)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(directory: Path) -> Iterator[LocalNetwork]:
    """Run the network of one in `directory`; its process has ended when the block is left. Raises StartFailed."""
    with (
        tempfile.TemporaryDirectory(prefix="papilio-") as bell_directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell,
    ):
        bell.bind(f"{bell_directory}/notify")
        with (directory / LOG_FILE).open("ab") as log:
            process = start(directory, f"{bell_directory}/notify", log.fileno())
            try:
                await_ready(process, bell, directory)
                yield describe(directory, process)
            finally:
                stop(process)


def start(directory: Path, notify: str, log: int) -> subprocess.Popen[bytes]:
    """The node's process, in a session of its own: a terminal's Ctrl-C is for who started it."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "NOTIFY_SOCKET": notify}
    command = [sys.executable, "-P", "-m", "daemon.cli.leashed", "run", str(directory / MEMBER)]
    return subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
    )


def await_ready(process: subprocess.Popen[bytes], bell: socket.socket, directory: Path) -> None:
    """Wait until the node says that it is ready. Raises StartFailed."""
    until_seconds = time.monotonic() + START_SECONDS
    bell.settimeout(0.1)
    while time.monotonic() < until_seconds and process.poll() is None:
        try:
            if b"READY=1" in bell.recv(4096).split(b"\n"):
                return
        except TimeoutError:
            continue
    ended = f"ended with exit code {process.returncode}" if process.poll() is not None else "is not ready in time"
    log = (directory / LOG_FILE).read_text(errors="replace").splitlines()[-10:]
    raise StartFailed("\n".join([f"the node {ended}; the end of {directory / LOG_FILE}:", *log]))


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it in order, by letting go of its leash; by force if that takes too long."""
    assert process.stdin is not None, "it was started with a pipe"
    process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def describe(directory: Path, process: subprocess.Popen[bytes]) -> LocalNetwork:
    """The running network, from its files."""
    from daemon.config.creation import ACCOUNT_KEY_FILE
    from daemon.config.node import load_node

    node = load_node(directory / MEMBER / "node.toml")
    key_file = directory / MEMBER / ACCOUNT_KEY_FILE
    return LocalNetwork(
        endpoint=f"http://{node.settings.api.listen}",
        directory=directory,
        network_file=directory / "network.toml",
        key_file=key_file,
        account=Account.read(key_file),
        network_id=node.network.network_id,
        process=process,
    )
