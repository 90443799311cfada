"""`papilio members`: what a member sees, and every refusal with words; on the ledger nothing comes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daemon.cli.exits import ExitCode
from daemon.client import Account
from daemon.client.local import LocalNetwork
from daemon.config.keyfiles import create_key, load_key
from daemon.config.texts import PUBLIC_KEY
from protocol.errors import CODES
from tests.cli.calling import Call, Said


@pytest.fixture
def node(papilio_network: LocalNetwork, monkeypatch: pytest.MonkeyPatch) -> LocalNetwork:
    """A network of one that runs, and the environment that names it."""
    monkeypatch.setenv("PAPILIO_NODE", papilio_network.endpoint)
    return papilio_network


class Member:
    """The only member, at its command line."""

    def __init__(self, call: Call, network: LocalNetwork) -> None:
        self.call = call
        self.key = network.key_file
        keys = network.key_file.parent
        self.voting_key, self.node_key = public(keys / "voting.key"), public(keys / "node.key")

    def __call__(self, *arguments: object) -> Said:
        return self.call("members", *arguments, "--key", self.key)

    def propose(self, *changes: object) -> int:
        """The number of a new proposal; its proposer's approval is enough among one."""
        said = self("propose", *changes, "--note", "a try", "--json")
        assert said.code == 0, said.err
        proposals: list[dict[str, Any]] = self.call("members", "show", "--json").json["proposals"]
        return int(proposals[-1]["proposal"])


@pytest.fixture
def member(call: Call, node: LocalNetwork) -> Member:
    return Member(call, node)


def public(file: Path) -> str:
    return PUBLIC_KEY.format(load_key(str(file), None, Path()).key.public)


def new_key(file: Path) -> str:
    return PUBLIC_KEY.format(create_key(file, "voting").key.public)


def refused(said: Said, exit_code: ExitCode, *words: str) -> None:
    assert said.code == exit_code, said.err
    assert said.out == ""
    for part in words:
        assert part in said.err


def test_show_tells_rule_validators_and_proposals(member: Member) -> None:
    number = member.propose("--quota", "dev", 2**40)
    shown = member.call("members", "show")
    assert "1 of 1 members must approve a change" in shown.out
    assert f"{member.voting_key.removeprefix('ed25519:')[:16]}…  power 1  seen" in shown.out
    one = member.call("members", "show", number)
    assert one.out.splitlines()[0] == f"proposal   {number}, open, by dev: a try"
    assert "approvals  dev" in one.out
    facts = member.call("members", "show", number, "--json").json
    assert (facts["status"], facts["approvals"], facts["needs_ready"]) == ("open", ["dev"], [])
    refused(member.call("members", "show", 9_999), ExitCode.FAILED, "there is no proposal 9999", "papilio members show")


def test_a_proposal_goes_its_way(member: Member) -> None:
    number = member.propose("--quota", "dev", 2**41)
    refused(member("approve", number), ExitCode.FAILED, "already_exists", "approves proposal")
    assert member("execute", number).code == 0
    refused(member("execute", number), ExitCode.FAILED, "proposal_closed", "was executed")
    other = member.propose("--quota", "dev", 2**40)
    assert member("withdraw", other).code == 0
    for command in ("approve", "execute", "withdraw"):
        refused(member(command, other), ExitCode.FAILED, "proposal_closed", "was withdrawn by all who approved it")


@pytest.mark.parametrize(
    "changes, words",
    [
        ((), "say what to change"),
        (("--approvals", "most"), "--approvals: a number, or 'default'"),
        (("--remove-validator", "ed25519:12"), "expected a public key: ed25519: and 64"),
        (("--power", "KEY", 0), "0 is not in the range"),
        (("--add-member", "delta", "account:12", 1), "expected an account: account: and 64"),
    ],
)
def test_what_is_no_change_is_a_usage_error(member: Member, changes: tuple[object, ...], words: str) -> None:
    given = [member.voting_key if each == "KEY" else each for each in changes]
    refused(member("propose", *given, "--note", "a try"), ExitCode.USAGE, words)


