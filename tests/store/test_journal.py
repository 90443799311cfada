"""The journal (L-24): what was synced is there after any crash, a tear is cut, damage is never taken for a tear."""

from __future__ import annotations

import threading
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon import limits
from daemon.store import journal_file
from daemon.store.errors import DiskFull, StoreFailed
from daemon.store.files import OsFiles
from daemon.store.journal import Journal, JournalState
from daemon.store.journal_file import HEADER_BYTES, Header, Record, generation_name
from protocol.errors import OperatorFault
from tests.store.disk import Disk, crashes
from tests.store.golden import golden

PLACE = Path("/node/journal")
NETWORK = bytes(range(32))
ID = b"journal-id-16-by"
RECORDS = st.tuples(st.integers(0, 255), st.binary(max_size=60))


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room reserved in small steps, so that runs cross many of them and moments stay small."""
    monkeypatch.setattr(limits, "JOURNAL_ALLOCATION_BYTES", 256)


def new_disk() -> Disk:
    disk = Disk(directories={PLACE})
    Journal.create(PLACE, disk, NETWORK, ID)
    return disk


def open_journal(disk: Disk) -> tuple[Journal, tuple[Record, ...]]:
    journal, records, health = Journal.open(PLACE, disk, NETWORK, ID)
    assert health.remembers, health.words
    return journal, records


def filled(groups: int) -> tuple[Disk, tuple[Record, ...]]:
    """A disk with a closed journal of so many groups."""
    disk = new_disk()
    journal, _ = open_journal(disk)
    records = tuple((number, bytes([number]) * (10 + number)) for number in range(groups))
    for record in records:
        journal.append([record])
        journal.sync()
    journal.close()
    return disk, records


# -- Ordinary life ------------------------------------------------------------------------------------


@given(st.lists(st.lists(RECORDS, max_size=4), max_size=8))
def test_what_is_synced_is_read_again_in_order(groups: list[list[Record]]) -> None:
    disk = new_disk()
    journal, _ = open_journal(disk)
    for group in groups:
        sequence = journal.append(group)
        assert journal.sync() == sequence == journal.durable
    journal.close()
    again, records = open_journal(disk)
    assert records == tuple(record for group in groups for record in group)
    assert again.health.torn_bytes == 0


def test_one_sync_serves_all_that_waits() -> None:
    disk = new_disk()
    journal, _ = open_journal(disk)
    disk.moments.clear()
    for number in range(50):
        journal.append([(1, bytes([number]))])
    assert journal.durable == 0
    assert journal.sync() == 50
    assert [moment.step for moment in disk.moments].count("sync") == 1


def test_records_beyond_one_group_are_still_one_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "JOURNAL_GROUP_BYTES_MAX", 100)
    disk = new_disk()
    journal, _ = open_journal(disk)
    records = [(number, bytes(40)) for number in range(20)]
    journal.append(records)
    disk.moments.clear()
    journal.sync()
    assert [moment.step for moment in disk.moments] == ["allocate", "write", "sync"]
    assert open_journal(disk)[1] == tuple(records)


def test_appends_from_another_thread_go_on_during_syncs(tmp_path: Path) -> None:
    files = OsFiles()
    Journal.create(tmp_path, files, NETWORK, ID)
    journal, _, _ = Journal.open(tmp_path, files, NETWORK, ID)
    stop = threading.Event()

    def syncing() -> None:
        while not stop.is_set():
            journal.sync()

    thread = threading.Thread(target=syncing)
    thread.start()
    for number in range(3000):
        journal.append([(number % 256, number.to_bytes(4, "big"))])
    stop.set()
    thread.join()
    journal.close()
    _, records, health = Journal.open(tmp_path, files, NETWORK, ID)
    assert health.remembers
    assert [int.from_bytes(data, "big") for _, data in records] == list(range(3000))


# -- Crashes ------------------------------------------------------------------------------------------


class Run:
    """A recorded life of a journal. `contents[i]` is what call `i` of append or rotate made of it."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.contents: list[tuple[Record, ...]] = [()]
        self.disk = Disk(directories={PLACE})
        self.disk.promised = None
        Journal.create(PLACE, self.disk, NETWORK, ID)
        self.disk.promised = (0, 0)
        self.durable = 0
        self.journal, _ = open_journal(self.disk)

    def promise(self) -> None:
        self.disk.promised = (self.durable, len(self.contents) - 1)

    def append(self) -> None:
        random = self.random
        count = random.randrange(1, 4)
        records = [(random.randrange(256), random.randbytes(random.randrange(90))) for _ in range(count)]
        self.contents.append(self.contents[-1] + tuple(records))
        self.promise()
        self.journal.append(records)

    def rotate(self) -> None:
        live = [record for record in self.contents[-1] if self.random.random() < 0.3]
        self.contents.append(tuple(live))
        self.promise()
        self.journal.rotate(live)

    def sync(self) -> None:
        self.journal.sync()
        self.durable = len(self.contents) - 1
        self.promise()

    def reopen(self) -> None:
        self.journal.close()
        self.durable = len(self.contents) - 1
        self.promise()
        self.journal, records = open_journal(self.disk)
        assert records == self.contents[-1]

    def live(self, steps: int) -> None:
        for _ in range(steps):
            self.random.choices([self.append, self.sync, self.rotate, self.reopen], [5, 5, 1, 1])[0]()


