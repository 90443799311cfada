"""Key files: one secret key each, readable by its owner alone.

    # A secret. Never send it to anyone; papilio never asks for it.
    purpose = "node"
    public = "ed25519:..."
    secret = "ed25519-secret:..."
    journal = "journal:..."

`purpose` says what the key is for (`node`: the channel to other nodes, `voting`: votes, `account`: transactions), so
that one is never taken for another by mistake. `journal`, in a node key only, is the id of the journal that was
created together with the key: a journal with another id is not this node's memory (C-24).

A new file is created for its owner alone (0600, `O_EXCL`: nothing is ever overwritten), and synced, directory too,
before its public half is told to anyone. When read, a file that others can read is refused: whoever could read it may
have. A key of a service manager's credential (`credential:NAME`, from `$CREDENTIALS_DIRECTORY`) may have the group
bits set, which stand for the access list's mask there, not for a group.

Deliberately absent: passphrases. A node has to start without a person; who wants a key encrypted at rest lets the
service manager do it (systemd-creds), or the disk. Nothing reads keys from the environment.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass, replace
from pathlib import Path as File
from typing import Annotated, Final, Literal

from pydantic import Field

from daemon.config import texts
from daemon.config.files import parse
from daemon.config.problems import ConfigurationFault, Problem
from daemon.config.values import JournalId, PublicKey, SecretKey, Table
from protocol.crypto.signing import SEED_BYTES, SigningKey

Purpose = Literal["node", "voting", "account"]
KEY_FILE_BYTES_MAX: Final = 16 * 1024
CREDENTIAL_PREFIX: Final = "credential:"
CREDENTIALS_VARIABLE: Final = "CREDENTIALS_DIRECTORY"


class KeyTable(Table):
    """A secret key and what it is for."""

    purpose: Annotated[Purpose, Field(description="What the key is for: node, voting or account.")]
    public: Annotated[PublicKey, Field(description="The public half: may be shown to anyone.")]
    secret: Annotated[SecretKey, Field(description="The secret half: shown to nobody.", repr=False)]
    journal: Annotated[JournalId | None, Field(description="Id of the journal created with a node key (C-24).")] = None


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key that was read; its text shows the public half only."""

    file: File
    purpose: Purpose
    key: SigningKey
    journal_id: bytes | None


def create_key(file: File, purpose: Purpose, *, journal_id: bytes | None = None) -> KeyFile:
    """Make a new key in a new file, durable on return. Raises ConfigurationFault if there is a file already."""
    seed = secrets.token_bytes(SEED_BYTES)
    key = SigningKey(seed)
    lines = [
        f"# The secret {purpose} key of a papilio node or account. Never send it to anyone; papilio never asks for it.",
        f'purpose = "{purpose}"',
        f'public = "{texts.PUBLIC_KEY.format(key.public)}"',
        f'secret = "{texts.SECRET_KEY.format(seed)}"',
    ]
    write_new(file, of_journal("\n".join(lines), journal_id), mode=0o600)
    return KeyFile(file, purpose, key, journal_id)


def of_journal(text: str, journal_id: bytes | None) -> str:
    """A key file's text with the id of this journal in the place of what it had, or with none (C-24)."""
    lines = [line for line in text.splitlines() if not line.startswith("journal")]
    if journal_id is not None:
        lines.append(f'journal = "{texts.JOURNAL_ID.format(journal_id)}"')
    return "\n".join(lines) + "\n"


