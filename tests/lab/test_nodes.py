"""A node's process under faults that overlap."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from daemon.lab.nodes import LabNode

PROGRAM = """import signal, sys
signal.signal(signal.SIGTERM, lambda *_: {})
print(flush=True)
while True:
    signal.pause()
"""
"""What it does on SIGTERM is filled in."""


def node_of(on_term: str) -> LabNode:
    """A node whose process is ready to do this on SIGTERM."""
    node = LabNode(0, Path("nowhere"), "http://127.0.0.1:1", votes=True)
    node.process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(on_term)], stdout=subprocess.PIPE, process_group=0
    )
    assert node.process.stdout is not None
    with node.process.stdout as out:
        out.readline()
    return node


@pytest.fixture
def stubborn() -> Iterator[LabNode]:
    node = node_of("None")
    yield node
    node.destroy()


@pytest.mark.parametrize("code", [0, 3])
async def test_a_node_that_is_stopped_ends_with_its_own_code(code: int) -> None:
    node = node_of(f"sys.exit({code})")
    assert await node.stop() is (code == 0)
    assert not node.runs


async def test_a_stop_that_a_kill_overtakes_is_no_fault_of_the_node(stubborn: LabNode) -> None:
    ended: list[bool] = []

    async def stop() -> None:
        ended.append(await stubborn.stop())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop)
        await trio.testing.wait_all_tasks_blocked()
        await stubborn.kill()
    assert ended == [True]


async def test_a_node_that_does_not_stop_is_killed_and_that_is_its_fault(
    stubborn: LabNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.lab.nodes.STOP_SECONDS", 0.1)
    assert await stubborn.stop() is False
    assert not stubborn.runs