@pytest.mark.parametrize("seed", range(6))
def test_a_crash_at_every_write_and_sync_leaves_what_was_promised_or_more(seed: int) -> None:
    """L-24: after a crash at any step the journal is whole, and holds a state from the last synced one on."""
    run = Run(seed)
    run.live(40)
    assert len(run.disk.moments) > 40
    for number, moment in enumerate(run.disk.moments):
        for words, disk in crashes(moment, {PLACE}):
            where = f"step {number} ({moment.step}), {words}"
            journal, records, health = Journal.open(PLACE, disk, NETWORK, ID)
            if moment.promised is None:  # within create: there may be none yet, but never half of one
                assert health.state in (JournalState.ABSENT, JournalState.WHOLE), where
                continue
            assert isinstance(moment.promised, tuple)
            durable, latest = moment.promised
            assert health.remembers, f"{where}: {health.words}"
            assert records in run.contents[durable : latest + 1], where
            journal.append([(7, b"after the crash")])
            journal.sync()
            [(_, cut), *_] = crashes(disk.moments[-1], {PLACE})
            assert open_journal(cut)[1] == (*records, (7, b"after the crash")), where


def test_what_a_start_hands_out_is_durable() -> None:
    """A group that a killed process wrote and did not sync is synced before anyone relies on it."""
    disk = new_disk()
    journal, _ = open_journal(disk)
    journal.append([(1, b"written, not synced")])
    disk.syncs_until_failure = 0
    with pytest.raises(StoreFailed):
        journal.sync()
    disk.syncs_until_failure = None
    _, records = open_journal(disk)  # the process was killed, the machine lives on
    assert records == ((1, b"written, not synced"),)
    [(_, cut), *_] = crashes(disk.moments[-1], {PLACE})
    assert open_journal(cut)[1] == records


def test_what_a_tear_left_behind_never_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one write the first group is lost and the second kept; what fills the gap later does not revive it."""
    monkeypatch.setattr(limits, "JOURNAL_GROUP_BYTES_MAX", 100)
    disk = new_disk()
    journal, _ = open_journal(disk)
    before = journal.written_bytes
    journal.append([(1, bytes(90)), (2, bytes(90))])
    journal.sync()
    path = PLACE / generation_name(1)
    torn = disk.fork()
    torn.put(path, disk.content(path)[:before] + bytes(135) + disk.content(path)[before + 135 :])
    journal, records, health = Journal.open(PLACE, torn, NETWORK, ID)
    assert (records, health.remembers, health.torn_bytes > 0) == ((), True, True)
    journal.append([(3, bytes(90))])
    journal.sync()
    assert open_journal(torn)[1] == ((3, bytes(90)),)


# -- Damage -------------------------------------------------------------------------------------------


def test_a_flipped_bit_at_any_byte_of_what_was_synced_is_damage_never_a_tear() -> None:
    """L-24: what does not check before the synced offset, a length too, is damage."""
    disk, records = filled(5)
    path = PLACE / generation_name(1)
    content = disk.content(path)
    journal, _ = open_journal(disk.fork())
    end = journal.written_bytes
    mark = end - 40  # the empty group that a clean end leaves: nothing is lost with it
    for at in range(end):
        hurt = disk.fork()
        hurt.put(path, content[:at] + bytes([content[at] ^ (1 << at % 8)]) + content[at + 1 :])
        _, found, health = Journal.open(PLACE, hurt, NETWORK, ID)
        if at < mark:
            assert health.damaged, f"byte {at}"
            assert not health.remembers
            assert set(found) <= set(records), f"byte {at}"
            assert hurt.content(path)[:at] == content[:at], "damage is never cut"
            assert len(hurt.content(path)) == len(content)
        else:
            assert health.remembers, f"byte {at}"
            assert health.torn_bytes >= 40, "the mark, and the room reserved after it"
            assert found == records, f"byte {at}"


def test_a_lost_range_in_the_middle_is_damage_with_its_place_and_the_rest_is_read() -> None:
    disk, records = filled(6)
    path = PLACE / generation_name(1)
    content = disk.content(path)
    second = content.index(bytes([1]) * 11)
    hurt = disk.fork()
    hurt.put(path, content[: second - 37] + bytes(60) + content[second + 23 :])
    _, found, health = Journal.open(PLACE, hurt, NETWORK, ID)
    assert health.damaged
    assert health.offset is not None
    assert second - 60 < health.offset < second
    assert found == (records[0], *records[3:]) or found == (records[0], *records[2:])


def test_reserved_zeros_are_no_torn_tail_and_garbage_is() -> None:
    disk, records = filled(3)
    path = PLACE / generation_name(1)
    end = open_journal(disk.fork())[0].written_bytes
    for tail, torn in ((bytes(1000), 0), (b"x", 1), (bytes(999) + b"x", 1000)):
        tailed = disk.fork()
        tailed.put(path, disk.content(path)[:end] + tail)
        journal, found, health = Journal.open(PLACE, tailed, NETWORK, ID)
        assert (found, health.torn_bytes, health.remembers) == (records, torn, True)
        journal.close()
        assert open_journal(tailed)[1] == records


def test_a_frame_inside_a_record_is_never_taken_for_one() -> None:
    """Who chooses content does not know the journal's id, so a copied frame checks nowhere but in its own place."""
    disk, _ = filled(3)
    frames = disk.content(PLACE / generation_name(1))
    journal, _ = open_journal(disk)
    journal.append([(1, frames)])
    journal.append([(2, b"last")])
    journal.sync()
    path = PLACE / generation_name(1)
    at = disk.content(path).index(frames, 300) - 30  # in the head of the group that holds the copy
    hurt = disk.fork()
    hurt.put(path, disk.content(path)[:at] + b"?" + disk.content(path)[at + 1 :])
    _, records, health = Journal.open(PLACE, hurt, NETWORK, ID)
    assert health.remembers, "the last group, unproven: a tear"
    assert len(records) == 3


