"""A node's key and the one that takes its place, on disk: one journal, and nothing is left half done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.config.keyfiles import create_key, load_key
from daemon.config.node_keys import NodeKeys
from protocol.errors import OperatorFault

JOURNAL = bytes(range(16))


@pytest.fixture(name="keys")
def fixture_keys(tmp_path: Path) -> NodeKeys:
    create_key(tmp_path / "node.key", "node", journal_id=JOURNAL)
    return NodeKeys("node.key", tmp_path)


def public(keys: NodeKeys) -> bytes:
    return load_key(str(keys.file), "node", Path()).key.public


def test_the_next_key_has_the_same_journal_and_takes_the_place(keys: NodeKeys) -> None:
    """C-24: with another journal's id the node would not remember what it signed."""
    old, made = public(keys), keys.make_next()
    assert made.journal_id == JOURNAL
    assert public(keys) == old
    with pytest.raises(OperatorFault, match="a new file"):
        keys.make_next()
    keys.take_up()
    assert public(keys) == made.key.public
    assert os.listdir(keys.base) == ["node.key"]
    with pytest.raises(OperatorFault, match="papilio key rotate --purpose node"):
        keys.next()


@pytest.mark.parametrize("steps", [1, 2])
def test_what_was_interrupted_is_finished_by_doing_it_again(keys: NodeKeys, steps: int) -> None:
    """After the first rename, and after the second."""
    made = keys.make_next().key.public
    os.replace(keys.file, keys.base / "node.key.old")
    if steps == 1:
        assert keys.present() is None
    else:
        os.replace(keys.base / "node.key.next", keys.file)
    assert keys.erasing == (steps == 2)
    keys.take_up()
    assert public(keys) == made
    assert os.listdir(keys.base) == ["node.key"]


def test_a_credential_is_not_touched(tmp_path: Path) -> None:
    with pytest.raises(OperatorFault, match="service manager"):
        NodeKeys("credential:node-key", tmp_path)
