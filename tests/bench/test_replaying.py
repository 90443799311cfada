"""What execution costs by itself: every transaction of a history is counted, and nothing of the node is changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.audit.places import find_place
from daemon.bench.replaying import replay_cost
from protocol.errors import OperatorFault
from tests.audit.kit import HEIGHT, flip, made_world, node_directory


def test_a_whole_history_is_executed_again(tmp_path: Path) -> None:
    world = made_world()
    path = node_directory(tmp_path / "data", world)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    told: list[tuple[int, int, int]] = []
    place = find_place(path)
    done = replay_cost(world.genesis, place, tmp_path, lambda *words: told.append(words))
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    assert done.blocks == HEIGHT == told[-1][2]
    assert done.transactions == world.executed[HEIGHT].log_size
    assert done.state_bytes > 0
    assert [path.name for path in tmp_path.iterdir()] == ["data"], "the scratch is gone"

    flip(next((path / "segments").glob("*.seg")), -200)
    with pytest.raises(OperatorFault, match="only a history from its beginning"):
        replay_cost(world.genesis, place, tmp_path, lambda *words: told.append(words))
