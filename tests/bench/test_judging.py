"""The judgement sees each thing that must not be, on a store with three receipts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.bench import judging
from daemon.bench.judging import Sent
from protocol.ledger.envelope import parse_envelope
from protocol.ledger.index import executed_height, read_roots
from protocol.ledger.memory import MemoryTables
from tests.ledger.world import World


class Disk:
    """A node's disk, as far as it is read: three transactions at height 1, the third refused by the ledger."""

    def __init__(self) -> None:
        world = World()
        envelopes = [world.put(1), world.put(2), world.envelope(3, [("no_such", b"")])]
        world.run(*envelopes)
        self.transactions = [parse_envelope(data, world.network_id).transaction for data in envelopes]
        self.network_id = world.network_id
        self.height = executed_height(world.tables) or 0
        roots = read_roots(world.tables, self.height)
        assert roots is not None
        self.shown = {"state_root": roots.executed.state_root.hex()}
        self.tables: MemoryTables = world.tables
        self.segments = SimpleNamespace(last_height=self.height)
        self.state = self

    @contextmanager
    def reader(self) -> Iterator[MemoryTables]:
        yield self.tables

    def close(self) -> None:
        pass


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(judging, "open_to_read", lambda _directory, _network_id: made)
    return made


def read(disk: Disk, sent: Sent, shown: dict[str, str] | None = None) -> tuple[dict[str, int], str]:
    stand: Any = SimpleNamespace(network=SimpleNamespace(network_id=disk.network_id))
    codes, wrong = judging._read_disk(stand, Path(), disk.height, sent, shown or disk.shown)
    return dict(codes), "\n".join(wrong)


def test_what_is_as_clients_saw_it_is_right(disk: Disk) -> None:
    first, second, third = disk.transactions
    sent = Sent(good={first: "ok", second: "", third: "unknown_operation"}, bad={bytes(32)}, refused={b"\1" * 32})
    assert read(disk, sent) == ({"ok": 2, "unknown_operation": 1}, "")


def test_another_code_than_was_seen(disk: Disk) -> None:
    codes, wrong = read(disk, Sent(good={disk.transactions[2]: "ok"}))
    assert codes == {"unknown_operation": 1}
    assert "was seen with ok, on disk is unknown_operation" in wrong


def test_final_to_a_client_and_not_on_disk(disk: Disk) -> None:
    codes, wrong = read(disk, Sent(good={b"\7" * 32: "ok", b"\6" * 32: ""}))
    assert codes == {judging.ABSENT: 2}
    assert "was seen with ok, on disk is nothing" in wrong


def test_a_bad_signature_or_a_refused_envelope_on_disk(disk: Disk) -> None:
    first, second, _ = disk.transactions
    _, wrong = read(disk, Sent(bad={first}, refused={second}))
    assert "1 envelopes with a bad signature were executed" in wrong
    assert "1 envelopes that a node had refused were executed" in wrong


def test_another_state_root_and_segments_that_end_early(disk: Disk) -> None:
    disk.segments.last_height = 0
    _, wrong = read(disk, Sent(), {"state_root": "00" * 32})
    assert "another state root" in wrong
    assert "its segments end at 0" in wrong


def test_not_every_fault_is_told(disk: Disk) -> None:
    _, wrong = read(disk, Sent(good={bytes([n]) * 32: "ok" for n in range(1, 20)}))
    assert wrong.count("was seen") == judging.WRONG_SHOWN
    assert "and 14 more" in wrong
