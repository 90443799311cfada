"""`papilio key`: what a person sees."""

from __future__ import annotations

from pathlib import Path

from daemon.cli.exits import ExitCode
from daemon.config.texts import ACCOUNT, PUBLIC_KEY
from protocol.ledger.records import account_name
from tests.cli.calling import Call


def test_new_and_show(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "alice.key"
    made = call("key", "new", file, "--json")
    assert made.code == 0
    assert made.err == ""
    shown = call("key", "show", file, "--json")
    assert shown.json == made.json
    public = PUBLIC_KEY.parse(shown.json["public"])
    assert shown.json["account"] == ACCOUNT.format(account_name(public))
    assert shown.json["purpose"] == "account"


def test_for_a_person(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "alice.key"
    made = call("key", "new", file)
    assert "nobody can make this key again" in made.err
    assert [line.split()[0] for line in made.out.splitlines()] == ["purpose", "public", "account"]
    assert call("key", "show", file).out == made.out


def test_no_secret_is_printed(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "v.key"
    said = [
        call("key", "new", file, "--purpose", "voting"),
        call("key", "show", file),
        call("key", "show", file, "--json"),
    ]
    secret = file.read_text().split("ed25519-secret:")[1][:64]
    assert not [s for s in said if secret in s.out + s.err or "secret" in s.out]


def test_refusals(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "alice.key"
    call("key", "new", file)
    again = call("key", "new", file)
    assert again.code == ExitCode.CONFIGURATION
    assert again.err == f"papilio: {file}: expected a new file; found one that exists; papilio overwrites none\n"
    file.chmod(0o644)
    open_to_others = call("key", "show", file, "--json")
    assert open_to_others.code == ExitCode.CONFIGURATION
    assert open_to_others.json["error"]["code"] == "configuration"
    assert "chmod 600" in open_to_others.json["error"]["problems"][0]["expected"]
    assert call("key", "new", tmp_path / "none" / "x.key").code == ExitCode.CONFIGURATION
    assert call("key", "new", tmp_path / "x", "--purpose", "node").code == ExitCode.USAGE
