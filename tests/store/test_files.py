"""The real file system behind the seam: all is written, faults get their type, nothing is left open."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.store.errors import DiskFull, StoreFailed
from daemon.store.files import OsFiles
from daemon.store.journal import Journal
from daemon.store.lock import ProcessLock
from daemon.store.segments import Segments
from protocol.errors import OperatorFault

ROOT = Path(__file__).parent.parent.parent
NETWORK = bytes(range(32))
ID = b"journal-id-16-by"


def failing(code: int):  # type: ignore[no-untyped-def]
    def fail(*arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_write_that_the_system_cuts_short_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: whole(descriptor, data[:3], offset))
    file = OsFiles().open(tmp_path / "file", create=True)
    file.write_at(2, b"0123456789")
    assert file.read_at(0, 100) == b"\0\x000123456789"
    assert file.read_at(5, 3) == b"345"
    assert file.read_at(50, 3) == b""
    file.close()


@pytest.mark.parametrize("call", ["pwrite", "posix_fallocate", "ftruncate"])
@pytest.mark.parametrize(
    "code, expected",
    [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EROFS, DiskFull), (errno.EIO, StoreFailed)],
)
def test_no_room_is_told_from_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, expected: type[Exception]
) -> None:
    """L-28: a disk that is full or read-only has a type of its own."""
    file = OsFiles().open(tmp_path / "file", create=True)
    monkeypatch.setattr(os, call, failing(code))
    with pytest.raises(expected):
        {"pwrite": lambda: file.write_at(0, b"x"), "posix_fallocate": lambda: file.allocate(0, 9)}.get(
            call, lambda: file.truncate(0)
        )()
    file.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_failed_sync_is_never_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """What a failed sync lost is unknown, whatever the reason: it cannot be repeated."""
    files = OsFiles()
    file = files.open(tmp_path / "file", create=True)
    monkeypatch.setattr(os, "fdatasync", failing(code))
    monkeypatch.setattr(os, "fsync", failing(code))
    with pytest.raises(StoreFailed):
        file.sync()
    with pytest.raises(StoreFailed):
        files.sync_directory(tmp_path)
    file.close()


def test_a_file_system_without_reserving_still_takes_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.EOPNOTSUPP))
    files = OsFiles()
    Journal.create(tmp_path, files, NETWORK, ID)
    journal, _, _ = Journal.open(tmp_path, files, NETWORK, ID)
    journal.append([(1, b"vote")])
    journal.sync()
    journal.close()
    _, records, health = Journal.open(tmp_path, files, NETWORK, ID)
    assert (records, health.torn_bytes) == (((1, b"vote"),), 0)


def test_a_lock_that_cannot_be_written_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's directory, or a disk mounted to be read only: the operator's to put right, and no crash."""

    def refused(*_: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(OperatorFault, match=r"lock cannot be written by user .*: read-only file system"):
        ProcessLock(tmp_path / "lock", "taken")


def test_what_is_missing_or_there_already_is_said(tmp_path: Path) -> None:
    files = OsFiles()
    with pytest.raises(FileNotFoundError):
        files.open(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        files.list(tmp_path / "directory")
    files.open(tmp_path / "file", create=True).close()
    with pytest.raises(StoreFailed, match="exists"):
        files.open(tmp_path / "file", create=True)


WRITER = """
import sys
from pathlib import Path
from daemon.store.files import OsFiles
from daemon.store.journal import Journal
from daemon.store.segments import Segments
place, files, network = Path(sys.argv[1]), OsFiles(), bytes(range(32))
journal, records, health = Journal.open(place / "journal", files, network, b"journal-id-16-by")
assert health.remembers, health.words
segments = Segments.open(place / "segments", files, network, segment_bytes=20_000)
height = segments.last_height
while True:
    height += 1
    journal.append([(1, height.to_bytes(8, "big"))])
    journal.sync()
    segments.append(height, height.to_bytes(8, "big") * 100)
    segments.sync()
    if height % 7 == 0:
        journal.rotate([(2, height.to_bytes(8, "big"))])
        journal.sync()
    print(height, flush=True)
"""


def test_kill_9_at_any_moment_loses_nothing_reported(tmp_path: Path) -> None:
    """L-24, L-25: with real files and processes; journal and segments, also while they rotate and seal."""
    files = OsFiles()
    for name in ("journal", "segments"):
        (tmp_path / name).mkdir()
    Journal.create(tmp_path / "journal", files, NETWORK, ID)
    reported = 0
    for round_number in range(6):
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(11 + 13 * round_number):
                reported = int(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
            rest = [line for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
            reported = int(rest[-1]) if rest else reported
            child.wait(30)
        segments = Segments.open(tmp_path / "segments", files, NETWORK, segment_bytes=20_000)
        assert reported <= segments.last_height <= reported + 1
        assert not segments.report.damaged
        for height in range(1, segments.last_height + 1):
            assert segments.read(height) == height.to_bytes(8, "big") * 100
        segments.close()
        journal, records, health = Journal.open(tmp_path / "journal", files, NETWORK, ID)
        assert health.remembers
        heights = [int.from_bytes(data, "big") for _, data in records]
        assert heights == list(range(heights[0], heights[-1] + 1))
        assert reported <= heights[-1] <= reported + 1
        journal.close()


def test_what_the_system_refuses_beside_reads_and_writes_is_a_failed_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptor left for a directory, a disk that does not answer for a length, a write that takes nothing."""
    file = OsFiles().open(tmp_path / "file", create=True)

    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(StoreFailed, match="Too many open files"):
            OsFiles().sync_directory(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", refuse)
        with pytest.raises(StoreFailed, match="Too many open files"):
            file.size()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda *_: 0)
        with pytest.raises(StoreFailed, match="takes nothing"):
            file.write_at(0, b"words")
    file.close()


def test_a_second_name_is_the_same_content_also_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = OsFiles()
    (tmp_path / "old").write_bytes(b"content")
    files.link(tmp_path / "old", tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == b"content"

    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    files.link(tmp_path / "old", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"content"
