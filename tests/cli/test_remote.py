"""Commands that ask a node: one that really runs, one that is not there, and proofs with no node at all."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import pytest

from daemon.api.status import MemoryPhase
from daemon.cli.remote import bytes_text, duration_text, endpoints, receipt_lines, safe
from daemon.cli.status import memory_text, unheard_text
from daemon.client import Account
from daemon.client.local import LocalNetwork, free_port
from daemon.client.views import Receipt
from daemon.config.write import to_toml
from protocol.errors import CODES
from tests.cli.calling import Call
from tests.client.server import answer, serving

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def node(papilio_network: LocalNetwork, monkeypatch: pytest.MonkeyPatch) -> LocalNetwork:
    """A network that runs, and the environment that names it."""
    monkeypatch.setenv("PAPILIO_NODE", papilio_network.endpoint)
    return papilio_network


@pytest.fixture
def alice(tmp_path: Path) -> Path:
    Account.create(tmp_path / "alice.key")
    return tmp_path / "alice.key"


@pytest.fixture
def document(tmp_path: Path) -> Path:
    file = tmp_path / "report.txt"
    file.write_text("42 pallets\n")
    return file


# -- Without a node -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [["status"], ["tx", "00" * 32], ["block"], ["account", "00" * 32], ["events"], ["proof", "get", "00" * 32]],
    ids=lambda command: command[0],
)
def test_a_node_that_cannot_be_reached(call: Call, command: list[str]) -> None:
    said = call(*command, "--node", "http://127.0.0.1:1", "--timeout", "0.2")
    assert (said.code, said.out) == (4, "")
    assert said.err.splitlines()[0] == "papilio: no node answered:"
    assert "http://127.0.0.1:1: cannot be reached" in said.err
    assert "papilio dev" in said.err
    said = call(*command, "--node", "http://127.0.0.1:1", "--timeout", "0.2", "--json")
    assert (said.code, said.json["error"]["code"]) == (4, "unreachable")
    assert list(said.json["error"]["attempts"]) == ["http://127.0.0.1:1"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["status", "--node", "127.0.0.1:8100"], "one looks like http://127.0.0.1:8100"),
        (["tx", "0011"], "found 4 digits"),
        (["tx", "account:" + "00" * 32], "begins with account:"),
        (["block", "high"], "neither a height nor the word latest"),
        (["account"], "say which account"),
        (["events", "--after", "3", "--from-start"], "say two things"),
        (["proof", "get"], "say what to prove"),
        (["proof", "get", "--state", "points.gold"], "there are"),
        (["proof", "get", "--state", "points.balance", "--part", "00"], "has the parts: programme, account"),
    ],
)
def test_wrong_words_are_answered_with_right_ones(call: Call, command: list[str], words: str) -> None:
    said = call(*command)
    assert (said.code, said.out) == (2, "")
    assert words in " ".join(said.err.split())


def test_which_node_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from daemon.config.node import ApiTable, NodeFile, PeersTable
    from daemon.config.texts import Address

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PAPILIO_NODE", raising=False)
    assert endpoints(()) == ("http://127.0.0.1:8100",)
    for host, expected in (("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("10.1.2.3", "10.1.2.3")):
        listen = PeersTable(listen=Address("127.0.0.1", 7100))
        settings = NodeFile(peers=listen, api=ApiTable(listen=Address(host, 8123)))
        (tmp_path / "node.toml").write_text(to_toml(settings))
        assert endpoints(()) == (f"http://{expected}:8123",)
    monkeypatch.setenv("PAPILIO_NODE", "http://a:1, http://b:2,")
    assert endpoints(()) == ("http://a:1", "http://b:2")
    assert endpoints(("http://c:3", "http://c:3")) == ("http://c:3",)


@pytest.mark.parametrize("from_height", [1, 70])
def test_from_where_on_an_account_is_known(call: Call, from_height: int) -> None:
    keys: dict[str, object] = {"account": "00" * 32, "keys": None, "threshold": 1, "member": None, "height": 99}
    listed = keys | {"transactions": [], "next_after": None, "from_height": from_height}
    pages = [[answer(json.dumps(page).encode())] for page in (keys, listed) * 2]
    with serving(*pages) as server:
        said = call("account", "00" * 32, "--node", server.url)
        assert call("account", "00" * 32, "--node", server.url, "--json").json["from_height"] == from_height
    words = "this node knows this account's transactions from block 70 on: it joined by a snapshot"
    assert (words in said.out.splitlines()) is (from_height == 70)


def test_results_that_the_node_could_not_open() -> None:
    """Of a transaction whose block is pruned; an operation without a result has the empty one."""
    lines = receipt_lines(Receipt(bytes(32), 1, 0, 0, "ok", None, "", ("", "91cc80", {"number": 7}), 0))
    assert lines[4:] == ["result 2     encoded 91cc80", "result 3     number 7"]


# -- With one -----------------------------------------------------------------------------------------


def test_from_a_document_to_a_proof(
    call: Call, node: LocalNetwork, alice: Path, document: Path, tmp_path: Path
) -> None:
    said = call("submit", "evidence", "record", "--digest-of", document, "--step", "delivery", "--key", alice)
    assert said.code == 0, said.err
    assert said.out.splitlines()[0] == "outcome      final: applied"
    listed = call("account", "--key", alice, "--json").json["transactions"]
    transaction = listed[0]["transaction"]
    assert f"transaction  {transaction}" in said.out
    assert f"transaction {transaction}" in said.err
    told = call("tx", transaction, "--wait", "5")
    assert told.code == 0
    assert told.out == said.out
    file = tmp_path / "receipt.proof"
    assert call("proof", "get", transaction, "--out", file).out.strip() == str(file)
    network = ["--network", node.network_file]
    verified = call("proof", "verify", file, *network, "--document", document)
    assert verified.code == 0
    assert verified.out.splitlines()[0].startswith("RECORDED: the transaction was applied")
    assert f"records the very bytes of {document}" in verified.out
    shown = call("proof", "show", file, *network)
    assert shown.code == 0
    assert '(step "delivery")' in shown.out
    facts = call("proof", "verify", file, *network, "--json").json
    assert (facts["verified"], facts["applied"], facts["transaction"]) == (True, True, transaction)


def test_a_proof_that_proves_nothing(
    call: Call, node: LocalNetwork, alice: Path, document: Path, tmp_path: Path, made_network: Path
) -> None:
    """Altered in any byte, of another network, about another document: exit code 5 and words."""
    facts = call("submit", "evidence", "record", "--digest-of", document, "--key", alice, "--json").json
    file = tmp_path / "receipt.proof"
    call("proof", "get", facts["transaction"], "--out", file)
    network = ["--network", node.network_file]
    (tmp_path / "other.txt").write_text("43 pallets\n")
    said = call("proof", "verify", file, *network, "--document", tmp_path / "other.txt", "--json")
    assert (said.code, said.json["error"]["code"]) == (5, "proof_other_document")
    said = call("proof", "verify", file, "--network", made_network)
    assert (said.code, said.out, "proof_wrong_network" in said.err) == (5, "", True)
    data = file.read_bytes()
    for at in (0, 40, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        said = call("proof", "verify", file, *network)
        assert (said.code, said.out) == (5, "")
        assert "NOT PROVEN" in said.err
        assert call("proof", "show", file, *network).code == 5
    assert call("proof", "verify", tmp_path / "none", *network).code == 78
    assert call("proof", "verify", file, "--network", tmp_path / "none").code == 78


def test_a_refusal_by_the_ledger_and_its_proof(call: Call, node: LocalNetwork, alice: Path, tmp_path: Path) -> None:
    """Exit code 1 all the way: a failure is never shown as success."""
    arguments = ["evidence", "revoke", "--id", "00" * 16, "--reason", "1"]
    said = call("submit", *arguments, "--key", alice, "--json")
    error = said.json["error"]
    assert (said.code, error["code"], error["receipt"]["code"]) == (1, "not_found", "not_found")
    assert CODES["not_found"].retry.value == error["retry"]
    told = call("tx", error["transaction"])
    assert told.code == 1
    assert told.out.splitlines()[0] == "outcome      final: refused by the ledger, nothing changed"
    file = tmp_path / "refused.proof"
    call("proof", "get", error["transaction"], "--out", file)
    verified = call("proof", "verify", file, "--network", node.network_file)
    assert (verified.code, verified.out.startswith("REFUSED")) == (1, True)
    assert "Nothing was done." in call("proof", "show", file, "--network", node.network_file).out


def test_operations_from_a_file_and_from_standard_input(
    call: Call, node: LocalNetwork, alice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grant(number: int) -> dict[str, object]:
        arguments = {"delegate": f"{number:064x}", "rights": 1, "until_ms": None}
        return {"app": "evidence", "name": "grant", "arguments": arguments}

    file = tmp_path / "operations.json"
    file.write_text(json.dumps([grant(1), grant(2)]))
    assert len(call("submit", "--file", file, "--key", alice, "--json").json["results"]) == 2
    with file.open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert call("submit", "--file", "-", "--key", alice).code == 0


def test_results_are_shown(call: Call, node: LocalNetwork) -> None:
    terms = ["--name", "Test", "--unit", "point", "--transferable", "true", "--redeemer-consents", "false"]
    terms += ["--claim-units-max", "100", "--supply-max", "1000"]
    said = call("submit", "points", "open_programme", "--label", "cli", *terms, "--key", node.key_file)
    assert said.code == 0, said.err
    assert "result 1     programme " in said.out


def test_status_block_and_events(call: Call, node: LocalNetwork, alice: Path, document: Path) -> None:
    facts = call("submit", "evidence", "record", "--digest-of", document, "--key", alice, "--json").json
    said = call("status")
    assert said.code == 0
    assert f"network    dev, network:{node.network_id.hex()}" in said.out
    assert call("status", "--json").json["node"]["ready"] is True
    block = call("block", facts["height"])
    assert facts["transaction"] in block.out
    assert call("block", facts["height"], "--json").json["height"] == facts["height"]
    assert call("block", "999999999").code == 1
    after = ["--after", facts["log_index"] - 1] if facts["log_index"] else ["--from-start"]
    event = call("events", *after, "--count", "1", "--json").json
    assert (event["transaction"], event["log_index"]) == (facts["transaction"], facts["log_index"])
    account = event["account"]
    line = call("events", *after, "--count", "1", "--app", "evidence", "--account", account).out
    assert line.split()[0] == str(facts["log_index"])
    assert line.rstrip().endswith("evidence.record")


def test_status_names_the_phase_of_the_memory_as_the_handbook_does() -> None:
    for phase in get_args(MemoryPhase):
        said = memory_text({"memory": {"phase": phase, "vote_floor": 7, "waiting_for": ["port"]}})
        assert said.startswith(f"{phase}: ") == (phase != "known")
    assert memory_text({"memory": {"phase": "known"}}) == ""
    assert memory_text({}) == "", "an observer"


def test_status_says_whom_it_does_not_hear_and_whether_a_quorum_is_left() -> None:
    validators = [{"member": name, "node_key": name, "power": 1} for name in ("ash", "bay", "elm", "fig")]
    network = {"validators": validators, "quorum_power": 3, "total_power": 4}
    assert unheard_text({"node_key": "ash", "hears": ["bay", "elm", "fig"]}, network) == ""
    assert unheard_text({"node_key": "ash", "hears": ["bay", "elm"]}, network) == "fig"
    assert unheard_text({"node_key": "oak", "hears": ["bay", "elm"]}, network).startswith(
        "ash, fig; without them 2 of 4"
    )


def test_a_proof_of_state_and_of_absence(
    call: Call, node: LocalNetwork, alice: Path, document: Path, tmp_path: Path
) -> None:
    call("submit", "evidence", "record", "--digest-of", document, "--key", alice)  # so that a header covers something
    file = tmp_path / "state.proof"
    parts = ["--part", "00" * 16, "--part", "00" * 32]
    assert call("proof", "get", "--state", "points.balance", *parts, "--out", file).code == 0
    said = call("proof", "verify", file, "--network", node.network_file)
    assert (said.code, said.out.startswith("ABSENT")) == (0, True)
    facts = call("proof", "verify", file, "--network", node.network_file, "--json").json
    assert (facts["kind"], facts["space"], facts["value"]) == ("state", "points.balance", None)


def test_a_proof_of_what_is_only_ever_added(
    call: Call, node: LocalNetwork, alice: Path, document: Path, tmp_path: Path
) -> None:
    """By the document's digest, with the account as papilio shows it; opened in words and for programs."""
    call("submit", "evidence", "record", "--digest-of", document, "--key", alice)
    account = call("key", "show", alice, "--json").json["account"]
    digest = hashlib.sha256(document.read_bytes()).hexdigest()
    file = tmp_path / "record.proof"
    parts = ["--part", "1", "--part", digest, "--part", account]
    assert call("proof", "get", "--state", "evidence.digest", *parts, "--out", file).code == 0
    said = call("proof", "show", file, "--network", node.network_file).out
    assert said.startswith("PRESENT")
    assert f"  digest: {digest}" in said.splitlines()
    facts = call("proof", "verify", file, "--network", node.network_file, "--json").json
    assert (facts["space"], facts["opened"]["digest"]) == ("evidence.record", digest)
    assert f"account:{facts['key'][0]}" == account
    absent = call("proof", "get", "--state", "evidence.record", "--part", account, "--part", "00" * 16)
    assert (absent.code, "absence is not proven" in absent.err) == (1, True)


