"""How a node ends, and what it refuses to start on (L-27)."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.client import Account, AsyncClient, evidence
from tests.system.network import Network
from tests.system.processes import papilio

CONFIGURATION, IN_USE = 78, 75


async def test_sigterm_ends_in_order_and_what_was_final_is_there_at_the_next_start(
    networks: Callable[..., Network],
) -> None:
    network = networks(1)
    node = network.nodes[0]
    await network.start()
    workers = node.processes()[1:]
    async with AsyncClient(node.url) as client:
        receipt = await client.transact(Account.new(), [evidence.record_of(b"a document")])
    # Streams and waiting requests end by themselves.
    async with AsyncClient(node.url) as client, client.events() as events:
        assert (await anext(events)).transaction == receipt.transaction
        assert await node.stop() == 0
    assert node.events()[-1]["event"] == "stopped"
    assert not any(_lives(worker) for worker in workers)
    await network.start()
    found = await node.json(f"/v1/transactions/{receipt.transaction.hex()}")
    assert found is not None
    assert found["status"] == "final"
    assert await node.stop() == 0
    assert not node.events("store"), "after a clean end there is nothing to report"


async def test_a_second_node_on_the_directory_is_refused(networks: Callable[..., Network]) -> None:
    network = networks(1)
    await network.start()
    node = network.nodes[0]
    done = papilio("run", node.directory)
    assert done.returncode == IN_USE
    assert "another papilio runs on" in done.stderr
    assert str(node.pid) in done.stderr
    await network.stop()


@pytest.mark.parametrize("version", [0, 2])
async def test_another_format_is_refused(networks: Callable[..., Network], version: int) -> None:
    node = networks(1).nodes[0]
    file = node.data / "format.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"format": version}))
    before = {path: path.stat().st_mtime_ns for path in node.data.rglob("*")}
    done = papilio("run", node.directory)
    assert done.returncode == CONFIGURATION
    assert f"has format {version}, this program knows 1" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path: path.stat().st_mtime_ns for path in node.data.rglob("*")} == before


async def test_another_networks_data_is_refused(networks: Callable[..., Network]) -> None:
    one, other = networks(1).nodes[0], networks(1).nodes[0]
    one.data.rename(one.directory / "mine")
    other.data.rename(one.data)
    done = papilio("run", one.directory)
    assert done.returncode == CONFIGURATION
    assert "belongs to network" in done.stderr


@pytest.mark.parametrize("key", ["node", "voting"])
async def test_a_key_that_others_can_read_is_refused(networks: Callable[..., Network], key: str) -> None:
    node = networks(1).nodes[0]
    file = node.directory / "keys" / f"{key}.key"
    file.chmod(0o640)
    done = papilio("run", node.directory)
    assert done.returncode == CONFIGURATION
    assert str(file) in done.stderr
    assert "chmod" in done.stderr or "0600" in done.stderr or "600" in done.stderr
    assert "ed25519-secret" not in done.stderr + done.stdout


@pytest.mark.parametrize("which", ["peers", "api"])
async def test_a_port_that_is_taken_is_said_in_words(networks: Callable[..., Network], which: str) -> None:
    node = networks(1).nodes[0]
    host, _, port = (node.peers if which == "peers" else node.url.removeprefix("http://")).rpartition(":")
    with socket.socket() as taken:
        taken.bind((host, int(port)))
        taken.listen()
        done = papilio("run", node.directory)
    assert done.returncode == CONFIGURATION, done.stderr
    assert f"{host}:{port}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (node.data / "reports").exists(), "nothing broke"


async def test_a_second_signal_ends_at_once_and_loses_nothing(networks: Callable[..., Network]) -> None:
    network = networks(1)
    node = network.nodes[0]
    await network.start()
    async with AsyncClient(node.url) as client:
        receipt = await client.transact(Account.new(), [evidence.record_of(b"a document")])
    assert node.process is not None
    node.process.send_signal(signal.SIGTERM)
    node.process.send_signal(signal.SIGINT)
    assert await node.ended() in (0, 1, 130), "in order if that was quicker"
    await network.start()
    found = await node.json(f"/v1/transactions/{receipt.transaction.hex()}")
    assert found is not None
    assert found["status"] == "final"
    await network.stop()


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