# -- Absent, foreign, forgotten (C-24) ------------------------------------------------------------------


def lose(disk: Disk, how: str) -> bytes:
    """Take the memory away; returns the id to open with."""
    path = PLACE / generation_name(1)
    if how == "absent":
        disk.unlink(path)
    elif how == "damaged":
        disk.put(path, disk.content(path)[:HEADER_BYTES] + b"?" + disk.content(path)[HEADER_BYTES + 1 :])
    return b"another id......" if how == "foreign" else ID


@pytest.mark.parametrize("how", ["absent", "foreign", "damaged"])
def test_a_lost_memory_is_said_takes_nothing_and_is_remembered_until_restored(how: str) -> None:
    """C-24: absent, of another id, or damaged: the validator knows it, also after it crashed again."""
    disk = filled(3)[0].fork()
    identity = lose(disk, how)
    before = disk.names().keys()
    journal, _, health = Journal.open(PLACE, disk, NETWORK, identity)
    assert health.state is JournalState(how)
    assert not health.remembers
    assert disk.names().keys() == before, "looking changes nothing"
    with pytest.raises(StoreFailed, match="begun anew"):
        journal.append([(1, b"vote")])
    with pytest.raises(StoreFailed, match="begun anew"):
        journal.sync()

    journal.rotate([(1, b"a certificate")])
    journal.append([(2, b"a batch")])
    journal.sync()
    kept = [name for name in disk.list(PLACE) if name.endswith(".kept")]
    assert len(kept) == (0 if how == "absent" else 1), "evidence is kept beside"
    journal.rotate([(1, b"a certificate")])
    journal.sync()
    assert [name for name in disk.list(PLACE) if name.endswith(".kept")] == kept

    journal, records, health = Journal.open(PLACE, disk, NETWORK, identity)
    assert records == ((1, b"a certificate"),)
    assert health.state is JournalState.WHOLE
    assert health.forgotten
    assert not health.remembers
    journal.rotate([(9, b"vote floor")], restored=True)
    journal.sync()
    assert journal.health.remembers
    _, records, health = Journal.open(PLACE, disk, NETWORK, identity)
    assert health.remembers
    assert records == ((9, b"vote floor"),)


def test_another_network_is_foreign_and_a_newer_format_is_refused_in_words() -> None:
    disk = filled(1)[0]
    _, records, health = Journal.open(PLACE, disk, bytes(32), ID)
    assert (health.state, records) == (JournalState.FOREIGN, ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_file, "FORMAT_VERSION", 2)
        newer = Header(NETWORK, ID, 1, forgotten=False).encode()
    disk.put(PLACE / generation_name(1), newer)
    with pytest.raises(OperatorFault, match="format 2"):
        Journal.open(PLACE, disk, NETWORK, ID)


# -- Failing disks --------------------------------------------------------------------------------------


