"""A validator's voting key on disk, its successor, and its end (C-21, C-23).

Beside the file that node.toml names, `voting.key`, may stand `voting.key.next`: the key that `papilio key rotate` made
and that the members are asked to put in the set. A node signs with whichever of them the epoch's set has. When an epoch
has ended whose set had a key that the present one has not, that key is erased:

    voting.key       renamed to voting.key.old
    voting.key.next  renamed to voting.key, if it is there
    voting.key.old   overwritten, synced, removed

Each step is durable before the next, so whatever is interrupted is taken up at the next start. A validator that has
left has no successor: then `voting.key.erased` says in words what became of the key, and the node goes on as an
observer. Overwriting in place is what a program can do; a disk that keeps old blocks (SSD, copy-on-write, backups) may
still hold it. A key from a service manager's credential cannot be erased from here: that is said in the log.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path as File
from typing import Final

from daemon.config.keyfiles import CREDENTIAL_PREFIX, KeyFile, create_key, load_key, sync_directory
from protocol.crypto.signing import SigningKey

NEXT: Final = ".next"
OLD: Final = ".old"
ERASED: Final = ".erased"


@dataclass(frozen=True, slots=True)
class VotingKeys:
    """The voting keys of one node; `reference` as in node.toml, relative to the directory `base`."""

    reference: str
    base: File

    @property
    def is_credential(self) -> bool:
        """Whether a service manager hands the key over."""
        return self.reference.startswith(CREDENTIAL_PREFIX)

    @property
    def file(self) -> File:
        """Where the present key is."""
        return self.base / self.reference

    def beside(self, suffix: str) -> File:
        """A file beside it."""
        return self.file.with_name(self.file.name + suffix)

    def present(self) -> KeyFile | None:
        """The key to vote with, or None if it was erased without a successor. Raises ConfigurationFault."""
        if self.is_credential or self.file.exists():
            return load_key(self.reference, "voting", self.base)
        if self.beside(NEXT).exists():
            return load_key(self.reference + NEXT, "voting", self.base)
        if self.beside(ERASED).exists():
            return None
        return load_key(self.reference, "voting", self.base)

    def successor(self) -> SigningKey | None:
        """The key to come, if one was made. Raises ConfigurationFault."""
        if self.is_credential or not self.beside(NEXT).exists():
            return None
        return load_key(self.reference + NEXT, "voting", self.base).key

    def make_successor(self) -> KeyFile:
        """A new key for an epoch to come. Raises ConfigurationFault if there is one already."""
        self.beside(ERASED).unlink(missing_ok=True)
        return create_key(self.beside(NEXT), "voting")

    def finish(self) -> None:
        """Take up what was interrupted."""
        if self.is_credential:
            return
        if not self.file.exists() and self.beside(NEXT).exists():
            os.replace(self.beside(NEXT), self.file)
            sync_directory(self.file.parent)
        if self.beside(OLD).exists():
            overwrite(self.beside(OLD))

    def erase(self, voting_key: bytes) -> bool:
        """Erase the key with this public half, if it is here; False if it cannot be from here. Raises OSError."""
        if self.is_credential:
            return False
        for file in (self.file, self.beside(NEXT)):
            if file.exists() and load_key(str(file), "voting", File()).key.public == voting_key:
                os.replace(file, self.beside(OLD))
                sync_directory(self.file.parent)
                self.finish()
        if not self.file.exists():
            words = "The voting key of this node was erased when the epoch ended in which it last voted (C-23).\n"
            self.beside(ERASED).write_text(words)
            sync_directory(self.file.parent)
        return True


def overwrite(file: File) -> None:
    """Overwrite, sync and remove a key file: what a program can do to erase it."""
    with file.open("r+b") as stream:
        size = file.stat().st_size
        stream.write(bytes(size))
        stream.flush()
        os.fsync(stream.fileno())
    file.unlink()
    sync_directory(file.parent)
