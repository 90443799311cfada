"""`papilio config`: problems as a person and as a program see them; effective values; samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.cli.exits import ExitCode
from daemon.config.samples import SAMPLES
from tests.cli.calling import Call
from tests.config.made import change, line_of, network


@pytest.fixture
def net(tmp_path: Path) -> Path:
    network(tmp_path / "net")
    return tmp_path / "net"


def test_files_that_are_right(call: Call, net: Path) -> None:
    files = [net / "network.toml", net / "bank" / "node.toml", net / "port" / "node.toml", net / "bank" / "member.toml"]
    said = call("config", "check", *files, net / "bank" / "keys" / "account.key")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0].startswith(f"{files[0]}: network test, network:")
    assert lines[1] == f"{files[1]}: node, validator of bank in network test, dials 2"
    assert lines[2] == f"{files[2]}: node, observer of port in network test, dials 2"
    assert lines[3].startswith(f"{files[3]}: card of a node of bank, ed25519:")
    assert ": account key, ed25519:" in lines[4]


def test_every_problem_of_every_file(call: Call, net: Path) -> None:
    one, two = net / "bank" / "node.toml", net / "port" / "node.toml"
    change(one, "[workers]", "[worker]")
    change(two, 'listen = "127.0.0.1:8102"', "listen = 8102")
    change(two, '"../network.toml"', '"nowhere.toml"')
    said = call("config", "check", one, two)
    assert said.code == ExitCode.CONFIGURATION
    lines = said.out.splitlines()
    where = f"{one}:{line_of(one, '[worker]')}:1"
    assert lines[0] == f"{where}: worker: expected a known key; found worker; the nearest known key is workers"
    assert lines[1].startswith(f"{two}:{line_of(two, 'listen = 8102')}:10: api.listen: expected an address: host:port")
    assert lines[1].endswith("; found 8102")
    assert len(lines) == 2, "what the file names is looked at once the file itself has its form"
    change(two, "listen = 8102", 'listen = "127.0.0.1:8102"')
    assert (
        f"{net / 'port' / 'nowhere.toml'}: expected a file that can be read; found no such"
        in call("config", "check", two).out
    )


def test_problems_for_programs(call: Call, net: Path) -> None:
    file = net / "bank" / "node.toml"
    change(file, "[log]", "[log]\nlevle = 1")
    said = call("config", "check", file, net / "network.toml", "--json")
    assert said.code == ExitCode.CONFIGURATION
    first, second = said.json["files"]
    assert second["problems"] == []
    assert first["problems"] == [
        {
            "file": str(file),
            "line": line_of(file, "levle"),
            "column": 1,
            "key": "log.levle",
            "expected": "a known key",
            "found": "levle",
            "nearest": "log.level",
        }
    ]


def test_a_command_that_needs_a_file_shows_its_problems_too(call: Call, net: Path) -> None:
    change(net / "network.toml", "power = 1", "power = -1")
    said = call("network", "show", net / "network.toml", "--json")
    assert said.code == ExitCode.CONFIGURATION
    assert [p["key"] for p in said.json["error"]["problems"]] == ["genesis.validators[0].power"]


def test_show_marks_defaults(call: Call, net: Path) -> None:
    file = net / "bank" / "node.toml"
    values = {row["key"]: row for row in call("config", "show", file, "--json").json}
    assert values["data_directory"] == {"key": "data_directory", "value": "data", "line": None, "default": True}
    assert values["peers.listen"]["value"] == "127.0.0.1:7100"
    assert values["peers.listen"]["line"] == line_of(file, "listen =")
    rows = {line.split()[0]: line for line in call("config", "show", file).out.splitlines()}
    assert rows["data_directory"].endswith("default")
    assert rows["peers.listen"].endswith(f"line {line_of(file, 'listen =')}")
    assert "genesis.parameters.delta_ms" in call("config", "show", net / "network.toml").out


def test_show_shows_no_key_file(call: Call, net: Path) -> None:
    said = call("config", "show", net / "bank" / "keys" / "node.key")
    assert said.code == ExitCode.CONFIGURATION
    assert "papilio key show" in said.err
    assert (net / "bank" / "keys" / "node.key").read_text().split("ed25519-secret:")[1][:16] not in said.err


@pytest.mark.parametrize("kind", SAMPLES)
def test_samples(call: Call, kind: str) -> None:
    said = call("config", "sample", kind)
    assert (said.code, said.out) == (0, SAMPLES[kind]())


def test_a_table_on_a_terminal(call: Call, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    said = call("config", "show", net / "bank" / "node.toml")
    assert said.code == 0
    assert "peers.addresses" in said.out
    assert "[]" in said.out, "brackets are text, not markup"
