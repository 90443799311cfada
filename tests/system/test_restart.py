"""More than a third lost for good: the survivors go on, real processes and the command line alone (decision 0014)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from daemon.client import Client
from daemon.client.proving import verify_proof
from daemon.client.views import Stage
from tests.system.network import Network, NodeProcess, free_ports, make_network
from tests.system.processes import papilio, papilio_done, until
from tests.system.test_members import load

UNVERIFIED = 5
CONFIGURATION = 78


async def enough(final: list[bytes]) -> bool:
    return len(final) >= 5


def reported(nodes: list[NodeProcess], folder: Path) -> list[str]:
    """Options of `plan`: a report of each."""
    folder.mkdir()
    options = []
    for node in nodes:
        papilio_done("restart", "report", node.directory, folder / node.member, "--yes")
        options += ["--report", str(folder / f"{node.member}.report")]
    return options


def newcomer(directory: Path, host: str) -> NodeProcess:
    peer, api = free_ports(2, host)
    papilio_done(
        "node", "create", directory, "--member", "carrier", "--address", f"{host}:{peer}", "--api", f"{host}:{api}"
    )
    return NodeProcess("carrier", directory, f"{host}:{peer}", f"http://{host}:{api}")


def begun(node: NodeProcess, restart: Path, target: Path, old: Path | None = None) -> NodeProcess:
    papilio_done("restart", "begin", old or node.directory, restart, target)
    return NodeProcess(node.member, target, node.peers, node.url)


async def lose_half(network: Network, safe: Path) -> list[bytes]:
    """Load, then a power cut of everyone, and two machines burn; transactions that clients were told to be final.

    Account keys lie elsewhere (in `safe`), as the handbook says.
    """
    await network.start()
    with load(network.urls) as final:
        await network.reach(8)
        with Client(network.urls[0]) as client:
            (safe / "old.proof").write_bytes(client.proof(final[0], timeout_seconds=30))
        async with trio.open_nursery() as nursery:
            for node in network.nodes:
                nursery.start_soon(node.kill)
    for node in network.nodes:
        shutil.copy(node.directory / "keys" / "account.key", safe / f"{node.member}.key")
    for node in network.nodes[2:]:
        shutil.rmtree(node.directory)
    return list(final)


@pytest.mark.long
async def test_half_of_the_network_is_lost_for_good(tmp_path: Path) -> None:
    network = make_network(tmp_path / "old", 4)
    safe = tmp_path / "safe"
    safe.mkdir()
    survivors, lost = network.nodes[:2], network.nodes[2:]
    started: list[NodeProcess] = []
    try:
        final = await lose_half(network, safe)
        assert final, "something was final"
        carrier = newcomer(tmp_path / "carrier", survivors[0].peers.rpartition(":")[0])
        options = reported(survivors, tmp_path / "reports")
        restart = tmp_path / "restart"

        # One report is not enough, and a sealed node does not run.
        done = papilio("restart", "plan", survivors[0].directory, tmp_path / "no", *options[:2])
        assert done.returncode == UNVERIFIED
        assert "restart_uncertain" in done.stderr
        assert papilio("run", survivors[0].directory).returncode == CONFIGURATION

        # Plan, verify, sign, begin.
        card = carrier.directory / "member.toml"
        said = papilio_done("restart", "plan", survivors[0].directory, restart, *options, "--card", card)
        assert "NOTHING FINAL IS CUT" in said
        assert papilio("restart", "begin", survivors[0].directory, restart, tmp_path / "early").returncode == UNVERIFIED
        for node in (*survivors, lost[0]):
            papilio_done("restart", "sign", restart, "--key", safe / f"{node.member}.key", "--yes")
        new_file = restart / "network.toml"
        checked = ("--old", network.file, "--network", new_file, "--json")
        facts = json.loads(papilio_done("restart", "verify", restart, *checked))
        assert facts["certain"]
        assert len(facts["signed"]) == facts["needed"] == 3
        nodes = [begun(node, restart, tmp_path / f"new-{node.member}") for node in survivors]
        nodes.append(begun(carrier, restart, carrier.directory, survivors[1].directory))
        started = nodes

        # Load goes on; what was final is there; old and new proofs hold.
        for node in nodes:
            node.start()
        for node in nodes:
            await node.ready()
        with load([node.url for node in nodes]) as more:
            await until(lambda: enough(more), "five transactions in the new network")
        old_proof = safe / "old.proof"
        assert verify_proof(network.file, old_proof.read_bytes()), "old receipts stay verifiable"
        assert papilio("proof", "verify", old_proof, "--network", new_file).returncode == UNVERIFIED
        for node in nodes:
            with Client(node.url) as client:
                for transaction in final:
                    assert client.outcome(transaction).stage is Stage.FINAL, transaction.hex()
        with Client(nodes[2].url) as client:
            for transaction in (final[0], final[-1], more[-1]):
                assert verify_proof(new_file, client.proof(transaction, timeout_seconds=30))
        height = min([await node.height() for node in nodes])
        assert height > facts["kept"]["height"]
        shown = [await node.json(f"/v1/blocks/{height}") for node in nodes]
        assert len({(block["hash"], block["state_root"]) for block in shown if block is not None}) == 1
        report = json.loads(papilio_done("audit", nodes[1].directory, "--json"))
        assert any("followed to network" in note for note in report["notes"])
    finally:
        for node in [*network.nodes, *started]:
            node.destroy()
