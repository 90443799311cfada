"""The state store (L-26): equal to the tables in memory, consistent for readers of any process, never half a commit."""

from __future__ import annotations

import errno
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import monotonic
from types import SimpleNamespace

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.store import tables
from daemon.store.errors import DiskFull, StateDamaged, StoreFailed
from daemon.store.pages import walk
from daemon.store.rows import KEY_BYTES_MAX
from daemon.store.tables import FORMAT_VERSION, StateStore
from protocol.errors import OperatorFault
from protocol.ledger.added import PAGES
from protocol.ledger.memory import MemoryTables
from protocol.ledger.tables import Table, Writes

NETWORK = bytes(range(32))
ROOT = Path(__file__).parent.parent.parent
PAGE = PAGES.key((1, 0))
PAGE_KEYS = st.builds(lambda height, page: PAGES.key((height, page)), st.integers(0, 300), st.integers(0, 3))
NEAR_PAGES = st.sampled_from(
    [PAGE[:1], PAGE[:-3], PAGE[:-2], PAGE[:-3] + b"\xff", b"\x92", b"\x93\xad", PAGE[:-3] + b"e"]
)
KEYS = st.one_of(
    st.binary(max_size=4), st.binary(min_size=KEY_BYTES_MAX - 1, max_size=KEY_BYTES_MAX), PAGE_KEYS, NEAR_PAGES
)
VALUES = st.binary(max_size=40) | st.builds(
    lambda data, times: data * times, st.binary(max_size=3), st.integers(1, 900)
)
PLACES = st.tuples(st.sampled_from([Table.STATE, Table.TRIE, Table.META]), KEYS)
PAIRS = st.dictionaries(PLACES, st.none() | VALUES, max_size=30)
NAMED = st.sampled_from([bytes([number] * 16) for number in range(4)])
ROWS = st.builds(lambda name, rest: (Table.SEEN, name + bytes([rest] * 13)), NAMED, st.integers(0, 255))
WRITES = st.builds(
    lambda pairs, rows: pairs | rows, PAIRS, st.dictionaries(ROWS, st.none() | st.just(b""), max_size=30)
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    opened = StateStore.open(tmp_path / "state", NETWORK, writer=True)
    yield opened
    opened.close()


def pairs(count: int, *, size: int = 100) -> Writes:
    """Values that nothing makes shorter."""
    return {(Table.STATE, number.to_bytes(4, "big")): Random(number).randbytes(size) for number in range(count)}


# -- The interface ------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.lists(st.lists(WRITES, max_size=3), max_size=4), KEYS, KEYS, st.integers(0, 6))
def test_equals_the_tables_in_memory(commits: list[list[Writes]], prefix: bytes, start: bytes, limit: int) -> None:
    """The simulator's tables and the daemon's give the same answers after the same writes."""
    with TemporaryDirectory() as place:
        memory = MemoryTables()
        store = StateStore.open(Path(place), NETWORK, writer=True)
        for height, writes_list in enumerate(commits):
            store.commit(writes_list, height)
            for writes in writes_list:
                memory.apply(writes)
        with store.reader() as reader:
            assert reader.height == (len(commits) - 1 if commits else None)
            for table in (Table.STATE, Table.TRIE, Table.META, Table.SEEN):
                assert reader.scan(table, b"") == memory.scan(table, b"")
                assert reader.count(table) == len(memory.scan(table, b""))
                for part in (b"", prefix[:1], prefix):
                    assert reader.scan(table, part, start, limit) == memory.scan(table, part, start, limit)
                    first = bytes([start[0] % 4] * (29 + len(start) % 3)) if start else b""
                    assert reader.scan(table, part, first, limit) == memory.scan(table, part, first, limit)
            for name in (bytes([number] * 16) for number in range(5)):
                assert reader.named(Table.SEEN, name) == list(memory.named(Table.SEEN, name))
            for writes_list in commits:
                for writes in writes_list:
                    assert all(reader.get(*place) == memory.get(*place) for place in writes)
        walk(Path(place) / "data.mdb")
        store.close()


def test_the_empty_key_is_a_key_and_too_long_ones_are_not_there(store: StateStore) -> None:
    store.commit([{(Table.TRIE, b""): b"root", (Table.TRIE, b"\x00"): b"first child"}], 0)
    with store.reader() as reader:
        assert reader.get(Table.TRIE, b"") == b"root"
        assert reader.scan(Table.TRIE, b"") == [(b"", b"root"), (b"\x00", b"first child")]
        assert reader.get(Table.TRIE, bytes(KEY_BYTES_MAX + 1)) is None
        assert reader.scan(Table.TRIE, bytes(600)) == []
        assert reader.scan(Table.TRIE, b"", bytes(600)) == []
    with pytest.raises(AssertionError, match="fits"):
        store.commit([{(Table.TRIE, bytes(KEY_BYTES_MAX + 1)): b""}], 1)


def test_a_start_finds_what_was_committed_and_its_height(tmp_path: Path) -> None:
    store = StateStore.open(tmp_path, NETWORK, writer=True)
    assert store.height is None
    store.commit([pairs(10)], 0)
    store.commit([{(Table.STATE, bytes(4)): None}, pairs(3)], 7)
    store.close()
    again = StateStore.open(tmp_path, NETWORK, writer=True)
    assert again.height == 7
    assert again.dropped is None
    with again.reader() as reader:
        assert len(reader.scan(Table.STATE, b"")) == 10
    with pytest.raises(AssertionError, match="does not go back"):
        again.commit([], 6)
    again.clear()
    with again.reader() as reader:
        assert reader.height is None
        assert reader.scan(Table.STATE, b"") == []
    again.close()


def test_a_reader_sees_one_height_while_another_is_committed(store: StateStore) -> None:
    store.commit([pairs(5)], 1)
    with store.reader() as reader:
        store.commit([dict.fromkeys(pairs(5))], 2)
        assert reader.height == 1
        assert len(reader.scan(Table.STATE, b"")) == 5
    with store.reader() as reader:
        assert reader.height == 2
        assert reader.scan(Table.STATE, b"") == []


def test_a_row_of_another_size_is_damage(tmp_path: Path) -> None:
    StateStore.open(tmp_path, NETWORK, writer=True).close()
    environment = lmdb.open(str(tmp_path), max_dbs=20, map_size=1 << 24)
    database = environment.open_db(b"place", create=False)
    with environment.begin(write=True) as transaction:
        transaction.put(b"\x01", bytes(14), db=database)
    environment.close()
    store = StateStore.open(tmp_path, NETWORK, writer=True)
    with store.reader() as reader, pytest.raises(StateDamaged):
        reader.named(Table.PLACE, b"another")
    with store.reader() as reader, pytest.raises(StateDamaged):
        reader.scan(Table.PLACE, b"z")
    store.close()


def test_a_copy_follows_a_map_that_grew_and_leaves_nothing_if_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = StateStore.open(tmp_path / "state", NETWORK, writer=True)
    store.commit([pairs(5)], 3)
    environment, faults = store._environment, [lmdb.MapResizedError("grown"), lmdb.DiskError("no room")]

    class Faulty:
        def copy(self, path: str, *, compact: bool) -> None:
            if faults:
                (Path(path) / "data.mdb").touch(exist_ok=False)  # as LMDB does first
                raise faults.pop(0)
            environment.copy(path, compact=compact)

        def __getattr__(self, name: str) -> object:
            return getattr(environment, name)

    monkeypatch.setattr(store, "_environment", Faulty())
    with pytest.raises(StoreFailed, match="no room"):
        store.copy_to(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    store.copy_to(tmp_path / "copy")
    monkeypatch.undo()
    store.close()
    copy = StateStore.open(tmp_path / "copy", NETWORK, writer=False)
    with copy.reader() as reader:
        assert dict(reader.scan(Table.STATE, b"")) == {key: value for (_, key), value in pairs(5).items()}
    copy.close()


def test_a_squeezed_value_that_cannot_be_opened_is_damage(tmp_path: Path) -> None:
    store = StateStore.open(tmp_path, NETWORK, writer=True)
    store.commit([{(Table.STATE, b"a"): b"long " * 1_000, (Table.STATE, PAGE): b"page " * 1_000}], 0)
    store.close()
    environment = lmdb.open(str(tmp_path), max_dbs=20, map_size=1 << 24)
    database = environment.open_db(b"state", create=False)
    with environment.begin(write=True) as transaction:
        for key in (b"\x01a", b"\x02" + PAGE):
            stored = transaction.get(key, db=database)
            assert stored is not None
            assert stored[:1] == b"\xc1"
            transaction.put(key, stored[:-1], db=database)
    environment.close()
    store = StateStore.open(tmp_path, NETWORK, writer=True)
    with store.reader() as reader:
        for damaged in (b"a", PAGE):
            with pytest.raises(StateDamaged):
                reader.get(Table.STATE, damaged)
            with pytest.raises(StateDamaged):
                reader.scan(Table.STATE, damaged)
    store.close()


# -- Formats and places ---------------------------------------------------------------------------------


def test_a_newer_format_is_refused_and_an_older_one_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L-27: with words. The state is derived: what is old is made anew by replay, or by the program that wrote it."""
    whole, tmp_path = tmp_path, tmp_path / "state"
    with monkeypatch.context() as patch:
        patch.setattr(tables, "FORMAT_VERSION", FORMAT_VERSION + 1)
        store = StateStore.open(tmp_path, NETWORK, writer=True)
        store.commit([pairs(5)], 3)
        store.close()
    for writer in (True, False):
        with pytest.raises(OperatorFault, match=f"format {FORMAT_VERSION + 1}, this program knows {FORMAT_VERSION}"):
            StateStore.open(tmp_path, NETWORK, writer=writer)
    monkeypatch.setattr(tables, "FORMAT_VERSION", FORMAT_VERSION + 2)
    with pytest.raises(OperatorFault, match="older format"):
        StateStore.open(tmp_path, NETWORK, writer=False)
    store = StateStore.open(tmp_path, NETWORK, writer=True)
    assert store.height is None
    assert store.dropped is not None
    assert store.dropped.startswith(
        f"it had format {FORMAT_VERSION + 1}, this program writes {FORMAT_VERSION + 2}; it is"
    )
    store.close()
    kept = whole / "back"
    kept.mkdir()
    (whole / "quarantine" / "data.mdb.1").rename(kept / "data.mdb")
    monkeypatch.setattr(tables, "FORMAT_VERSION", FORMAT_VERSION + 1)
    store = StateStore.open(kept, NETWORK, writer=True)
    assert store.height == 3, "whoever goes back to the older program finds what it wrote"
    store.close()


def test_another_network_is_refused(tmp_path: Path) -> None:
    StateStore.open(tmp_path, NETWORK, writer=True).close()
    with pytest.raises(OperatorFault, match="belongs to network"):
        StateStore.open(tmp_path, bytes(32), writer=True)


def test_what_lmdb_cannot_read_is_begun_anew_by_the_writer(tmp_path: Path) -> None:
    store = StateStore.open(tmp_path, NETWORK, writer=True)
    store.commit([pairs(5)], 3)
    store.close()
    (tmp_path / "data.mdb").write_bytes(b"x" * 20_000)
    with pytest.raises(OperatorFault, match="cannot be read"):
        StateStore.open(tmp_path, NETWORK, writer=False)
    store = StateStore.open(tmp_path, NETWORK, writer=True)
    assert store.height is None
    assert store.dropped is not None
    store.close()


def test_there_is_one_writer_and_readers_do_not_make_a_store(tmp_path: Path) -> None:
    with pytest.raises(OperatorFault, match="no state"):
        StateStore.open(tmp_path, NETWORK, writer=False)
    store = StateStore.open(tmp_path, NETWORK, writer=True)
    with pytest.raises(OperatorFault, match=r"another process writes the state .* \(pid \d+\)"):
        StateStore.open(tmp_path, NETWORK, writer=True)
    store.close()
    reader = StateStore.open(tmp_path, NETWORK, writer=False)
    with pytest.raises(AssertionError, match="opened to read"):
        reader.commit([], 1)
    reader.close()
    assert (tmp_path / "data.mdb").stat().st_mode & 0o777 == 0o600


# -- Growth -------------------------------------------------------------------------------------------


def test_a_full_map_grows_once_readers_are_done(tmp_path: Path) -> None:
    store = StateStore.open(tmp_path, NETWORK, writer=True, map_bytes=1 << 20)
    store.commit([pairs(10)], 0)
    entered = threading.Event()
    seen: list[int] = []

    def reading() -> None:
        with store.reader() as reader, store.reader():
            entered.set()
            deadline = monotonic() + 30
            while not store._gate._closed and monotonic() < deadline:  # until the commit found the map full, and waits
                pass
            seen.append(len(reader.scan(Table.STATE, b"", limit=100_000)))
            with store.reader() as nested:  # a thread that is inside gets in although the gate is closing
                seen.append(nested.height or 0)

    thread = threading.Thread(target=reading, daemon=True)
    thread.start()
    entered.wait(30)
    store.commit([pairs(2_000, size=1_500)], 1)
    thread.join()
    assert seen == [10, 0]
    with store.reader() as reader:
        assert len(reader.scan(Table.STATE, b"", limit=100_000)) == 2_000
    assert store.used_bytes > 1 << 20
    store.close()
    again = StateStore.open(tmp_path, NETWORK, writer=True, map_bytes=1 << 20)
    again.commit([pairs(4_000, size=1_500)], 2)
    again.close()


def test_a_thread_with_an_open_reader_cannot_grow_the_map(tmp_path: Path) -> None:
    store = StateStore.open(tmp_path, NETWORK, writer=True, map_bytes=1 << 20)
    with store.reader(), pytest.raises(AssertionError, match="cannot close the gate"):
        store.commit([pairs(2_000, size=1_500)], 1)
    assert store.height is None, "nothing happened"
    store.close()


def test_a_map_that_cannot_be_moved_is_never_touched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LMDB unmaps before it maps: after a failure the next transaction would crash the process."""
    store = StateStore.open(tmp_path, NETWORK, writer=True, map_bytes=1 << 20)

    class Unmovable:
        def set_mapsize(self, size: int) -> None:
            raise lmdb.MemoryError("no address space")

        def __getattr__(self, name: str) -> object:
            return getattr(environment, name)

    environment = store._environment
    monkeypatch.setattr(store, "_environment", Unmovable())
    with pytest.raises(StoreFailed, match="no address space"):
        store.commit([pairs(2_000, size=1_500)], 1)
    monkeypatch.undo()
    with pytest.raises(StoreFailed, match="no address space"), store.reader():
        pass
    with pytest.raises(StoreFailed, match="no address space"):
        store.commit([], 1)
    store.close()


class Faulty:
    """An environment whose next transaction fails as LMDB does, after which all is well."""

    def __init__(self, environment: lmdb.Environment, code: int) -> None:
        self._environment = environment
        self._code = code
        self.synced = 0

    def begin(self, *, write: bool = False) -> lmdb.Transaction[bytes]:
        if write and self._code:
            code, self._code = self._code, 0
            error = lmdb.Error("mdb_txn_commit")
            setattr(error, "code", code)  # noqa: B010 - the stub calls it final
            raise error
        return self._environment.begin(write=write)

    def sync(self, force: bool) -> None:
        self.synced += 1
        self._environment.sync(force)

    def __getattr__(self, name: str) -> object:
        return getattr(self._environment, name)


@pytest.mark.parametrize(
    "code, free, full",
    [
        (errno.ENOSPC, 1 << 40, True),
        (errno.EROFS, 1 << 40, True),
        (errno.EIO, 1 << 20, True),
        (errno.EIO, 1 << 40, False),
    ],
)
def test_a_full_disk_may_be_tried_again_and_a_fault_may_not(
    store: StateStore, monkeypatch: pytest.MonkeyPatch, code: int, free: int, full: bool
) -> None:
    """L-28. After a failed commit the next one is followed by a sync of its own (decisions/0002)."""
    store.commit([pairs(3)], 1)
    faulty = Faulty(store._environment, code)
    monkeypatch.setattr(store, "_environment", faulty)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    with pytest.raises(DiskFull if full else StoreFailed):
        store.commit([pairs(5)], 2)
    with store.reader() as reader:
        assert reader.height == 1
    if full:
        store.commit([pairs(5)], 2)
        store.commit([pairs(5)], 3)
        assert faulty.synced == 1
        assert store.height == 3
    else:
        with pytest.raises(StoreFailed, match="nothing more"):
            store.commit([pairs(5)], 2)


# -- Processes ------------------------------------------------------------------------------------------


READER = """
import sys
from pathlib import Path
from daemon.store.tables import StateStore
from protocol.ledger.tables import Table
store = StateStore.open(Path(sys.argv[1]), bytes(range(32)), writer=False, map_bytes=1 << 20)
for line in sys.stdin:
    with store.reader() as reader:
        found = reader.scan(Table.STATE, b"", limit=100_000)
        print(reader.height, len(found), len({value for _, value in found}), flush=True)
"""

WRITER = """
import sys
from pathlib import Path
from daemon.store.tables import StateStore
from protocol.ledger.tables import Table
store = StateStore.open(Path(sys.argv[1]), bytes(range(32)), writer=True)
height = store.height or 0
while True:
    height += 1
    writes = {(Table.STATE, number.to_bytes(2, "big")): height.to_bytes(8, "big") for number in range(300)}
    store.commit([writes, {(Table.ROOTS, height.to_bytes(8, "big")): b"root"}], height)
    print(height, flush=True)
"""


def start(program: str, directory: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, str(directory)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_another_process_reads_each_height_whole_also_when_the_map_grew(tmp_path: Path) -> None:
    store = StateStore.open(tmp_path, NETWORK, writer=True, map_bytes=1 << 20)
    store.commit([], 0)
    with start(READER, tmp_path) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for height, size in enumerate((10, 200, 3_000, 20_000), start=1):  # the last two do not fit the first map
            store.commit([{(Table.STATE, bytes([n])): bytes([height]) * size for n in range(250)}], height)
            child.stdin.write("look\n")
            child.stdin.flush()
            assert child.stdout.readline() == f"{height} 250 1\n"
        child.stdin.close()
        assert child.wait(30) == 0
    store.close()


def test_kill_9_in_the_middle_of_commits_loses_nothing_reported(tmp_path: Path) -> None:
    """L-26: each commit is there whole or not at all, and what was reported is there."""
    reported = 0
    for round_number in range(5):
        with start(WRITER, tmp_path) as child:
            assert child.stdout is not None
            for _ in range(7 + 5 * round_number):
                reported = int(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
            rest = [line for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
            reported = int(rest[-1]) if rest else reported
            child.wait(30)
        store = StateStore.open(tmp_path, NETWORK, writer=True)
        with store.reader() as reader:
            assert reader.height is not None
            assert reported <= reader.height <= reported + 1
            assert {value for _, value in reader.scan(Table.STATE, b"")} == {reader.height.to_bytes(8, "big")}
            roots = reader.scan(Table.ROOTS, b"", limit=100_000)
            assert [int.from_bytes(key, "big") for key, _ in roots] == list(range(1, reader.height + 1))
        store.close()


def test_slots_of_readers_that_died_are_cleared(tmp_path: Path) -> None:
    store = StateStore.open(tmp_path, NETWORK, writer=True)
    store.commit([pairs(10)], 1)
    held = READER.replace("for line in sys.stdin:", "if True:").replace("flush=True)", "flush=True); sys.stdin.read()")
    with start(held, tmp_path) as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith("1 10")
        child.kill()
        child.wait(30)
    assert len(store._environment.readers().splitlines()) == 2, "a header, and the dead one"
    for height in range(2, 300):
        store.commit([], height)
    assert "no active readers" in store._environment.readers()
    store.close()


def test_a_copy_taken_between_commits_opens(tmp_path: Path, store: StateStore) -> None:
    """What a power cut leaves when all writes arrived: the file as it stands, without the lock file."""
    store.commit([pairs(100)], 1)
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / "state" / "data.mdb", tmp_path / "copy" / "data.mdb")
    copy = StateStore.open(tmp_path / "copy", NETWORK, writer=True)
    assert copy.height == 1
    copy.close()
