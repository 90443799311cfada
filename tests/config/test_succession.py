"""network.toml of a network that goes on from another: there and back, and what is refused with its line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from daemon.config.genesis import to_record, to_table
from daemon.config.network import NetworkFile, load_network
from daemon.config.problems import ConfigurationFault
from daemon.config.write import to_toml
from protocol.ledger.genesis import network_id
from protocol.ledger.succession import Succession
from tests.ledger.test_succession import make


def written(folder: Path, genesis: Succession) -> Path:
    file = folder / "network.toml"
    file.write_text(to_toml(NetworkFile(network_id=network_id(genesis), genesis=to_table(genesis))))
    return file


def test_there_and_back(tmp_path: Path) -> None:
    """L-4: the file gives the same record and id, also where a member's keys are not known."""
    genesis = make()
    silent = replace(genesis, members=(replace(genesis.members[0], keys=()), *genesis.members[1:]))
    for each in (genesis, silent):
        assert to_record(to_table(each)) == each
        assert load_network(written(tmp_path, each)).genesis == each


@pytest.mark.parametrize(
    ("line", "instead", "words"),
    [
        ("[genesis.begins]", "[genesis.nothing]", "ancestors and begins together"),
        ("account = ", "# account = ", "the member's account"),
        ("height = 30", "height = 31", "the network begins at the height"),
        ('network_id = "network:0101', 'network_id = "network:0102', "not the one that this id was written for"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, line: str, instead: str, words: str) -> None:
    file = written(tmp_path, make())
    text = file.read_text()
    assert line in text
    file.write_text(text.replace(line, instead, 1))
    with pytest.raises(ConfigurationFault) as caught:
        load_network(file)
    assert words in str(caught.value)
