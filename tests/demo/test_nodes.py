"""Processes: ports, and what is said when one ends by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from daemon.config.texts import Address
from daemon.demo.nodes import HOST, PORTS, NodeEnded, NodeProcess, free_ports


def test_ports_are_distinct_and_below_those_of_outgoing_connections() -> None:
    ports = free_ports(16)
    assert len(set(ports)) == 16
    assert all(port in PORTS for port in ports)
    assert PORTS.stop <= 32_768


async def test_a_node_that_ends_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    node = NodeProcess("city", tmp_path, Address(HOST, 1), f"http://{HOST}:{free_ports(1)[0]}", leashed=True)
    await node.start()
    with trio.fail_after(60), pytest.raises(NodeEnded) as caught:
        await node.first_answer("/v1/node")
    assert "the node of city ended with exit code 78" in caught.value.words
    assert f"there is no {tmp_path}/node.toml" in caught.value.words
    assert await node.stop() == 78
    assert not (tmp_path / "node.pid").exists()
