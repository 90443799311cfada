"""node.toml with the network and keys that it names: what a node comes to, and every problem of all files at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config.node import Node, NodeFile, load_node
from daemon.config.problems import ConfigurationFault
from daemon.config.texts import PUBLIC_KEY, Address
from tests.config.made import change, line_of, network


@pytest.fixture
def net(tmp_path: Path) -> Path:
    network(tmp_path / "net")
    return tmp_path / "net"


def problems(file: Path) -> dict[str, str]:
    """Key -> the whole message; problems of other files under their file's name."""
    with pytest.raises(ConfigurationFault) as caught:
        load_node(file)
    return {p.key or Path(p.file).name: str(p) for p in caught.value.problems}


def add(file: Path, table: str, line: str) -> None:
    change(file, f"[{table}]\n", f"[{table}]\n{line}\n")


def node_key(net: Path, member: str) -> bytes:
    return load_node(net / member / "node.toml").node_key.public


def test_a_validator(net: Path) -> None:
    found = load_node(net / "bank" / "node.toml")
    assert found.is_validator
    assert found.member == "bank"
    assert found.data_directory == net / "bank" / "data"
    assert found.settings.api.listen == Address("127.0.0.1", 8100)
    assert set(found.dial) == {node_key(net, "customs"), node_key(net, "port")}
    assert found.addresses[node_key(net, "port")] == Address("127.0.0.1", 7102)
    assert found.node_key.public not in found.addresses


def test_an_observer(net: Path) -> None:
    found = load_node(net / "port" / "node.toml")
    assert not found.is_validator
    assert found.voting_key is None
    assert found.member == "port"


def test_its_text_shows_no_secret(net: Path) -> None:
    text = repr(load_node(net / "bank" / "node.toml"))
    for file in (net / "bank" / "keys").iterdir():
        assert file.read_text().split("ed25519-secret:")[1][:64] not in text


def test_problems_of_all_files_at_once(net: Path) -> None:
    file = net / "bank" / "node.toml"
    change(file, 'listen = "127.0.0.1:8100"', 'listne = "127.0.0.1:8100"')
    change(net / "network.toml", "idle_interval_ms = 10000", "idle_interval_ms = -1")
    (net / "bank" / "keys" / "node.key").chmod(0o644)
    (net / "bank" / "keys" / "voting.key").unlink()
    found = problems(file)
    assert set(found) == {"api.listne", "genesis.parameters.idle_interval_ms", "node.key", "voting.key"}
    assert found["api.listne"].startswith(f"{file}:{line_of(file, 'listne')}:1: ")
    assert found["api.listne"].endswith("the nearest known key is api.listen")
    assert "at least 1" in found["genesis.parameters.idle_interval_ms"]


def test_a_validator_without_its_voting_key(net: Path) -> None:
    file = net / "bank" / "node.toml"
    change(file, 'voting = "keys/voting.key"', "")
    assert "genesis makes this node a validator" in problems(file)["keys.voting"]


def test_a_validator_with_another_voting_key(net: Path) -> None:
    file = net / "bank" / "node.toml"
    change(file, '"keys/voting.key"', '"../customs/keys/voting.key"')
    words = problems(file)["keys.voting"]
    assert "the key of this validator's votes" in words
    assert f":{line_of(file, 'voting = ')}:" in words


def test_an_observer_with_a_voting_key(net: Path) -> None:
    file = net / "port" / "node.toml"
    add(file, "keys", 'voting = "../bank/keys/voting.key"')
    assert "no validator of" in problems(file)["keys.voting"]


def test_a_node_that_genesis_does_not_know_is_an_observer(net: Path, tmp_path: Path) -> None:
    other = network(tmp_path / "other").file
    file = net / "port" / "node.toml"
    change(file, '"../network.toml"', f'"{other}"')
    found = load_node(file)
    assert (found.member, found.is_validator) == (None, False)


def test_keys_at_the_wrong_places(net: Path) -> None:
    file = net / "bank" / "node.toml"
    change(file, '"keys/voting.key"', '"keys/node.key"')
    add(file, "keys", 'node = "keys/account.key"')
    found = problems(file)
    assert "found one made for" in found["purpose"]
    assert "a journal's id" in found["journal"]


def test_dialling_some(net: Path) -> None:
    file = net / "bank" / "node.toml"
    key = node_key(net, "customs")
    add(file, "peers", f'dial = ["{PUBLIC_KEY.format(key)}"]')
    assert load_node(file).dial == (key,)
    change(file, f'"{PUBLIC_KEY.format(key)}"', "")
    assert load_node(file).dial == ()


def test_addresses_as_seen_from_here(net: Path) -> None:
    file = net / "bank" / "node.toml"
    key, stranger = PUBLIC_KEY.format(node_key(net, "customs")), PUBLIC_KEY.format(b"\x07" * 32)
    with file.open("a") as stream:
        for node, address in ((key, "10.0.0.7:1"), (stranger, "10.0.0.8:1")):
            stream.write(f'[[peers.addresses]]\nnode_key = "{node}"\naddress = "{address}"\n')
    found = load_node(file)
    assert found.addresses[PUBLIC_KEY.parse(key)] == Address("10.0.0.7", 1)
    assert PUBLIC_KEY.parse(stranger) in found.dial


def test_dialling_itself_or_nowhere(net: Path) -> None:
    file = net / "bank" / "node.toml"
    own, stranger = PUBLIC_KEY.format(node_key(net, "bank")), PUBLIC_KEY.format(b"\x07" * 32)
    add(file, "peers", f'dial = ["{own}",\n"{stranger}"]')
    found = problems(file)
    assert "this node's own" in found["peers.dial[0]"]
    assert f"{file}:{line_of(file, stranger)}:1: " in found["peers.dial[1]"]


def test_observers_that_may_follow_here(net: Path) -> None:
    file = net / "bank" / "node.toml"
    assert load_node(file).observers == frozenset()
    add(file, "peers", f'observers = ["{PUBLIC_KEY.format(b"o" * 32)}"]')
    assert load_node(file).observers == {b"o" * 32}


@pytest.mark.parametrize(
    ("table", "line", "key"),
    [
        ("log", 'format = "xml"', "log.format"),
        ("log", 'level = "loud"', "log.level"),
        ("workers", "verify = 0", "workers.verify"),
        ("workers", "verify = true", "workers.verify"),
        ("peers", "connections_max = 100000", "peers.connections_max"),
        ("peers", 'observers = "all"', "peers.observers"),
        ("api", "connections_max = 1.5", "api.connections_max"),
    ],
)
def test_values_that_are_not_what_their_key_wants(net: Path, table: str, line: str, key: str) -> None:
    file = net / "bank" / "node.toml"
    add(file, table, line)
    assert set(problems(file)) == {key}


@pytest.mark.parametrize("half", ["height = 7", f'hash = "{"ab" * 32}"'])
def test_half_a_pin_is_refused(net: Path, half: str) -> None:
    """C-23: it would pin nothing."""
    file = net / "bank" / "node.toml"
    add(file, "pinned", half)
    assert "height and hash together" in problems(file)["pinned"]
    add(file, "pinned", f'hash = "{"ab" * 32}"' if half.startswith("height") else "height = 7")
    assert load_node(file).pinned == (7, b"\xab" * 32)


def test_the_api_is_on_loopback_unless_told_otherwise() -> None:
    assert NodeFile.model_fields["api"].default.listen.is_loopback


def test_nothing_can_be_changed(net: Path) -> None:
    found: Node = load_node(net / "bank" / "node.toml")
    with pytest.raises(ValueError, match="frozen"):
        found.settings.log.level = "debug"