@pytest.mark.parametrize(
    "changes, code",
    [
        (("--remove-validator", "VOTING"), "bad_arguments"),
        (("--remove-member", "dev"), "bad_arguments"),
        (("--remove-member", "nobody"), "not_found"),
        (("--rotate", "NODE", "NEW"), "not_found"),
        (("--rotate", "VOTING", "VOTING"), "key_used_before"),
        (("--rotate-node", "NODE", "NODE"), "already_exists"),
        (("--add-node", "-", "NODE"), "already_exists"),
        (("--approvals", "2"), "bad_arguments"),
    ],
)
def test_a_change_that_cannot_be_carried_out_is_not_even_proposed(
    member: Member, tmp_path: Path, changes: tuple[object, ...], code: str
) -> None:
    names = {"VOTING": member.voting_key, "NODE": member.node_key, "NEW": new_key(tmp_path / "new.key")}
    before = member.call("members", "show", "--json").json["proposals"]
    given = [names.get(str(each), each) for each in changes]
    refused(member("propose", *given, "--note", "a try"), ExitCode.FAILED, f"papilio: {code}: operation 0: ")
    assert code in CODES
    assert member.call("members", "show", "--json").json["proposals"] == before


def test_too_few_who_are_up_are_refused_with_words_unless_forced(member: Member, tmp_path: Path) -> None:
    """Two validators need both; the new one is not heard, and has not said that it is ready."""
    voting, node = new_key(tmp_path / "voting.key.next"), new_key(tmp_path / "other.key")
    number = member.propose("--add-validator", "dev", node, voting, 1)
    said = member("execute", number)
    refused(said, ExitCode.CONFIGURATION, "only power 1 of the 2", "would stop until they are back", "--force")
    assert voting.removeprefix("ed25519:")[:16] in said.err, "it says who is not heard"
    # The ledger itself asks that a new key be ready, whatever a command is told.
    refused(member("execute", number, "--force"), ExitCode.FAILED, "key_not_ready")
    assert member("withdraw", number).code == 0


def test_ready_is_said_by_the_key_of_the_proposal(member: Member, tmp_path: Path) -> None:
    new, other = tmp_path / "voting.key.next", tmp_path / "other.key"
    number = member.propose("--rotate", member.voting_key, new_key(new))
    new_key(other)

    def ready(key: Path) -> Said:
        return member.call("members", "ready", number, "--voting-key", key)

    refused(ready(other), ExitCode.FAILED, "not_found", "brings in no voting key")
    refused(ready(member.key), ExitCode.CONFIGURATION, "a key made for voting")
    assert ready(new).code == 0
    shown = member.call("members", "show", number).out
    assert "… ready" in shown
    refused(ready(new), ExitCode.FAILED, "already_exists", "is ready already")
    assert member("withdraw", number).code == 0


def test_ready_needs_no_key_but_that_of_the_votes(call: Call) -> None:
    assert "Required." not in call("members", "ready", "--help").out


def test_who_is_no_member_decides_nothing(member: Member, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.key"
    Account.create(stranger)
    number = member.propose("--quota", "dev", 2**42)
    for arguments in (("propose", "--quota", "dev", 1, "--note", "mine"), ("approve", number), ("execute", number)):
        said = member.call("members", *arguments, "--key", stranger)
        refused(said, ExitCode.FAILED, "forbidden", "the sender is not a member")


@pytest.mark.parametrize("command", [("show",), ("show", 1), ("execute", 1)], ids=str)
def test_a_node_that_is_not_there(call: Call, tmp_path: Path, command: tuple[object, ...]) -> None:
    Account.create(tmp_path / "a.key")
    key = () if command[0] == "show" else ("--key", tmp_path / "a.key")
    said = call("members", *command, *key, "--node", "http://127.0.0.1:1", "--timeout", "0.2")
    refused(said, ExitCode.UNREACHABLE, "no node answered")