def write_new(file: File, text: str, *, mode: int = 0o644) -> None:
    """Write a file that did not exist, with its directory synced. Raises ConfigurationFault."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text.encode())
            stream.flush()
            os.fsync(stream.fileno())
        sync_directory(file.parent)
    except FileExistsError:
        raise _fault(file, "a new file", "one that exists; papilio overwrites none") from None
    except OSError as error:
        raise _fault(file, "a place where a file can be made", str(error.strerror).lower()) from None


def sync_directory(directory: File) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load_key(reference: str, purpose: Purpose | None, base: File) -> KeyFile:
    """The key at `reference`: a path, relative to the directory `base`, or `credential:NAME`.

    `purpose` None takes any. Raises ConfigurationFault with every problem, never with a secret.
    """
    file, is_credential = locate(reference, base)
    return _parse(file, _read_private(file, is_credential=is_credential), purpose)


def locate(reference: str, base: File) -> tuple[File, bool]:
    """The file that a reference names, and whether it is a credential. Raises ConfigurationFault."""
    if not reference.startswith(CREDENTIAL_PREFIX):
        return base / reference, False
    name = reference.removeprefix(CREDENTIAL_PREFIX)
    directory = os.environ.get(CREDENTIALS_VARIABLE)
    if not directory:
        expected = f"${CREDENTIALS_VARIABLE}, which systemd sets for a service with LoadCredential={name}:FILE"
        found = f"none; for a command set it, as root: {CREDENTIALS_VARIABLE}=DIRECTORY papilio …, where {name} is"
        raise _fault(File(reference), expected, found)
    if not name or "/" in name or name.startswith("."):
        raise _fault(File(reference), "a credential's plain name", name or "none")
    return File(directory) / name, True


def _read_private(file: File, *, is_credential: bool) -> str:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _fault(file, "a key file", str(error.strerror).lower()) from None
    try:
        _check_private(file, os.fstat(descriptor), is_credential=is_credential)
        data = os.read(descriptor, KEY_FILE_BYTES_MAX + 1)
    finally:
        os.close(descriptor)
    if len(data) > KEY_FILE_BYTES_MAX:
        raise _fault(file, f"at most {KEY_FILE_BYTES_MAX} bytes", "more")
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise _fault(file, "a key file", "other bytes than plain text") from None


def _check_private(file: File, state: os.stat_result, *, is_credential: bool) -> None:
    """Of the open file, so that nothing changes between looking and reading. Raises ConfigurationFault."""
    if not stat.S_ISREG(state.st_mode):
        raise _fault(file, "a key file", "something that is no regular file")
    others = 0o007 if is_credential else 0o077
    if state.st_mode & others:
        found = f"mode {stat.S_IMODE(state.st_mode):04o}: others can read or change it, and may have"
        raise _fault(file, f"a key file that only its owner can read (chmod 600 '{file}')", found)
    if state.st_uid not in (0, os.geteuid()):
        raise _fault(file, "a key file that belongs to the user who runs papilio", f"one of user {state.st_uid}")


def _parse(file: File, text: str, purpose: Purpose | None) -> KeyFile:
    try:
        found = parse(file, text, KeyTable)
    except ConfigurationFault as fault:
        raise ConfigurationFault(_withheld(problem) for problem in fault.problems) from None
    table, problems = found.value, list(found.problems)
    key = SigningKey(table.secret)
    if key.public != table.public:
        expected = f"{texts.PUBLIC_KEY.format(key.public)}, the public half of this secret"
        problems.append(found.source.problem(("public",), expected, texts.PUBLIC_KEY.format(table.public)))
    if purpose is not None and table.purpose != purpose:
        problems.append(
            found.source.problem(("purpose",), f"a key made for {purpose}", f"one made for {table.purpose}")
        )
    if purpose == "node" and table.journal is None:
        problems.append(found.source.problem(("journal",), texts.JOURNAL_ID.expected, "nothing"))
    if problems:
        raise ConfigurationFault(problems)
    return KeyFile(file, table.purpose, key, table.journal)


def _withheld(problem: Problem) -> Problem:
    """No value of a key file is ever shown: a secret may stand at the wrong place."""
    return replace(problem, found="text that is not shown") if problem.found.startswith('"') else problem


def _fault(file: File, expected: str, found: str) -> ConfigurationFault:
    return ConfigurationFault([Problem(str(file), 0, 0, "", expected, found)])