def test_a_failed_sync_poisons_the_journal_for_ever() -> None:
    """L-24: a failed sync stops the node; it is never tried again."""
    disk = new_disk()
    journal, _ = open_journal(disk)
    journal.append([(1, b"vote")])
    disk.syncs_until_failure = 0
    with pytest.raises(StoreFailed, match="injected"):
        journal.sync()
    disk.syncs_until_failure = None
    steps = len(disk.moments)
    with pytest.raises(StoreFailed):
        journal.sync()
    with pytest.raises(StoreFailed):
        journal.append([(1, b"vote")])
    with pytest.raises(StoreFailed):
        journal.rotate([])
    journal.close()
    assert journal.durable == 0
    assert len(disk.moments) == steps, "nothing more was written or synced"


@pytest.mark.parametrize("failing", range(2))
def test_a_failed_sync_in_a_rotation_poisons_too(failing: int) -> None:
    disk = new_disk()
    journal, _ = open_journal(disk)
    journal.rotate([(1, b"live")])
    disk.syncs_until_failure = failing
    with pytest.raises(StoreFailed):
        journal.sync()
    disk.syncs_until_failure = None
    with pytest.raises(StoreFailed):
        journal.append([])


@pytest.mark.parametrize("rotating", [False, True])
def test_a_full_disk_loses_nothing_and_the_journal_goes_on_when_there_is_room(rotating: bool) -> None:
    """L-28: no room is not a failed sync."""
    disk = new_disk()
    journal, _ = open_journal(disk)
    journal.append([(1, b"before")])
    journal.sync()
    disk.capacity_bytes = 300
    if rotating:
        journal.rotate([(1, b"before")])
    journal.append([(2, bytes(400))])
    with pytest.raises(DiskFull):
        journal.sync()
    journal.append([(3, b"meanwhile")])
    with pytest.raises(DiskFull):
        journal.sync()
    expected = ((1, b"before"), (2, bytes(400)), (3, b"meanwhile"))
    assert open_journal(disk.fork())[1] == expected[:1], "a crash now keeps what was promised"
    disk.capacity_bytes = None
    journal.sync()
    assert open_journal(disk)[1] == expected


@pytest.mark.parametrize("waiting", [False, True])
def test_an_orderly_end_on_a_full_disk_is_one(waiting: bool) -> None:
    """L-28: what was promised is durable; there may be no room for the mark at the end."""
    disk = new_disk()
    journal, _ = open_journal(disk)
    journal.append([(1, b"before")])
    journal.sync()
    disk.capacity_bytes = 0
    if waiting:
        journal.append([(2, bytes(400))])
    journal.close()
    disk.capacity_bytes = None
    again, records = open_journal(disk)
    assert records[:1] == ((1, b"before"),)
    again.append([(3, b"after")])
    again.sync()


def test_a_rotation_asked_for_while_the_disk_was_full_stands_for_what_waited() -> None:
    """The second rotation comes while a sync of the first is under way, which then finds no room."""
    disk = filled(2)[0].fork()
    lose(disk, "damaged")
    journal, _, _ = Journal.open(PLACE, disk, NETWORK, ID)
    journal.rotate([(1, bytes(400))], restored=True)
    journal.append([(2, b"superseded")])

    class Full:
        """The journal's files while there is no room; the caller goes on meanwhile."""

        def list(self, directory: Path) -> list[str]:
            journal.rotate([(3, b"newer")])
            journal.append([(4, b"after")])
            raise DiskFull("no room")

        def __getattr__(self, name: str) -> object:
            return getattr(disk, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "_files", Full())
        with pytest.raises(DiskFull):
            journal.sync()
    assert journal.durable == 0
    assert journal.sync() == 4
    _, records, health = Journal.open(PLACE, disk, NETWORK, ID)
    assert records == ((3, b"newer"), (4, b"after"))
    assert health.remembers, "what the first rotation restored stays restored"


def test_golden_bytes_of_a_generation() -> None:
    """Format 1, byte for byte: a change here is a change of the disk format."""
    disk = Disk(directories={PLACE})
    Journal.create(PLACE, disk, NETWORK, ID)
    journal, _ = open_journal(disk)
    journal.append([(3, b"abc"), (255, b"")])
    journal.sync()
    assert disk.content(PLACE / generation_name(1)).rstrip(b"\0") == golden("journal generation")


@settings(max_examples=60)
@given(st.binary(max_size=300), st.integers(0, 400), st.binary(max_size=40))
def test_any_bytes_at_all_are_read_without_a_fault_and_nothing_is_made_up(junk: bytes, at: int, tail: bytes) -> None:
    """Whatever stands in the file: a state with words, and only records that were written."""
    disk, written = filled(4)
    path = PLACE / generation_name(1)
    content = disk.content(path)
    for hurt_content in (junk, content[:at] + junk, content[:at] + junk + content[at + len(junk) :] + tail):
        hurt = disk.fork()
        hurt.put(path, hurt_content)
        _, records, health = Journal.open(PLACE, hurt, NETWORK, ID)
        assert set(records) <= set(written)
        assert health.words
