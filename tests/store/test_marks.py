"""What a data directory says of itself in words: one turned bit is never taken for another truth (L-25, L-27)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.store.directory import FORMAT_NAME, check_format, write_format
from daemon.store.files import OsFiles
from daemon.store.history import HISTORY_NAME, Beginning, read_beginning, write_beginning
from protocol.errors import OperatorFault

NETWORK = bytes(range(0x8A, 0xAA))


def turned(path: Path) -> Iterator[None]:
    """Each bit of the file turned over, one after the other."""
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        yield


def test_a_turned_bit_of_the_beginning_is_noticed(tmp_path: Path) -> None:
    """What is below it is removed: a higher one would cost blocks."""
    files, beginning = OsFiles(), Beginning(1_000, NETWORK, "pruned: keep = 1000 blocks")
    write_beginning(tmp_path, files, beginning)
    assert read_beginning(tmp_path, files) == beginning
    for _ in turned(tmp_path / HISTORY_NAME):
        with pytest.raises(OperatorFault, match="cannot be read"):
            read_beginning(tmp_path, files)


def test_a_turned_bit_of_the_format_is_noticed(tmp_path: Path) -> None:
    """It is another network's directory then, at most."""
    files = OsFiles()
    write_format(tmp_path, files, NETWORK)
    check_format(tmp_path, NETWORK, files)
    for _ in turned(tmp_path / FORMAT_NAME):
        with pytest.raises(OperatorFault):
            check_format(tmp_path, NETWORK, files)


def test_a_long_reason_is_cut(tmp_path: Path) -> None:
    files = OsFiles()
    write_beginning(tmp_path, files, Beginning(7, NETWORK, "ß" * 1_000))
    found = read_beginning(tmp_path, files)
    assert found is not None
    assert found.why == "ß" * 256
