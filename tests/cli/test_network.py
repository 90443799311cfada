"""`papilio network` and `papilio node`: networks on one machine and on several, and what a person sees of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.cli.exits import ExitCode
from daemon.config.network import load_network
from daemon.config.node import load_node
from daemon.config.texts import NETWORK_ID, Address
from daemon.runtime.forcing import take_command
from tests.cli.calling import Call


def test_a_network_on_this_machine(call: Call, tmp_path: Path) -> None:
    said = call(
        "network", "create", tmp_path / "net", "--name", "demo", "--members", "bank,port,customs,insurer", "--json"
    )
    assert said.code == 0, said.err
    found = load_network(tmp_path / "net" / "network.toml")
    assert said.json["network_id"] == NETWORK_ID.format(found.network_id)
    assert (said.json["power"], said.json["power_tolerated"]) == (4, 1)
    assert [node["member"] for node in said.json["nodes"]] == ["bank", "customs", "insurer", "port"]
    for index, member in enumerate(("bank", "port", "customs", "insurer")):
        node = load_node(tmp_path / "net" / member / "node.toml")
        assert node.settings.peers.listen == Address("127.0.0.1", 7100 + index)
        assert node.settings.api.listen == Address("127.0.0.1", 8100 + index)
        assert len(node.dial) == 3


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ("a", "no failure: there is one validator"),
        ("a,b", "no failure: all 2 validators have to run and be honest"),
        ("a,b,c", "no failure: all 3 validators have to run and be honest"),
        ("a,b,c,d", "1 of 4 validators, stopped or dishonest"),
    ],
)
def test_what_it_tolerates_is_said(call: Call, tmp_path: Path, members: str, words: str) -> None:
    said = call("network", "create", tmp_path / "net", "--name", "demo", "--members", members)
    assert f"tolerates  {words}\n" in said.out
    assert f"papilio run {tmp_path / 'net' / 'a' / 'node.toml'}" in said.err
    assert call("network", "show", tmp_path / "net" / "network.toml").out.splitlines()[:4] == said.out.splitlines()[:4]


def test_validators_addresses_and_parameters(call: Call, tmp_path: Path) -> None:
    options = ["--members", "a,b,c", "--validators", "2", "--host-of", "b=10.0.0.2:7000", "--api-of", "b=10.0.0.2:80"]
    said = call("network", "create", tmp_path / "n", "--name", "x", *options, "--parameter", "delta_ms=77", "--json")
    assert said.code == 0, said.err
    assert [(n["member"], n["role"]) for n in said.json["nodes"]] == [
        ("a", "validator"),
        ("b", "validator"),
        ("c", "observer"),
    ]
    node = load_node(tmp_path / "n" / "b" / "node.toml")
    assert node.settings.peers.listen == Address("10.0.0.2", 7000)
    assert node.settings.api.listen == Address("10.0.0.2", 80)
    assert node.network.genesis.parameters.delta_ms == 77
    assert load_node(tmp_path / "n" / "a" / "node.toml").addresses[node.node_key.public] == Address("10.0.0.2", 7000)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "name the members with --members"),
        (["--members", "a,a"], "a name stands there twice"),
        (["--members", "a,../b"], "'../b' is not a name of letters"),
        (["--members", "a,"], "'' is not a name"),
        (["--members", "a", "--validators", "2"], "more than the 1 members"),
        (["--members", "a", "--host-of", "b=1.2.3.4:5"], "--host-of names b; the members are a"),
        (["--members", "a", "--host-of", "a=1.2.3.4"], "text without a port"),
        (["--members", "a", "--host-of", "1.2.3.4:5"], "has no ="),
        (["--members", "a,b", "--host-of", "b=127.0.0.1:7100"], "two things would listen at 127.0.0.1:7100"),
        (["--members", "a", "--parameter", "delta=5"], "the nearest is delta_ms"),
        (["--members", "a", "--parameter", "delta_ms=fast"], "delta_ms wants an integer"),
        (["card.toml"], "cards are taken with --from-cards"),
        (["--members", "a", "--name", " x"], "a name of 1 to 64 bytes"),
        (["--members", "a", "--name", "x" * 65], 'found "xxx'),
        (["--from-cards"], "--from-cards wants the members' cards"),
        (["card.toml", "--from-cards", "--members", "a"], "--members cannot be used with --from-cards"),
        (["c.toml", "--from-cards", "--host-of", "a=a:1"], "--host-of cannot be used with --from-cards"),
    ],
)
def test_usage(call: Call, tmp_path: Path, options: list[str], words: str) -> None:
    said = call("network", "create", tmp_path / "n", "--name", "x", *options)
    assert said.code == ExitCode.USAGE
    assert words in " ".join(said.err.split())
    assert not (tmp_path / "n").exists()


def test_parameters_out_of_bounds_or_that_do_not_fit(call: Call, tmp_path: Path) -> None:
    for number, words in (("0", "delta_ms"), ("600000", "retry_interval_ms must be at least delta_ms")):
        said = call(
            "network", "create", tmp_path / number, "--name", "x", "--members", "a", "--parameter", f"delta_ms={number}"
        )
        assert said.code == ExitCode.CONFIGURATION, said.err
        assert words in said.err
        assert not (tmp_path / number).exists(), "nothing half made"


def test_an_existing_directory_is_left_alone(call: Call, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    said = call("network", "create", tmp_path, "--name", "x", "--members", "a")
    assert said.code == ExitCode.CONFIGURATION
    assert "overwrites none" in said.err
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_several_machines(call: Call, tmp_path: Path) -> None:
    cards = []
    for index, member in enumerate(("bank", "port", "customs")):
        made = call(
            "node", "create", tmp_path / member, "--member", member, "--address", f"10.0.0.{index}:7100", "--json"
        )
        assert made.code == 0, made.err
        cards.append(made.json["card"])
    watcher = call("node", "create", tmp_path / "watcher", "--member", "bank2", "--observer")
    cards.append(watcher.out.strip())
    assembled = call("network", "create", tmp_path / "net", "--name", "trade", "--from-cards", *cards)
    assert assembled.code == 0, assembled.err
    assert "papilio node join" in assembled.err
    ids = set()
    for member in ("bank", "port", "customs", "watcher"):
        joined = call("node", "join", tmp_path / member, tmp_path / "net" / "network.toml", "--json")
        assert joined.code == 0, joined.err
        ids.add(joined.json["network_id"])
        node = load_node(tmp_path / member / "node.toml")
        assert joined.json["role"] == ("validator" if node.is_validator else "observer")
        assert len(node.dial) == (3 if member == "watcher" else 2)
    assert len(ids) == 1
    assert call("config", "check", *(tmp_path / m / "node.toml" for m in ("bank", "watcher"))).code == 0


def test_two_nodes_of_one_member_whose_account_key_is_elsewhere(call: Call, tmp_path: Path) -> None:
    public = call("key", "new", tmp_path / "account.key", "--json").json["public"]
    for name, options in (("first", []), ("second", ["--observer"])):
        made = call("node", "create", tmp_path / name, "--member", "bank", "--account-key", public, *options)
        assert made.code == 0, made.err
        assert not (tmp_path / name / "keys" / "account.key").exists()
    cards = [tmp_path / name / "member.toml" for name in ("first", "second")]
    assert call("network", "create", tmp_path / "net", "--name", "x", "--from-cards", *cards).code == 0
    genesis = load_network(tmp_path / "net" / "network.toml").genesis
    assert [len(member.keys) for member in genesis.members] == [1]
    assert (len(genesis.validators), len(genesis.observers)) == (1, 1)


def test_an_account_of_two_of_three_keys(call: Call, tmp_path: Path) -> None:
    keys = [call("key", "new", tmp_path / f"{n}.key", "--json").json["public"] for n in range(3)]
    given = [part for key in keys for part in ("--account-key", key)]
    assert call("node", "create", tmp_path / "n", "--member", "bank", *given, "--threshold", "2").code == 0
    card = tmp_path / "n" / "member.toml"
    assert call("network", "create", tmp_path / "net", "--name", "x", "--from-cards", card).code == 0
    (member,) = load_network(tmp_path / "net" / "network.toml").genesis.members
    assert (len(member.keys), member.threshold) == (3, 2)
    assert call("node", "create", tmp_path / "m", "--member", "b", "--threshold", "2").code == ExitCode.USAGE
    said = call("node", "create", tmp_path / "m", "--member", "b", *given, "--threshold", "9")
    assert "9 is not in the range 1<=x<=8" in said.err, "a transaction has no more signatures"


@pytest.mark.parametrize(
    ("options", "listen"),
    [
        ([], Address("127.0.0.1", 7100)),
        (["--address", "10.0.0.1:7200"], Address("10.0.0.1", 7200)),
        (["--address", "node.example:7200"], Address("0.0.0.0", 7200)),
        (["--address", "node.example:7200", "--listen", "[::]:1"], Address("::", 1)),
    ],
)
def test_where_a_node_listens(call: Call, tmp_path: Path, options: list[str], listen: Address) -> None:
    call("node", "create", tmp_path / "n", "--member", "a", *options)
    call("network", "create", tmp_path / "net", "--name", "x", "--from-cards", tmp_path / "n" / "member.toml")
    assert call("node", "join", tmp_path / "n", tmp_path / "net" / "network.toml").code == 0
    assert load_node(tmp_path / "n" / "node.toml").settings.peers.listen == listen


def test_commands_of_a_node_whose_keys_a_service_manager_has(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As configs/papilio.service says: joined, checked and backed up with the directory of the keys."""
    node, data = tmp_path / "node", tmp_path / "lib" / "data"
    data.parent.mkdir()
    assert call("node", "create", node, "--member", "bank").code == 0
    card = node / "member.toml"
    assert call("network", "create", tmp_path / "net", "--name", "x", "--from-cards", card).code == 0
    settings = (node / "node.toml").read_text().replace("keys/", "credential:")
    settings = settings.replace('# data_directory = "data"', f'data_directory = "{data}"')
    settings = settings.replace("# node = ", "node = ")
    (node / "node.toml").write_text(settings)
    join = ("node", "join", node, tmp_path / "net" / "network.toml")
    said = call(*join)
    assert said.code == ExitCode.CONFIGURATION
    assert "CREDENTIALS_DIRECTORY=DIRECTORY papilio …, where node.key is" in said.err
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(node / "keys"))
    assert call(*join).code == 0
    assert (data / "format.json").exists()
    assert call("config", "check", node / "node.toml").code == 0
    assert call("backup", node, tmp_path / "backup").code == 0
    said = call("backup", node, tmp_path / "with-keys", "--keys")
    assert (said.code, "back it up where it is kept" in said.err) == (ExitCode.CONFIGURATION, True)
    said = call("key", "rotate", node / "node.toml")
    assert (said.code, "papilio key new FILE --purpose voting" in said.err) == (ExitCode.CONFIGURATION, True)


