"""A backup and a node made of it: blocks yes, memory never (C-24)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from daemon.backup.manifest import read_manifest
from daemon.backup.restoring import restore
from daemon.backup.taking import take
from daemon.config.creation import create_network
from daemon.config.node import Node, load_node
from daemon.store.directory import StateAccess, Store, open_directory
from daemon.store.errors import SegmentDamaged
from protocol.errors import OperatorFault
from tests.config.made import CREATED_MS, plans

BLOCKS = 40


def quiet(_what: str, _done: int, _total: int) -> None:
    """No progress is shown."""


def opened(node: Node, *, own_id: bool = True) -> Store:
    journal_id = node.journal_id if own_id else None
    return open_directory(node.data_directory, node.network.network_id, journal_id, state=StateAccess.NONE)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A validator with blocks (bytes suffice) and a vote in its journal."""
    _, nodes = create_network(tmp_path / "net", "test", plans(), CREATED_MS)
    made = next(node for node in nodes.values() if node.is_validator)
    store = opened(made)
    for height in range(1, BLOCKS + 1):
        store.segments.append(height, b"block %d" % height * 50)
        store.segments.sync()
    store.journal.append([(1, b"a vote")])
    store.journal.sync()
    store.close()
    return made


def keys_of(node: Node) -> Path:
    return node.file.parent / "keys"


def test_a_backup_has_blocks_and_settings_and_no_memory(node: Node, tmp_path: Path) -> None:
    manifest = take(node, tmp_path / "copy", with_keys=False, progress=quiet)
    assert manifest.height == BLOCKS
    names = {str(file.relative_to(tmp_path / "copy")) for file in (tmp_path / "copy").rglob("*") if file.is_file()}
    assert names == {*manifest.files, "backup.json"}
    assert {Path(name).parts[0] for name in names} == {
        "backup.json",
        "member.toml",
        "network.toml",
        "node.toml",
        "segments",
    }


def test_with_keys_it_has_no_journals_id(node: Node, tmp_path: Path) -> None:
    """C-24: a backup never contains the journal's id."""
    take(node, tmp_path / "copy", with_keys=True, progress=quiet)
    for file in (tmp_path / "copy").rglob("*"):
        assert not file.is_file() or node.journal_id.hex().encode() not in file.read_bytes().lower(), file
    assert (tmp_path / "copy" / "keys" / "node.key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("with_keys", [True, False])
def test_what_is_restored_has_the_blocks_and_no_memory(node: Node, tmp_path: Path, with_keys: bool) -> None:
    take(node, tmp_path / "copy", with_keys=with_keys, progress=quiet)
    keys = None if with_keys else keys_of(node)
    again, _ = restore(tmp_path / "copy", tmp_path / "again", keys=keys, progress=quiet)
    assert load_node(tmp_path / "again" / "node.toml").node_key.public == node.node_key.public
    assert again.journal_id != node.journal_id
    store = opened(again)
    assert store.segments.last_height == BLOCKS
    assert store.segments.read(BLOCKS) == b"block %d" % BLOCKS * 50
    assert not store.health.remembers
    assert store.recovered == ()
    store.close()


def test_an_old_journal_beside_restored_keys_is_not_their_memory(node: Node, tmp_path: Path) -> None:
    """C-24: whoever copies the journal too, against the words, gains nothing: its id is another."""
    take(node, tmp_path / "copy", with_keys=True, progress=quiet)
    again, _ = restore(tmp_path / "copy", tmp_path / "again", keys=None, progress=quiet)
    shutil.rmtree(again.data_directory / "journal")
    shutil.copytree(node.data_directory / "journal", again.data_directory / "journal")
    store = opened(again)
    assert not store.health.remembers
    store.close()


def test_a_copy_is_cut_where_a_block_was_being_written(node: Node, tmp_path: Path) -> None:
    """As if the node had been in the middle of a write."""
    last = max((node.data_directory / "segments").glob("*.seg"))
    with last.open("ab") as stream:
        stream.write(b"half of a block")
    assert take(node, tmp_path / "copy", with_keys=False, progress=quiet).height == BLOCKS


def test_a_damaged_block_is_no_backup(node: Node, tmp_path: Path) -> None:
    segment = next((node.data_directory / "segments").glob("*.seg"))
    data = bytearray(segment.read_bytes())
    data[data.index(b"block 7")] ^= 1
    segment.write_bytes(bytes(data))
    with pytest.raises(SegmentDamaged):
        take(node, tmp_path / "copy", with_keys=False, progress=quiet)
    with pytest.raises(OperatorFault, match="is no backup"):
        read_manifest(tmp_path / "copy")


def test_a_changed_backup_is_refused(node: Node, tmp_path: Path) -> None:
    take(node, tmp_path / "copy", with_keys=True, progress=quiet)
    file = tmp_path / "copy" / "network.toml"
    file.write_text(file.read_text() + "\n")
    with pytest.raises(OperatorFault, match="not what was backed up"):
        restore(tmp_path / "copy", tmp_path / "again", keys=None, progress=quiet)
    assert not (tmp_path / "again").exists()


def test_nothing_is_overwritten_and_keys_are_needed(node: Node, tmp_path: Path) -> None:
    take(node, tmp_path / "copy", with_keys=False, progress=quiet)
    with pytest.raises(OperatorFault, match="holds a backup already"):
        take(node, tmp_path / "copy", with_keys=False, progress=quiet)
    with pytest.raises(OperatorFault, match="the backup holds no keys"):
        restore(tmp_path / "copy", tmp_path / "again", keys=None, progress=quiet)
    with pytest.raises(OperatorFault, match="is not empty"):
        restore(tmp_path / "copy", node.file.parent, keys=keys_of(node), progress=quiet)


def test_a_manifest_that_names_other_places_is_refused(node: Node, tmp_path: Path) -> None:
    take(node, tmp_path / "copy", with_keys=False, progress=quiet)
    file = tmp_path / "copy" / "backup.json"
    content = json.loads(file.read_text())
    content["files"]["../node.toml"] = "00"
    file.write_text(json.dumps(content))
    with pytest.raises(OperatorFault, match="outside the backup"):
        read_manifest(tmp_path / "copy")
