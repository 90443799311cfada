"""Evidence on disk: what proves that a validator signed two statements of which an honest one signs one (C-17).

The node notes it with both votes, encoded, signatures and all. The log says so in a line; here it is kept as the
canonical record that a third party checks offline with network.toml alone (protocol/proofs/equivocation.py): one file
`evidence/<note>-<hash>.evidence` in the data directory, written at the time it was found. The same evidence is one
file, however often it is noted and over any number of restarts. Nobody can fill the disk: past `EVIDENCE_FILES_MAX` the
first ones have to do.

It is kept beside the node's work, in a thread, and nothing waits for it: a file that cannot be written is a line in the
log.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from daemon import limits
from protocol.codec import decode
from protocol.consensus.statements import Vote
from protocol.ledger.genesis import FIRST_EPOCH
from protocol.node.interface import Note
from protocol.proofs.equivocation import equivocation
from protocol.proofs.records import ClosedEpoch

FOLDER: Final = "evidence"
SUFFIX: Final = ".evidence"


def is_evidence(note: Note) -> bool:
    """Whether a note carries two statements that contradict each other."""
    return isinstance(note.facts.get("first"), bytes) and isinstance(note.facts.get("second"), bytes)


Closed = Callable[[int], Sequence[ClosedEpoch]]
"""How the epochs before this one ended (C-22)."""


def keep_evidence(directory: Path, network_id: bytes, note: Note, closed: Closed = lambda _epoch: ()) -> Path | None:
    """Write a note's evidence below `directory`, if it is new and there are not too many; the file.

    Raises OSError; Refused(not_covered) while `closed` does not know yet how the epochs before ended.
    """
    folder = directory / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    first, second = _vote(note, "first"), _vote(note, "second")
    record = equivocation(network_id, first, second, closed(first.epoch) if first.epoch > FIRST_EPOCH else ())
    path = folder / f"{note.name}-{sha256(record).hexdigest()[:16]}{SUFFIX}"
    if path.exists() or len(os.listdir(folder)) >= limits.EVIDENCE_FILES_MAX:
        return None
    unfinished = path.with_suffix(".tmp")
    unfinished.write_bytes(record)
    unfinished.chmod(0o600)
    unfinished.replace(path)
    return path


def _vote(note: Note, name: str) -> Vote:
    data = note.facts[name]
    assert isinstance(data, bytes), "is_evidence was asked before"
    return decode(Vote, data)
