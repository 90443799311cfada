"""`papilio restart sign`, `gather` and `verify`: signatures come together in one file, which anyone verifies."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.cli.exits import ExitCode
from daemon.restart.files import DOCUMENT, read_restart, write_restart
from protocol.restart.document import restart_file
from tests.cli.calling import Call
from tests.restart.made import Old
from tests.restart.test_whole import key_text


@pytest.fixture(scope="module")
def old() -> Old:
    return Old()


@pytest.fixture
def folders(old: Old, tmp_path: Path) -> tuple[Path, Path]:
    """The same document at two members, and beside them the account keys of all four."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_restart(tmp_path / name, restart_file(old.document(), ()))
    for member in range(4):
        file = tmp_path / f"m{member}.key"
        file.write_text(key_text("account", old.account(member)))
        file.chmod(0o600)
    return tmp_path / "one", tmp_path / "two"


def test_signatures_are_added_gathered_and_verified(call: Call, folders: tuple[Path, Path]) -> None:
    one, two = folders
    keys = [one.parent / f"m{member}.key" for member in range(4)]
    for folder, member in ((one, 0), (one, 0), (one, 1), (two, 3)):
        said = call("restart", "sign", folder / DOCUMENT, "--key", keys[member], "--yes")
        assert said.code == ExitCode.DONE, said.err
    assert len(read_restart(one).approvals) == 2, "each signature once"

    said = call("restart", "verify", one)
    assert said.code == ExitCode.FAILED, "fewer than the old rule asks for"
    assert "TOO FEW" in said.out
    said = call("restart", "gather", one, two, "--json")
    assert said.code == ExitCode.DONE, said.err
    assert said.json["signed"] == ["m0", "m1", "m3"]
    assert call("restart", "verify", one).code == ExitCode.DONE


def test_another_document_is_not_gathered(call: Call, old: Old, folders: tuple[Path, Path]) -> None:
    one, two = folders
    write_restart(two, restart_file(old.document(old.report(0), old.report(1), old.report(2)), ()))
    said = call("restart", "gather", one, two)
    assert said.code == ExitCode.UNVERIFIED
    assert "is another document" in said.err
