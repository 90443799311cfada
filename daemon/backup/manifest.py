"""`backup.json`: what a backup is, and the digest of each file in it. Written last: without it there is no backup."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from daemon.config.keyfiles import write_new
from protocol.errors import OperatorFault

MANIFEST_FILE: Final = "backup.json"
SEGMENTS: Final = "segments"
INHERITED: Final = "inherited"
BACKUP_FORMAT: Final = 1
MANIFEST_BYTES_MAX: Final = 64 * 1024 * 1024
CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Manifest:
    """network_id, member: whose. height: of the newest block. keys: whether secrets are inside.

    files: name -> SHA-256, in hex.
    """

    network_id: str
    member: str | None
    validator: bool
    height: int
    keys: bool
    version: str
    files: dict[str, str]

    def write(self, directory: Path) -> None:
        """Write it, durable on return."""
        content = {"format": BACKUP_FORMAT, **asdict(self)}
        write_new(directory / MANIFEST_FILE, json.dumps(content, indent=1) + "\n", mode=0o600)


def read_manifest(directory: Path) -> Manifest:
    """The manifest of the backup in `directory`. Raises OperatorFault."""
    file = directory / MANIFEST_FILE
    try:
        if file.stat().st_size > MANIFEST_BYTES_MAX:
            raise OperatorFault(f"{file} is too large to be a backup's")
        content = json.loads(file.read_text(encoding="utf-8"))
        if content.pop("format") != BACKUP_FORMAT:
            raise OperatorFault(f"{file} was written by another version: use the program that wrote it")
        found = Manifest(**content)
        names = [Path(name) for name in found.files]
    except FileNotFoundError:
        words = f"there is no {file}: {directory} is no backup, or one that was cut short: take another"
        raise OperatorFault(words) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OperatorFault(f"{file} cannot be read as a backup's: {error}") from error
    if any(name.is_absolute() or ".." in name.parts for name in names):
        raise OperatorFault(f"{file} names files outside the backup")
    return found


def digest_of(file: Path) -> str:
    """SHA-256 of a file, in hex."""
    found = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()
