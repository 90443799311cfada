"""Where a node's history begins: the mark of a directory whose blocks do not reach down to the first one.

    history.json    first height that is kept, hash of the header below it, why, and a check of these, since what is
                    below a mark is removed: a mark that a disk raised would cost blocks; absent: everything is kept
    epochs/         how each ended epoch ended (C-22), of those whose closing block may not be here any more

The mark is written before anything below it goes away, and it only ever rises. So whatever a crash interrupts: blocks
below the mark are left-overs, to be removed by the next start or run; blocks at or above it that are not there are
missing, and damage. What a pruned node still has to prove, how epochs ended, is kept beside, written before the mark.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from daemon.store.files import Files
from protocol.codec import decode, encode
from protocol.errors import Malformed, OperatorFault
from protocol.proofs.records import ClosedEpoch
from protocol.wire.snapshot import EpochsFound

HISTORY_NAME: Final = "history.json"
EPOCHS: Final = "epochs"
WHY_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Beginning:
    """Blocks from `first_height` on are kept. below: hash of the header below. why: in words."""

    first_height: int
    below: bytes
    why: str


def read_beginning(directory: Path, files: Files) -> Beginning | None:
    """The mark, None if everything is kept. Raises OperatorFault if it cannot be read."""
    path = directory / HISTORY_NAME
    try:
        file = files.open(path, writable=False)
    except FileNotFoundError:
        return None
    try:
        data = file.read_at(0, 4096)
    finally:
        file.close()
    try:
        content: dict[str, Any] = json.loads(data)
        first, below, why = content["first_height"], bytes.fromhex(content["below"]), content["why"]
        if type(first) is not int or first < 1 or len(below) != 32 or type(why) is not str:
            raise ValueError("not what this program writes")
        beginning = Beginning(first, below, why)
        if data != _packed(beginning):
            raise ValueError("its check is of something else")
    except (ValueError, KeyError, TypeError) as error:
        words = f"{path} cannot be read ({error}): it says from which block on this directory keeps blocks"
        raise OperatorFault(f"{words}; write it anew with papilio store prune, or restore a backup") from error
    return beginning


def _packed(beginning: Beginning) -> bytes:
    content = {"first_height": beginning.first_height, "below": beginning.below.hex(), "why": beginning.why}
    check = sha256(json.dumps(content).encode()).hexdigest()
    return (json.dumps({**content, "check": check}, indent=1) + "\n").encode()


def write_beginning(directory: Path, files: Files, beginning: Beginning) -> None:
    """Write the mark, durable on return; it never falls."""
    before = read_beginning(directory, files)
    assert before is None or beginning.first_height >= before.first_height, "what is gone does not come back"
    write_whole(directory / HISTORY_NAME, files, _packed(replace(beginning, why=beginning.why[:WHY_MAX])))


def write_whole(path: Path, files: Files, data: bytes) -> None:
    """Put a whole file in the place of what is there, durable on return."""
    unfinished = path.with_name(f"{path.name}.tmp")
    if unfinished.name in files.list(path.parent):
        files.unlink(unfinished)
    file = files.open(unfinished, create=True)
    try:
        file.write_at(0, data)
        file.sync()
    finally:
        file.close()
    files.rename(unfinished, path)
    files.sync_directory(path.parent)


# -- Ended epochs -----------------------------------------------------------------------------------


def write_ended(directory: Path, files: Files, epoch: int, closed: ClosedEpoch) -> None:
    """Keep how an epoch ended, durable on return; harmless if it is there."""
    folder = directory / EPOCHS
    files.make_directory(folder)
    name = _name(epoch)
    if name not in files.list(folder):
        write_whole(folder / name, files, encode(EpochsFound(epoch, (closed,))))
        files.sync_directory(directory)


def read_ended(directory: Path, epoch: int) -> ClosedEpoch | None:
    """How an epoch ended, if that was kept. Raises OperatorFault for a damaged file."""
    path = directory / EPOCHS / _name(epoch)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        found = decode(EpochsFound, data)
    except Malformed as fault:
        raise OperatorFault(f"{path} is damaged ({fault.words}): copy it from another node or a backup") from fault
    if found.first_epoch != epoch or len(found.closed) != 1:
        raise OperatorFault(f"{path} is of another epoch: copy it from another node or a backup")
    return found.closed[0]


def _name(epoch: int) -> str:
    return f"{epoch:012d}.epoch"
