"""A network of three institutions on three machines, made and used by the command line alone, as README.md tells it.

Secrets stay where they were made: only cards and network.toml travel.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from tests.system.machines import Machine, can_have_namespaces, in_namespaces, on_addresses
from tests.system.processes import NodeProcess

Test = TypeVar("Test", bound=Callable[..., object])
NAMES = ["bank", "port", "customs"]
UNKNOWN = 3
PEER_PORT, API_PORT = 7100, 8100


def beside_namespaces(test: Test) -> Test:
    """Namespaces show all that addresses do: where they can be had, the rest is for long runs."""
    return pytest.mark.long(test) if can_have_namespaces() else test


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@beside_namespaces
async def test_three_machines_by_cards_at_different_addresses(tmp_path: Path, stack: AsyncExitStack) -> None:
    machines = on_addresses(tmp_path, NAMES)
    nodes = _network_by_cards(machines, stack)
    await _is_used(machines, nodes)
    for node in nodes:
        assert await node.stop() == 0


@pytest.mark.skipif(not can_have_namespaces(), reason="network namespaces need root, ip, nsenter, unshare and setpriv")
async def test_three_machines_by_cards_in_network_namespaces(tmp_path: Path, stack: AsyncExitStack) -> None:
    """Ports and addresses as on machines of their own; one of them is cut off for a while."""
    machines = await in_namespaces(stack, tmp_path, NAMES)
    nodes = _network_by_cards(machines, stack)
    await _is_used(machines, nodes)

    # Three tolerate nothing: without one, what is sent stays unknown, and is final once its line is back.
    machines[2].link("down")
    document = machines[0].directory / "meanwhile.txt"
    document.write_text("meanwhile")
    sent = machines[0].run(*_submit(machines[0], document), "--wait", 3, "--json")
    assert sent.returncode == UNKNOWN, sent.stderr
    transaction = json.loads(sent.stdout)["error"]["transaction"]
    machines[2].link("up")
    machines[2].done("tx", transaction, "--wait", 60, *_node(machines[2]))
    for node in nodes:
        assert await node.stop() == 0


def _network_by_cards(machines: list[Machine], stack: AsyncExitStack) -> list[NodeProcess]:
    """Made by the members together; the nodes, not started."""
    for machine in machines:
        place = f"{machine.host}:{PEER_PORT}"
        # The API stays on loopback: where machines are only addresses, each has a loopback of its own.
        api = ["--api", f"{_api_host(machine)}:{API_PORT}"]
        machine.done("node", "create", "node", "--member", machine.name, "--address", place, *api)
    first, *others = machines
    for machine in machines:
        shutil.copy(machine.directory / "node" / "member.toml", first.directory / f"{machine.name}.toml")
    made = first.done("network", "create", "net", "--name", "trade", "--from-cards", *[f"{n}.toml" for n in NAMES])
    assert "no failure: all 3 validators have to run and be honest" in made
    shutil.copy(first.directory / "net" / "network.toml", first.directory)
    for machine in others:
        shutil.copy(first.directory / "network.toml", machine.directory)
    joined = [json.loads(machine.done("node", "join", "node", "network.toml", "--json")) for machine in machines]
    assert len({one["network_id"] for one in joined}) == 1
    assert [one["role"] for one in joined] == ["validator"] * 3
    nodes = [
        NodeProcess(m.name, m.directory / "node", f"{m.host}:{PEER_PORT}", f"http://{m.host}:{API_PORT}", m.prefix)
        for m in machines
    ]
    for node in nodes:
        stack.callback(node.destroy)
    return nodes


async def _is_used(machines: list[Machine], nodes: list[NodeProcess]) -> None:
    """Started in any order; what one member sends, all see, and another proves to a stranger."""
    for node in reversed(nodes):
        node.start()
    for node in nodes:
        await node.ready()
    bank, port, customs = machines
    document = bank.directory / "bill-of-lading.txt"
    document.write_text("a bill of lading")
    sent = json.loads(bank.done(*_submit(bank, document), "--json"))
    assert sent["code"] == "ok", sent
    transaction = sent["transaction"]
    for machine in machines:
        seen = json.loads(machine.done("tx", transaction, "--wait", 60, "--json", *_node(machine)))
        assert seen["receipt"]["height"] == sent["height"]
        status = json.loads(machine.done("status", "--json", *_node(machine)))
        assert len(status["node"]["peers"]) == 2
    customs.done("proof", "get", transaction, "--out", "receipt.proof", *_node(customs))
    shutil.copy(customs.directory / "receipt.proof", port.directory)
    shutil.copy(document, port.directory)
    port.done("proof", "verify", "receipt.proof", "--network", "network.toml", "--document", document.name)


def _submit(machine: Machine, document: Path) -> list[object]:
    key = machine.directory / "node" / "keys" / "account.key"
    return ["submit", "evidence", "record", "--digest-of", document, "--key", key, *_node(machine)]


def _api_host(machine: Machine) -> str:
    return "127.0.0.1" if machine.prefix else machine.host


def _node(machine: Machine) -> list[str]:
    return ["--node", f"http://{_api_host(machine)}:{API_PORT}"]
