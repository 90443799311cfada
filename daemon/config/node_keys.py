"""A node's key on disk, and the one that takes its place (L-29).

Beside the file that node.toml names, `node.key`, `make_next` puts `node.key.next`: a new key with the id of the same
journal, so that the node keeps its memory (C-24). The members are asked to let it stand for the old one. Once they have
decided, all nodes cut the old key off, and `take_up` changes the files:

    node.key       renamed to node.key.old
    node.key.next  renamed to node.key
    node.key.old   overwritten, synced, removed

Each step is durable before the next; whatever is interrupted is finished by doing it again. A node reads its key at the
start only, so it has to be restarted. It does not change the files by itself: cut off, it may not hear of the decision.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path as File

from daemon.config.keyfiles import CREDENTIAL_PREFIX, KeyFile, create_key, load_key, sync_directory
from daemon.config.voting_keys import NEXT, OLD, overwrite
from protocol.errors import OperatorFault


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """The keys of one node; `reference` as in node.toml, relative to the directory `base`.

    Raises OperatorFault for a credential: the service manager has that, and it is changed by hand.
    """

    reference: str
    base: File

    def __post_init__(self) -> None:
        if self.reference.startswith(CREDENTIAL_PREFIX):
            raise OperatorFault(
                f"[keys] node is {self.reference}: name the key's file for this command, with the file of the next "
                "key beside it, and hand the new one to the service manager afterwards"
            )

    @property
    def file(self) -> File:
        """Where the present key is."""
        return self.base / self.reference

    def _beside(self, suffix: str) -> File:
        return self.file.with_name(self.file.name + suffix)

    def present(self) -> KeyFile | None:
        """The present key; None if `take_up` was interrupted before the next one stood there. Raises OperatorFault."""
        if not self.file.exists() and self._beside(NEXT).exists():
            return None
        return load_key(str(self.file), "node", File())

    def next(self) -> KeyFile:
        """The key to come. Raises OperatorFault if there is none."""
        if not self._beside(NEXT).exists():
            raise OperatorFault(f"there is no {self._beside(NEXT)}: papilio key rotate --purpose node makes it")
        return load_key(str(self._beside(NEXT)), "node", File())

    def make_next(self) -> KeyFile:
        """A new key of the same journal. Raises OperatorFault if there is one already."""
        present = load_key(str(self.file), "node", File())
        return create_key(self._beside(NEXT), "node", journal_id=present.journal_id)

    @property
    def erasing(self) -> bool:
        """Whether `take_up` was interrupted with nothing left to do but to erase the old key."""
        return self._beside(OLD).exists() and self.file.exists() and not self._beside(NEXT).exists()

    def take_up(self) -> None:
        """Put the next key in the place of the present one, and erase that."""
        if not self.erasing:
            if self.file.exists():
                os.replace(self.file, self._beside(OLD))
                sync_directory(self.file.parent)
            os.replace(self._beside(NEXT), self.file)
            sync_directory(self.file.parent)
        if self._beside(OLD).exists():
            overwrite(self._beside(OLD))