def test_joining_a_network_of_others(call: Call, tmp_path: Path) -> None:
    call("node", "create", tmp_path / "bank", "--member", "bank")
    call("network", "create", tmp_path / "net", "--name", "x", "--members", "bank,port")
    said = call("node", "join", tmp_path / "bank", tmp_path / "net" / "network.toml")
    assert said.code == ExitCode.CONFIGURATION
    assert "card.account_keys" in said.err
    assert not (tmp_path / "bank" / "data").exists()


def test_force_vote_explains_the_risk_and_what_may_come_after_and_leaves_the_command(
    call: Call, tmp_path: Path
) -> None:
    """C-24: it holds for the next start; a false twin afterwards is named, with where to read on."""
    call("network", "create", tmp_path / "net", "--name", "demo", "--members", "a,b")
    place = tmp_path / "net" / "a"
    said = call("node", "force-vote", place, "--yes")
    assert (said.code, said.out) == (0, "The next start votes.\n")
    assert "agree with the other members" in said.err
    assert "'a twin'" in said.err
    assert "'After force-vote' in the handbook" in said.err
    assert "### After force-vote" in (Path(__file__).parents[2] / "daemon" / "README.md").read_text()
    directory = load_node(place / "node.toml").data_directory
    assert take_command(directory)
    assert not take_command(directory), "once"
