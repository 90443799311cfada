"""`papilio evidence`: what a node kept, in words and for programs, and checked without a node (C-17)."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.cli.exits import ExitCode
from daemon.config.genesis import to_table
from daemon.config.network import NetworkFile
from daemon.config.write import to_toml
from daemon.runtime.evidence import keep_evidence
from protocol.codec import encode
from protocol.consensus.statements import Vote
from protocol.node.interface import Note
from tests.cli.calling import Call
from tests.proofs.test_equivocation import FORBIDDEN, GENESIS, NETWORK


def noted(first: Vote, second: Vote) -> Note:
    return Note("equivocation", {"first": encode(first), "second": encode(second)})


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node's directory with evidence of all three kinds, and its network's file beside."""
    (tmp_path / "network.toml").write_text(to_toml(NetworkFile(network_id=NETWORK, genesis=to_table(GENESIS))))
    data = tmp_path / "node" / "data"
    data.mkdir(parents=True)
    for first, second, _ in FORBIDDEN:
        assert keep_evidence(data, NETWORK, noted(first, second)) is not None
        assert keep_evidence(data, NETWORK, noted(second, first)) is None, "kept once, whatever the order"
    return tmp_path / "node"


def files(node: Path) -> list[Path]:
    return sorted((node / "data" / "evidence").iterdir())


def test_a_list(call: Call, node: Path) -> None:
    said = call("evidence", "list", node)
    assert said.code == ExitCode.DONE, said.err
    assert [words in said.out for _, _, words in FORBIDDEN] == [True] * 3
    found = call("evidence", "list", node, "--json").json["evidence"]
    assert [one["file"] for one in found] == [str(file) for file in files(node)]
    assert {(one["member"], one["epoch"], one["view"]) for one in found} == {(GENESIS.validators[1].member, 1, 7)}
    assert all(one["found_at"].startswith(time.strftime("%Y")) for one in found)


def test_nothing_to_list(call: Call, tmp_path: Path, node: Path) -> None:
    (tmp_path / "other" / "data").mkdir(parents=True)
    said = call("evidence", "list", tmp_path / "other")
    assert (said.code, said.out.split(":")[0]) == (ExitCode.DONE, "no evidence")
    assert call("evidence", "list", tmp_path / "nowhere").code == ExitCode.CONFIGURATION


def test_checked_by_anyone(call: Call, node: Path, tmp_path: Path) -> None:
    file, network = files(node)[0], tmp_path / "network.toml"
    said = call("evidence", "verify", file, "--network", network)
    assert (said.code, said.out[:8]) == (ExitCode.DONE, "PROVEN: ")
    shown = call("evidence", "show", file, "--network", network)
    assert shown.out.startswith("EQUIVOCATION: ")
    whole = call("evidence", "show", file, "--network", network, "--json").json
    assert len(whole["statements"]) == 2
    assert whole["voting_key"] == GENESIS.validators[1].voting_key.hex()


def test_what_proves_nothing(call: Call, node: Path, tmp_path: Path) -> None:
    file, network = files(node)[1], tmp_path / "network.toml"
    file.write_bytes(file.read_bytes()[:-3] + bytes(3))
    said = call("evidence", "verify", file, "--network", network, "--json")
    assert said.code == ExitCode.UNVERIFIED
    assert said.json["error"]["verified"] is False
    assert call("evidence", "show", file, "--network", network).code == ExitCode.UNVERIFIED
    listed = call("evidence", "list", node, "--network", network)
    assert (listed.code, "NOT PROVEN" in listed.out) == (ExitCode.UNVERIFIED, True)
    other = tmp_path / "other.toml"
    other.write_text(to_toml(NetworkFile(genesis=to_table(replace(GENESIS, name="other")))))
    said = call("evidence", "verify", files(node)[0], "--network", other, "--json")
    assert (said.code, said.json["error"]["code"]) == (ExitCode.UNVERIFIED, "proof_wrong_network")
    assert call("evidence", "verify", tmp_path / "none", "--network", network).code == ExitCode.CONFIGURATION
