"""Evidence on disk: what proves that a validator signed two statements of which an honest one signs one (C-17).

The node notes it with both statements, encoded, signatures and all. The log says so in a line; here the statements
themselves are kept, one JSON file each, `evidence/<note>-<hash>.json` in the data directory, with the network's id: all
that a third party needs to check both signatures against the validator's key in genesis. The same evidence is one file,
however often it is noted and over any number of restarts. Nobody can fill the disk: past `EVIDENCE_FILES_MAX` the first
ones have to do.

It is kept beside the node's work, in a thread, and nothing waits for it: a file that cannot be written is a line in the
log.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from daemon import limits
from protocol.node.interface import Note

_FOLDER = "evidence"


def is_evidence(note: Note) -> bool:
    """Whether a note carries two statements that contradict each other."""
    return isinstance(note.facts.get("first"), bytes) and isinstance(note.facts.get("second"), bytes)


def keep_evidence(directory: Path, network_id: bytes, note: Note) -> Path | None:
    """Write a note's evidence below `directory`, if it is new and there are not too many; the file. Raises OSError."""
    folder = directory / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{note.name}-{_name(note.facts)}.json"
    if path.exists() or len(os.listdir(folder)) >= limits.EVIDENCE_FILES_MAX:
        return None
    found: dict[str, Any] = {
        "kind": note.name,
        "found_at": datetime.now(UTC).isoformat(),
        "network_id": network_id.hex(),
    }
    found |= {name: value.hex() if isinstance(value, bytes) else value for name, value in note.facts.items()}
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(found, indent=1) + "\n")
    unfinished.chmod(0o600)
    unfinished.replace(path)
    return path


def _name(facts: Mapping[str, Any]) -> str:
    """The same for both orders of the two statements."""
    return sha256(b"".join(sorted((facts["first"], facts["second"])))).hexdigest()[:16]
