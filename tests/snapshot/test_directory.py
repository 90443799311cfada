"""A joiner's directory: what is begun there, and what is found there when it begins again."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from daemon.runtime.clock import Clock
from daemon.snapshots.install import open_staged
from daemon.snapshots.joining import join_by_snapshot
from daemon.store.directory import create
from daemon.store.pages import PageDamaged
from protocol.ledger.genesis import Genesis, network_id
from tests.ledger.test_succession import make as succession
from tests.ledger.world import make_genesis


class Nobody:
    """A network that is served, and where nobody is."""

    def __init__(self) -> None:
        self.served = 0

    async def serve(self, *_: Any, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self.served += 1
        task_status.started()
        await trio.sleep_forever()

    def send(self, *_: Any) -> bool:
        return False

    def disconnect(self, *_: Any) -> None: ...

    def stop(self) -> None: ...


def joins(directory: Path, genesis: Genesis, network: Nobody) -> Any:
    create(directory, network_id(genesis), bytes(16))
    return partial(join_by_snapshot, directory, network_id(genesis), genesis, network, Clock(), wanted=True)


async def test_a_restarted_network_is_joined_by_blocks_and_what_to_do_is_said(tmp_path: Path) -> None:
    network = Nobody()
    join = joins(tmp_path / "data", succession(), network)
    with structlog.testing.capture_logs() as logs, trio.fail_after(10):
        assert not await join()
    assert network.served == 0
    assert not (tmp_path / "data" / "joining").exists()
    (line,) = logs
    assert line["event"] == "no_snapshot"
    assert "copy data/inherited of another node" in line["words"]
    assert "blocks are fetched" in line["words"]


@pytest.mark.parametrize("left", [100, 4096, 2 * 4096, 3 * 4096])
async def test_what_was_gathered_in_a_file_that_is_cut_short_is_gathered_anew(tmp_path: Path, left: int) -> None:
    """LMDB would die of it, and the process with it."""
    network = Nobody()
    join = joins(tmp_path / "data", make_genesis(), network)
    staged = open_staged(tmp_path / "data")
    for number in range(2_000):
        staged.put(b"p" + number.to_bytes(4, "big"), bytes(500))
    staged.commit()
    staged.close()
    file = tmp_path / "data" / "joining" / "staged" / "data.mdb"
    assert file.stat().st_size > 100 * 4096
    os.truncate(file, left)
    with pytest.raises(PageDamaged):
        open_staged(tmp_path / "data")
    with structlog.testing.capture_logs() as logs, trio.move_on_after(1):
        await join()
    assert network.served == 1
    assert [line["event"] for line in logs[:2]] == ["snapshot_staged_damaged", "joining"]
    assert file.stat().st_size <= 4 * 4096