def test_what_a_node_does_not_know(call: Call, node: LocalNetwork) -> None:
    said = call("tx", "11" * 32)
    assert (said.code, said.out.splitlines()[0]) == (1, "outcome      not seen here: another node may know it")
    assert call("tx", "11" * 32, "--json").json["status"] == "not_seen"


# -- dev ----------------------------------------------------------------------------------------------


@contextmanager
def development(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`papilio dev --json`, and what it printed when it was ready."""
    command = [sys.executable, "-P", "-m", "daemon.cli.doorway", "dev", *map(str, arguments), "--json"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, and inherited, in the background
    try:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        assert process.stdout is not None
        text = ""
        for line in process.stdout:
            text += line
            if line.startswith("}"):
                break
        yield process, json.loads(text)
    finally:
        process.terminate()
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_dev_runs_until_it_is_told_to_stop(call: Call, tmp_path: Path, document: Path, number: signal.Signals) -> None:
    with development(tmp_path / "ledger", "--port", free_port()) as (process, facts):
        arguments = ["--digest-of", document, "--key", facts["key_file"], "--node", facts["endpoint"]]
        assert call("submit", "evidence", "record", *arguments).code == 0
        process.send_signal(number)
        assert process.wait(60) == 0
    assert call("status", "--node", facts["endpoint"], "--timeout", "0.2").code == 4, "nothing is left running"
    with development(tmp_path / "ledger") as (_, again):
        assert again["network_id"] == facts["network_id"]
        said = call("account", again["account"], "--node", again["endpoint"], "--json")
        assert len(said.json["transactions"]) == 1, "it goes on where it was"


def test_dev_without_a_directory_leaves_none(call: Call) -> None:
    with development() as (_, facts):
        directory = Path(facts["directory"])
        assert directory.is_dir()
    assert not directory.parent.exists()


def test_dev_refuses_a_directory_of_something_else(call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    said = call("dev", tmp_path)
    assert (said.code, "a new or empty directory" in said.err) == (78, True)


# -- Words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(59_999, "59 s"), (61_000, "1 min 1 s"), (7_260_000, "2 h 1 min"), (90_000_000, "1 d 1 h")],
)
def test_lengths_of_time(milliseconds: int, text: str) -> None:
    assert duration_text(milliseconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 * 2**40, "3.0 TiB")])
def test_sizes(count: int, text: str) -> None:
    assert bytes_text(count) == text


def test_a_terminal_is_told_nothing_that_it_would_obey() -> None:
    assert safe("a\x1b[2Jb\nc") == "a\\u{1b}[2Jb\\u{a}c"
