"""Key files: made for one reader, never overwritten, never shown, refused when others could have read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from daemon.config.keyfiles import create_key, load_key
from daemon.config.problems import ConfigurationFault
from daemon.config.texts import PUBLIC_KEY, SECRET_KEY
from protocol.crypto.contexts import Context
from tests.config.made import change, line_of

JOURNAL = bytes(range(16))


def refusal(reference: str, base: Path, purpose: str | None = None) -> str:
    with pytest.raises(ConfigurationFault) as caught:
        load_key(reference, purpose, base)  # type: ignore[arg-type]
    return caught.value.words


@pytest.mark.parametrize("purpose", ["account", "voting"])
def test_made_and_loaded(tmp_path: Path, purpose: str) -> None:
    made = create_key(tmp_path / "a.key", purpose)  # type: ignore[arg-type]
    found = load_key("a.key", purpose, tmp_path)  # type: ignore[arg-type]
    assert found.key.public == made.key.public
    assert found.key.sign(Context.ENVELOPE, bytes(32), b"x") == made.key.sign(Context.ENVELOPE, bytes(32), b"x")


def test_two_keys_differ(tmp_path: Path) -> None:
    keys = {create_key(tmp_path / str(i), "account").key.public for i in range(3)}
    assert len(keys) == 3


def test_c24_a_node_key_stands_with_its_journals_id(tmp_path: Path) -> None:
    create_key(tmp_path / "node.key", "node", journal_id=JOURNAL)
    assert load_key("node.key", "node", tmp_path).journal_id == JOURNAL
    create_key(tmp_path / "bare.key", "node")
    assert "a journal's id" in refusal("bare.key", tmp_path, "node")


def test_only_the_owner_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        create_key(tmp_path / "a.key", "account")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    create_key(tmp_path / "a.key", "account")
    text = (tmp_path / "a.key").read_text()
    with pytest.raises(ConfigurationFault, match="overwrites none"):
        create_key(tmp_path / "a.key", "account")
    assert (tmp_path / "a.key").read_text() == text
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationFault, match="overwrites none"):
        create_key(tmp_path / "link", "account")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620, 0o602, 0o677])
def test_refused_when_others_can_read_or_change_it(tmp_path: Path, mode: int) -> None:
    create_key(tmp_path / "a.key", "account")
    (tmp_path / "a.key").chmod(mode)
    words = refusal("a.key", tmp_path)
    assert f"mode {mode:04o}" in words
    assert f"chmod 600 '{tmp_path / 'a.key'}'" in words


def test_refused_when_it_belongs_to_someone_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_key(tmp_path / "a.key", "account")
    really = os.fstat

    def given_away(descriptor: int) -> os.stat_result:
        fields = list(really(descriptor))
        fields[stat.ST_UID] = 12345
        return os.stat_result(fields)

    monkeypatch.setattr(os, "fstat", given_away)
    assert "one of user 12345" in refusal("a.key", tmp_path)


def test_what_is_no_key_file(tmp_path: Path) -> None:
    assert "no such file" in refusal("none.key", tmp_path)
    assert "no regular file" in refusal(".", tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "no regular file" in refusal("pipe", tmp_path), "and it does not wait for a writer"
    big = tmp_path / "big"
    big.touch(mode=0o600)
    big.write_bytes(b"#" * 100_000)
    assert "more" in refusal("big", tmp_path)


def test_a_key_made_for_something_else(tmp_path: Path) -> None:
    create_key(tmp_path / "a.key", "voting")
    words = refusal("a.key", tmp_path, "account")
    assert "expected a key made for account; found one made for voting" in words
    assert f":{line_of(tmp_path / 'a.key', 'purpose')}:" in words


def test_a_public_half_of_another_secret(tmp_path: Path) -> None:
    one, two = (create_key(tmp_path / name, "account").key.public for name in ("1.key", "2.key"))
    change(tmp_path / "1.key", one.hex(), two.hex())
    words = refusal("1.key", tmp_path)
    assert f"expected {PUBLIC_KEY.format(one)}" in words


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('secret = "ed25519-secret:', 'secret = "'),
        ('secret = "ed25519-secret:', 'secret = "ed25519:'),
        ('secret = "ed25519-secret:', 'public2 = "'),
        ('secret = "ed25519-secret:', 'purpose2 = "ed25519-secret:'),
        ('public = "ed25519:', 'public = "ed25519-secret:'),
        ('purpose = "account"', 'purpose = "wealth"'),
        ('secret = "', "secret = "),
        ('secret = "ed25519-secret:', 'secret = "ed25519-secret:0'),
    ],
)
def test_no_refusal_shows_the_secret(tmp_path: Path, old: str, new: str) -> None:
    file = tmp_path / "a.key"
    create_key(file, "account")
    secret = file.read_text().split(SECRET_KEY.prefix + ":")[1][:64]
    change(file, old, new)
    words = refusal("a.key", tmp_path)
    assert str(file) in words
    assert not [secret[i : i + 8] for i in range(57) if secret[i : i + 8] in words]


def test_neither_text_nor_representation_shows_the_secret(tmp_path: Path) -> None:
    create_key(tmp_path / "a.key", "account")
    secret = (tmp_path / "a.key").read_text().split(SECRET_KEY.prefix + ":")[1][:64]
    found = load_key("a.key", "account", tmp_path)
    assert secret not in f"{found!r} {found} {found.key!r}"
    assert bytes.fromhex(secret).hex() == secret


def test_a_credential_of_the_service_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_key(tmp_path / "node-key", "node", journal_id=JOURNAL)
    (tmp_path / "node-key").chmod(0o440)  # as systemd shows a file whose reader stands in an access list
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert load_key("credential:node-key", "node", Path("/nowhere")).journal_id == JOURNAL
    (tmp_path / "node-key").chmod(0o444)
    assert "mode 0444" in refusal("credential:node-key", Path("/nowhere"))


def test_a_credential_without_a_service_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert "LoadCredential=node-key:FILE" in refusal("credential:node-key", Path("/nowhere"))


@pytest.mark.parametrize("name", ["", "../etc/passwd", "a/b", ".hidden"])
def test_a_credential_is_a_plain_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert "plain name" in refusal(f"credential:{name}", tmp_path)
