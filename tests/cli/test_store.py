"""`papilio store`: what a person and a program see of a whole, a damaged and a repaired directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from daemon.cli.exits import ExitCode
from daemon.config.genesis import to_table
from daemon.config.network import NetworkFile
from daemon.config.write import to_toml
from daemon.store.directory import repair_command
from daemon.upkeep import sources
from tests.cli.calling import Call
from tests.upkeep.made import Given, chain, make, small_window


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory, and beside it the file of its network."""
    make(tmp_path / "data")
    (tmp_path / "network.toml").write_text(to_toml(NetworkFile(genesis=to_table(chain().genesis))))
    return tmp_path / "data"


def hurt(data: Path) -> Path:
    path = min((data / "segments").glob("*.seg"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    return path


def test_whole_damaged_repaired(call: Call, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = ("--network", data.parent / "network.toml")
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    said = call("store", "check", data, *network)
    assert said.code == ExitCode.DONE, said.out + said.err
    assert "nothing is damaged" in said.out
    assert "byte for byte" in said.out
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before, "a check changes nothing"

    path = hurt(data)
    said = call("store", "check", data, *network, "--quick", "--json")
    assert said.code == ExitCode.DISK_FAILED
    (finding,) = [one for one in said.json["findings"] if one["damage"]]
    assert (finding["part"], finding["file"], finding["remedy"]) == ("segment", f"segments/{path.name}", "fetch")
    assert finding["offset"] > 0
    assert finding["first_height"] == finding["last_height"]
    said = call("store", "check", data, *network, "--quick")
    assert f"papilio store repair {data} --network {network[1]} --from URL" in said.out
    assert call("store", "scrub", data, *network, "--rate", 1000).code == ExitCode.DISK_FAILED

    # Nobody gives the block: it stays, and the words say what next.
    said = call("store", "repair", data, *network, "--quick")
    assert said.code == ExitCode.DISK_FAILED
    assert "start the node, which fetches them from its peers" in said.out

    # The first that is asked lies, the second does not.
    height = finding["first_height"]
    lies = Given({**chain().blocks, height: chain().blocks[height][:-1] + b"\0"})
    answers = {"http://liar": lies, "http://good": Given(chain().blocks)}
    monkeypatch.setattr(sources.NodeSource, "read", lambda self, height: answers[self.name].read(height))
    said = call("store", "repair", data, *network, "--quick", "--from", "http://liar", "--from", "http://good")
    assert said.code == ExitCode.DONE, said.out
    assert "LIES       http://liar" in said.out
    assert f"quarantine/{path.name}.1" in said.out
    assert call("store", "check", data, *network, "--quick").code == ExitCode.DONE
    assert call("store", "repair", data, *network, "--json").json["done"] == []


def test_the_command_that_the_log_names_is_one_that_repairs(
    call: Call, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurt(data)
    monkeypatch.setattr(sources.NodeSource, "read", lambda self, height: Given(chain().blocks).read(height))
    _, _, named = repair_command(data).partition("papilio ")
    meant = {"FILE": data.parent / "network.toml", "URL": "http://good"}
    said = call(*(meant.get(word, word) for word in named.partition(" (")[0].split()))
    assert said.code == ExitCode.DONE, said.err


def test_a_directory_in_use_and_one_that_is_none(call: Call, data: Path) -> None:
    network = ("--network", data.parent / "network.toml")
    descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    for command in ("check", "repair"):
        said = call("store", command, data, *network)
        assert said.code == ExitCode.IN_USE, said.err
        assert "a node runs on" in said.err
    os.close(descriptor)
    said = call("store", "check", data.parent / "nothing", *network)
    assert said.code == ExitCode.CONFIGURATION
    assert "there is no directory" in said.err
    said = call("store", "check", data)
    assert said.code == ExitCode.CONFIGURATION
    assert "--network" in said.err
    assert call("store", "scrub").code == ExitCode.USAGE
    assert call("store", "scrub", "--node", "http://127.0.0.1:1").code == ExitCode.UNREACHABLE


def test_prune_shows_moves_and_refuses(call: Call, tmp_path: Path) -> None:
    """`papilio store prune`: a dry run changes nothing, an archive gets what goes, and refusals say what to do."""
    made = small_window()
    make(tmp_path / "data", made)
    (tmp_path / "network.toml").write_text(to_toml(NetworkFile(genesis=to_table(made.genesis))))
    data, network = tmp_path / "data", ("--network", tmp_path / "network.toml")
    segments = set((data / "segments").iterdir())

    said = call("store", "prune", data, *network)
    assert said.code == ExitCode.CONFIGURATION
    assert 'give --keep, as "90 days"' in said.err
    said = call("store", "prune", data, *network, "--keep", "all")
    assert "an archive" in said.err
    said = call("store", "prune", data, *network, "--keep", "3 weeks")
    assert said.code == ExitCode.CONFIGURATION
    assert "'3 weeks': expected" in said.err

    said = call("store", "prune", data, *network, "--keep", "20 blocks", "--dry-run")
    assert said.code == ExitCode.DONE, said.err
    assert "would go" in said.out
    assert set((data / "segments").iterdir()) == segments

    with (data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert call("store", "prune", data, *network, "--keep", "20 blocks").code == ExitCode.IN_USE

    said = call("store", "prune", data, *network, "--keep", "20 blocks", "--to", tmp_path / "archive", "--json")
    assert said.code == ExitCode.DONE, said.err
    gone = said.json["segments"]
    assert gone[0]["first"] == 1
    assert said.json["first_height"] == gone[-1]["last"] + 1
    assert len(list((tmp_path / "archive").glob("*.seg"))) == len(gone)
    said = call("store", "check", data, *network, "--quick")
    assert said.code == ExitCode.DONE, said.out + said.err
    assert "moved to" in said.out
    said = call("store", "scrub", data, *network)
    assert said.code == ExitCode.DONE, "what was pruned is not missing: " + said.out
    said = call("store", "prune", data, *network, "--keep", "20 blocks")
    assert "nothing" in said.out
