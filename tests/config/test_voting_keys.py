"""A voting key, its successor and its end, on disk (C-23); whatever is interrupted is taken up again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.config.keyfiles import create_key
from daemon.config.problems import ConfigurationFault
from daemon.config.voting_keys import VotingKeys


@pytest.fixture(name="keys")
def fixture_keys(tmp_path: Path) -> VotingKeys:
    create_key(tmp_path / "voting.key", "voting")
    return VotingKeys("voting.key", tmp_path)


def public(keys: VotingKeys) -> bytes:
    present = keys.present()
    assert present is not None
    return present.key.public


def test_the_successor_takes_the_place_of_what_is_erased(keys: VotingKeys) -> None:
    old = public(keys)
    assert keys.successor() is None
    made = keys.make_successor().key.public
    with pytest.raises(ConfigurationFault):
        keys.make_successor()
    successor = keys.successor()
    assert successor is not None
    assert successor.public == made
    assert public(keys) == old, "until the epoch begins"
    assert keys.erase(old)
    assert public(keys) == made
    assert sorted(os.listdir(keys.base)) == ["voting.key"]
    assert keys.erase(old), "once more changes nothing"
    assert public(keys) == made


def test_who_has_left_has_no_key_and_may_make_another(keys: VotingKeys) -> None:
    assert keys.erase(public(keys))
    assert keys.present() is None
    assert os.listdir(keys.base) == ["voting.key.erased"]
    made = keys.make_successor().key.public
    assert public(keys) == made
    keys.finish()
    assert os.listdir(keys.base) == ["voting.key"]


def test_a_missing_key_is_no_erased_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault):
        VotingKeys("voting.key", tmp_path).present()


@pytest.mark.parametrize("steps", [1, 2])
def test_what_was_interrupted_is_finished(keys: VotingKeys, steps: int) -> None:
    """After the first rename, and after the second."""
    made = keys.make_successor().key.public
    os.replace(keys.file, keys.beside(".old"))
    if steps == 2:
        os.replace(keys.beside(".next"), keys.file)
    assert public(keys) == made
    keys.finish()
    assert public(keys) == made
    assert sorted(os.listdir(keys.base)) == ["voting.key"]


def test_a_credential_is_not_touched(tmp_path: Path) -> None:
    keys = VotingKeys("credential:voting", tmp_path)
    assert not keys.erase(bytes(32))
    assert keys.successor() is None
    keys.finish()
