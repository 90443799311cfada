"""What travels between members in a restart: names, and reading and writing them whole.

NAME.report        a validator's signed report; public
NAME.holdings      blocks above the final ones that its disk holds, beside the report: as public as the ledger is
restart/document   the restart document with the members' signatures: for everyone, for ever
restart/blocks     the last kept blocks, for those whose disks lack them
restart/network.toml  the new network's file
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, TypeVar

from daemon.config.keyfiles import sync_directory
from protocol.codec import decode, encode
from protocol.errors import Malformed, OperatorFault
from protocol.limits import MIB, RESTART_BYTES_MAX
from protocol.restart.records import RestartFile

REPORT: Final = ".report"
HOLDINGS: Final = ".holdings"
DOCUMENT: Final = "document"
BLOCKS: Final = "blocks"
FILE_BYTES_MAX: Final = RESTART_BYTES_MAX + 2 * MIB
T = TypeVar("T")


def read_bytes(file: Path) -> bytes:
    """A bounded file. Raises OperatorFault."""
    try:
        with file.open("rb") as stream:
            data = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise OperatorFault(f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(data) > FILE_BYTES_MAX:
        raise OperatorFault(f"{file} is larger than any file of a restart")
    return data


def read_record(cls: type[T], file: Path) -> T:
    """The record in a file. Raises OperatorFault."""
    try:
        return decode(cls, read_bytes(file))
    except Malformed as fault:
        raise OperatorFault(f"{file} is no such file of a restart: {fault.words}") from fault


def write_whole(file: Path, data: bytes) -> None:
    """Write a file, or put it in place of the one that is there; durable on return. Raises OperatorFault."""
    unfinished = file.with_name(f"{file.name}.tmp")
    try:
        with unfinished.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(file)
        sync_directory(file.parent)
    except OSError as error:
        raise OperatorFault(f"{file} cannot be written: {(error.strerror or str(error)).lower()}") from error


def read_restart(file: Path) -> RestartFile:
    """A document with signatures, given as the file or as the folder that it is in. Raises OperatorFault."""
    return read_record(RestartFile, document_file(file))


def document_file(place: Path) -> Path:
    """The document in a folder, or the file itself."""
    return place / DOCUMENT if place.is_dir() else place


def write_restart(file: Path, restart: RestartFile) -> None:
    """Put it in place. Raises OperatorFault."""
    write_whole(document_file(file), encode(restart))
