"""A stopped node's report, the seal before it, and its withdrawal (decision 0014, L-24)."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config.creation import NodePlan, create_network
from daemon.config.keyfiles import write_new
from daemon.config.node import Node, load_node
from daemon.config.texts import Address
from daemon.restart.beginning import _copy_node
from daemon.restart.disk import stopped_node
from daemon.restart.files import read_bytes
from daemon.restart.reporting import KEPT, report, withdraw
from daemon.store.directory import StateAccess, open_directory
from daemon.store.journal import JournalState
from protocol.codec import encode
from protocol.errors import OperatorFault
from protocol.node.interface import JournalKind
from protocol.node.records import VoteFloor
from protocol.restart.reporting import is_sealed


@pytest.fixture
def node(tmp_path: Path) -> Node:
    plan = NodePlan("bank", Address("127.0.0.1", 7100), Address("127.0.0.1", 8100), None)
    return create_network(tmp_path / "net", "test", [plan], 1_700_000_000_000)[1]["bank"]


def sealed(node: Node) -> bool:
    store = open_directory(node.data_directory, node.network.network_id, node.journal_id, state=StateAccess.NONE)
    try:
        return is_sealed(store.recovered)
    finally:
        store.close()


def test_the_seal_is_durable_before_there_is_a_report(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the two: the validator never signs again, and no report exists that says so."""

    def die(*_: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("daemon.restart.reporting.make_report", die)
        with pytest.raises(KeyboardInterrupt):
            report(node, tmp_path / "bank")
    assert sealed(node)
    assert not (node.data_directory / KEPT).exists()
    report(node, tmp_path / "bank")
    assert (tmp_path / "bank.report").exists()


def test_asking_again_gives_the_same_report(node: Node, tmp_path: Path) -> None:
    """Two different reports by one key would be taken for a lie."""
    report(node, tmp_path / "one")
    report(node, tmp_path / "two")
    assert read_bytes(tmp_path / "one.report") == read_bytes(tmp_path / "two.report")
    assert read_bytes(tmp_path / "one.holdings") == read_bytes(tmp_path / "two.holdings")


def test_who_withdraws_remembers_what_it_signed(node: Node, tmp_path: Path) -> None:
    with stopped_node(node) as before:
        records = before.store.recovered
    report(node, tmp_path / "bank")
    assert sealed(node)
    withdraw(node)
    assert not sealed(node)
    with stopped_node(load_node(node.file)) as after:
        assert after.store.recovered == records, "the memory is what it was"
        assert after.held.remembers
    with pytest.raises(OperatorFault):
        withdraw(node)


def test_a_node_whose_voting_key_was_erased_goes_on_without_one(node: Node, tmp_path: Path) -> None:
    """C-23: a validator that has left is an observer, in the new network too."""
    old, target = node.file.parent, tmp_path / "new"
    assert node.voting_key is not None
    assert node.voting_keys is not None
    node.voting_keys.erase(node.voting_key.public)
    target.mkdir()
    write_new(target / "network.toml", node.network.file.read_text())
    _copy_node(old, target)
    copied = load_node(target / "node.toml")
    assert copied.voting_key is None
    assert copied.node_key.public == node.node_key.public
    assert copied.journal_id != node.journal_id, "its journal is another (C-24)"


def came_back(node: Node) -> Path:
    """The journal of a validator that forgot once and came back, and has signed since; its newest file."""
    store = open_directory(node.data_directory, node.network.network_id, node.journal_id, state=StateAccess.NONE)
    floor = (int(JournalKind.RESTORED), encode(VoteFloor(1, 4)))
    store.journal.append([floor])
    store.journal.sync()
    store.journal.append([(int(JournalKind.VOTE_FLOOR), encode(VoteFloor(1, 5)))])
    store.journal.sync()
    store.close()
    return max((node.data_directory / "journal").glob("*.log"))


def test_who_came_back_and_lost_nothing_since_remembers(node: Node, tmp_path: Path) -> None:
    came_back(node)
    assert report(node, tmp_path / "bank")[0].report.remembers is not None


def test_a_return_before_the_damage_is_no_memory(node: Node, tmp_path: Path) -> None:
    """C-24: RESTORED stands near the journal's start; what was signed after it is lost with the tail."""
    file = came_back(node)
    data = bytearray(file.read_bytes())
    data[data.rindex(encode(VoteFloor(1, 5)))] ^= 1
    file.write_bytes(data)
    with stopped_node(node) as stopped:
        assert stopped.store.health.state is JournalState.DAMAGED
        assert any(kind == JournalKind.RESTORED for kind, _ in stopped.store.recovered)
    assert report(node, tmp_path / "bank")[0].report.remembers is None


def test_a_return_before_the_end_was_lost_is_no_memory(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    came_back(node)
    monkeypatch.setattr("daemon.restart.disk.lost_its_end", lambda *_: True)
    assert report(node, tmp_path / "bank")[0].report.remembers is None
