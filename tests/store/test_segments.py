"""Segments (L-25): what was synced is served after any crash; what does not check never is."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zstandard import ZstdCompressor

from daemon.store import segment_file
from daemon.store.errors import DiskFull, SegmentDamaged, StoreFailed
from daemon.store.files import File, OsFiles
from daemon.store.framing import FRAME_OVERHEAD_BYTES, make_frame
from daemon.store.segment_file import SEGMENT_HEADER_BYTES, SegmentHeader, segment_path
from daemon.store.segments import Segments
from protocol.errors import OperatorFault
from tests.store.disk import Disk, crashes
from tests.store.golden import golden

PLACE = Path("/node/segments")
NETWORK = bytes(range(32))
SMALL = 400
"""Bytes of a segment here: three or four blocks."""


def block(height: int, extra: int = 0) -> bytes:
    return bytes([height % 256]) * (40 + height * 13 % 50 + extra)


def open_segments(disk: Disk, *, writable: bool = True) -> Segments:
    return Segments.open(PLACE, disk, NETWORK, segment_bytes=SMALL, writable=writable)


def filled(count: int, *, first: int = 1, close: bool = True) -> Disk:
    disk = Disk(directories={PLACE})
    segments = open_segments(disk)
    for height in range(first, first + count):
        segments.append(height, block(height))
        segments.sync()
    if close:
        segments.close()
    return disk


def names(disk: Disk, ending: str) -> list[Path]:
    return [PLACE / name for name in disk.list(PLACE) if name.endswith(ending)]


def flipped(disk: Disk, path: Path, at: int) -> Disk:
    hurt = disk.fork()
    content = disk.content(path)
    hurt.put(path, content[:at] + bytes([content[at] ^ (1 << at % 8)]) + content[at + 1 :])
    return hurt


# -- Ordinary life ------------------------------------------------------------------------------------


@given(st.integers(0, 40), st.integers(1, 5), st.integers(0, 45), st.integers(0, 12), st.integers(0, 500))
def test_ranges_are_what_a_list_would_give(count: int, first: int, start: int, wanted: int, bytes_max: int) -> None:
    disk = filled(count, first=first)
    for segments in (open_segments(disk, writable=False), open_segments(disk)):
        assert (segments.first_height, segments.last_height) == ((first, first + count - 1) if count else (0, 0))
        assert segments.synced_height == segments.last_height
        held = {height: block(height) for height in range(first, first + count)}
        expected: list[bytes] = []
        for height in range(start, start + wanted):
            if height not in held or (expected and sum(map(len, expected)) + len(held[height]) > bytes_max):
                break
            expected.append(held[height])
        assert segments.read_range(start, wanted, bytes_max) == expected
        assert segments.read(start) == held.get(start)


def test_only_the_next_height_is_taken() -> None:
    disk = filled(3)
    for wrong in (3, 5):
        with pytest.raises(AssertionError, match="is due"):
            open_segments(disk).append(wrong, b"x")


def test_segments_begin_where_history_begins() -> None:
    """A node that came by snapshot holds no block below it."""
    segments = open_segments(filled(5, first=1000))
    assert segments.first_height == 1000
    assert segments.read(999) is None
    assert segments.read(1004) == block(1004)


def test_another_network_is_refused_in_words() -> None:
    disk = filled(1)
    with pytest.raises(OperatorFault, match="another network"):
        Segments.open(PLACE, disk, bytes(32))


def test_memory_and_start_do_not_grow_with_sealed_blocks() -> None:
    """Of sealed segments a start opens the index's header only, and nothing is kept for each block."""
    disk = filled(200)
    opened: list[str] = []

    class Watched(Disk):
        def open(self, path: Path, *, create: bool = False, writable: bool = True):  # type: ignore[no-untyped-def]
            opened.append(path.name)
            return super().open(path, create=create, writable=writable)

    watched = Watched(disk.inodes, disk.names(), directories={PLACE}, recording=False)
    segments = open_segments(watched)
    assert len(opened) == 2 * len(names(disk, ".idx")) + 1
    assert sum(len(offsets) for offsets in segments._sealed._made.values()) == 0
    assert segments._active is not None
    assert len(segments._active.offsets) < 8
    opened.clear()
    assert segments.read(50) == block(50)
    assert len(opened) == 2


def test_readers_in_other_threads_see_each_block_while_segments_are_sealed(tmp_path: Path) -> None:
    segments = Segments.open(tmp_path, OsFiles(), NETWORK, segment_bytes=2000)
    segments.append(1, block(1))
    faults: list[BaseException] = []
    done = threading.Event()

    def reading(seed: int) -> None:
        random = Random(seed)
        try:
            while not done.is_set():
                height = random.randint(1, segments.last_height)
                assert segments.read(height) == block(height)
                assert segments.read_range(height, 5, 10_000)[0] == block(height)
        except (AssertionError, SegmentDamaged, StoreFailed) as error:
            faults.append(error)

    threads = [threading.Thread(target=reading, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for height in range(2, 400):
        segments.append(height, block(height))
        segments.sync()
    done.set()
    for thread in threads:
        thread.join()
    segments.close()
    assert not faults
    assert len(list(tmp_path.glob("*.idx"))) > 10


# -- Crashes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_a_crash_at_every_write_and_sync_leaves_the_synced_prefix_or_more(seed: int) -> None:
    random = Random(seed)
    disk = Disk(directories={PLACE}, promised=0)
    segments = open_segments(disk)
    last = 0
    for _ in range(30):
        choice = random.random()
        if choice < 0.6:
            last += 1
            segments.append(last, block(last))
        elif choice < 0.93:
            segments.sync()
            disk.promised = last
        else:
            segments.close()
            disk.promised = last
            segments = open_segments(disk)
    assert len(names(disk, ".idx")) >= 2
    for number, moment in enumerate(disk.moments):
        for words, cut in crashes(moment, {PLACE}):
            where = f"step {number} ({moment.step}), {words}"
            assert isinstance(moment.promised, int)
            opened = open_segments(cut)
            assert not opened.report.damaged, f"{where}: a crash is never taken for damage"
            assert moment.promised <= opened.last_height <= last, where
            for height in range(1, opened.last_height + 1):
                assert opened.read(height) == block(height), where
            following = opened.last_height + 1
            opened.append(following, b"after the crash")
            opened.sync()
            [(_, again), *_] = crashes(cut.moments[-1], {PLACE})
            assert open_segments(again).read(following) == b"after the crash", where


def test_what_a_start_counts_as_synced_is() -> None:
    disk = filled(2, close=False)
    segments = open_segments(disk)
    segments.append(3, block(3))  # written, not synced; then the process is killed
    assert open_segments(disk).synced_height == 3
    [(_, cut), *_] = crashes(disk.moments[-1], {PLACE})
    assert open_segments(cut).last_height == 3


def test_a_torn_tail_is_cut_and_reported() -> None:
    disk = filled(6, close=False)
    path = names(disk, ".seg")[-1]
    size = len(disk.content(path))
    disk.put(path, disk.content(path)[:-5])
    segments = open_segments(disk)
    assert segments.last_height == 5
    assert segments.report.torn_bytes > 0
    assert len(disk.content(path)) < size - 5
    assert open_segments(disk).report.torn_bytes == 0


# -- Damage -------------------------------------------------------------------------------------------


def test_a_flipped_bit_anywhere_is_found_on_read_and_nothing_wrong_is_served() -> None:
    """L-25: a damaged block is a typed error; the others are served; a wrong index is mended."""
    disk = filled(9)
    assert len(names(disk, ".idx")) == 2
    last = names(disk, ".seg")[-1]
    mark = len(disk.content(last)) - FRAME_OVERHEAD_BYTES
    for path in names(disk, ""):
        for at in range(len(disk.content(path))):
            where = f"{path.name} byte {at}"
            hurt = flipped(disk, path, at)
            try:
                segments = open_segments(hurt)
            except SegmentDamaged:
                assert path == names(disk, ".seg")[-1], where
                assert at < SEGMENT_HEADER_BYTES, where
                continue
            good, errors = 0, list[SegmentDamaged]()
            for height in range(1, segments.last_height + 1):
                try:
                    found = segments.read(height)
                except SegmentDamaged as error:
                    errors.append(error)
                else:
                    assert found == block(height), where
                    good += 1
            bad = len(errors)
            assert all(error.file == path.name for error in errors), where
            if path.suffix == ".idx" or (at < SEGMENT_HEADER_BYTES and path != last):
                assert (good, bad) == (9, 0), where
            elif path == last and at >= mark:  # the mark of the orderly end: no block is in it
                assert (good, bad) == (9, 0), where
                assert segments.report.torn_bytes > 0, where
            else:
                assert (good, bad) == (8, 1), where
            segments.close()


def test_damage_in_the_last_segment_is_kept_and_the_node_goes_on() -> None:
    disk = filled(10)
    path = names(disk, ".seg")[-1]
    hurt = flipped(disk, path, SEGMENT_HEADER_BYTES + 5)
    segments = open_segments(hurt)
    assert segments.report.damaged
    assert segments.last_height == 10
    first = segments._active.first if segments._active else 0
    with pytest.raises(SegmentDamaged):
        segments.read(first)
    assert segments.read_range(first - 2, 5, 1000) == [block(first - 2), block(first - 1)]
    for height in range(11, 20):
        segments.append(height, block(height))
        segments.sync()
    segments.close()
    again = open_segments(hurt)
    assert again.last_height == 19
    assert again.read(first + 1) == block(first + 1)
    with pytest.raises(SegmentDamaged) as caught:
        again.read(first)
    assert caught.value.code == "segment_damaged"


@pytest.mark.parametrize("writable", [True, False])
def test_a_missing_index_is_made_anew_from_its_segment(writable: bool) -> None:
    disk = filled(9)
    path = names(disk, ".idx")[0]
    original = disk.content(path)
    disk.unlink(path)
    segments = open_segments(disk, writable=writable)
    assert segments.report.rebuilt_indexes == [path.with_suffix(".seg").name]
    assert [segments.read(height) for height in range(1, 10)] == [block(height) for height in range(1, 10)]
    assert (path in disk.names()) is writable
    if writable:
        assert disk.content(path) == original


def test_an_index_of_another_segment_is_noticed() -> None:
    disk = filled(12)
    first, second, *_ = names(disk, ".idx")
    disk.put(first, disk.content(second))
    segments = open_segments(disk)
    assert [segments.read(height) for height in range(1, 13)] == [block(height) for height in range(1, 13)]


def test_an_entry_that_leads_to_another_block_is_noticed() -> None:
    disk = filled(9)
    path = names(disk, ".idx")[0]
    head, one, two, rest = (disk.content(path)[a:b] for a, b in ((0, -24), (-24, -16), (-16, -8), (-8, None)))
    disk.put(path, head + two + one + rest)
    segments = open_segments(disk)
    assert not segments.report.rebuilt_indexes, "its header is right"
    assert [segments.read(height) for height in range(1, 10)] == [block(height) for height in range(1, 10)]
    assert segments.report.rebuilt_indexes


def test_a_missing_segment_is_damage_of_its_heights_only() -> None:
    disk = filled(12)
    lost = names(disk, ".seg")[1]
    first, end = int(lost.stem), int(names(disk, ".seg")[2].stem)
    disk.unlink(lost)
    segments = open_segments(disk)
    for height in range(1, 13):
        if first <= height < end:
            with pytest.raises(SegmentDamaged):
                segments.read(height)
        else:
            assert segments.read(height) == block(height)


@pytest.mark.parametrize("ending", [".seg", ".idx"])
def test_a_file_that_goes_while_the_node_runs_is_damage_or_mended(ending: str) -> None:
    disk = filled(12)
    segments = open_segments(disk)
    disk.unlink(names(disk, ending)[0])
    if ending == ".seg":
        with pytest.raises(SegmentDamaged, match="missing"):
            segments.read(1)
    else:
        assert segments.read(1) == block(1)
        assert segments.report.rebuilt_indexes
    assert segments.read(12) == block(12)


@pytest.mark.parametrize("height", [1, 12])
def test_a_read_that_the_system_refuses_is_that_blocks_trouble(height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """L-31: whoever uses up the descriptors, or asks for a block in a bad sector, does not stop the node."""
    disk = filled(12, close=False)
    segments = open_segments(disk)
    real = disk.open

    def refused(path: Path, *, create: bool = False, writable: bool = True) -> File:
        if not writable:
            raise StoreFailed("opening it: Too many open files")
        return real(path, create=create, writable=writable)

    with monkeypatch.context() as patch:
        patch.setattr(disk, "open", refused)
        with pytest.raises(SegmentDamaged, match="Too many open files"):
            segments.read(height)
    assert segments.read(height) == block(height)
    segments.append(13, block(13))
    segments.sync()
    assert segments.read(13) == block(13)


def test_without_room_a_new_index_is_kept_in_memory() -> None:
    disk = filled(9)
    path = names(disk, ".idx")[0]
    disk.unlink(path)
    disk.capacity_bytes = 10
    segments = open_segments(disk)
    assert path not in disk.names()
    assert [segments.read(height) for height in range(1, 10)] == [block(height) for height in range(1, 10)]


def test_another_format_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, words in ((1, "run the one that wrote it"), (3, "run a newer one")):
        with monkeypatch.context() as patch:
            patch.setattr(segment_file, "SEGMENT_VERSION", version)
            disk = filled(2)
        with pytest.raises(OperatorFault, match=f"format {version}, this program knows 2; {words}"):
            open_segments(disk)


def test_a_reader_of_another_process_changes_nothing() -> None:
    disk = filled(5)
    path = names(disk, ".seg")[-1]
    disk.put(path, disk.content(path) + b"torn")
    before = {path: disk.content(path) for path in disk.names()}
    segments = open_segments(disk, writable=False)
    assert segments.read(5) == block(5)
    assert {path: disk.content(path) for path in disk.names()} == before
    with pytest.raises(AssertionError, match="opened to read"):
        segments.append(6, b"x")


# -- Failing disks --------------------------------------------------------------------------------------


def test_a_failed_sync_is_for_ever() -> None:
    disk = Disk(directories={PLACE})
    segments = open_segments(disk)
    segments.append(1, block(1))
    disk.syncs_until_failure = 0
    with pytest.raises(StoreFailed, match="injected"):
        segments.sync()
    disk.syncs_until_failure = None
    for call in (segments.sync, lambda: segments.append(2, b"x")):
        with pytest.raises(StoreFailed, match="nothing more"):
            call()
    assert segments.synced_height == 0


@pytest.mark.parametrize("capacity", [10, 200, 350, 420])
def test_a_full_disk_loses_nothing_and_writing_goes_on_when_there_is_room(capacity: int) -> None:
    """L-28: no room is not a failed sync."""
    disk = Disk(directories={PLACE}, capacity_bytes=capacity)
    segments = open_segments(disk)
    full = 0
    for height in range(1, 12):
        try:
            segments.append(height, block(height, extra=60))
            segments.sync()
        except DiskFull:
            full += 1
            promised = segments.synced_height
            after = open_segments(disk.fork())
            assert after.last_height >= promised
            assert not after.report.damaged
            disk.capacity_bytes = None
            if segments.last_height < height:
                segments.append(height, block(height, extra=60))
            segments.sync()
            disk.capacity_bytes = capacity
    assert full > 0
    disk.capacity_bytes = None
    segments.close()
    again = open_segments(disk)
    assert [again.read(height) for height in range(1, 12)] == [block(height, extra=60) for height in range(1, 12)]


def test_an_orderly_end_on_a_full_disk_is_one() -> None:
    """L-28: the blocks are durable; the full segment is sealed once there is room."""
    disk = filled(0)
    segments = open_segments(disk)
    for height in range(1, 12):
        segments.append(height, block(height))
    disk.capacity_bytes = 0
    segments.close()
    disk.capacity_bytes = None
    again = open_segments(disk)
    again.append(12, block(12))
    again.sync()
    assert [again.read(height) for height in range(1, 13)] == [block(height) for height in range(1, 13)]
    assert len(names(disk, ".seg")) == 2, "sealed by now"


def test_golden_bytes_of_a_segment_and_its_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Format 2, byte for byte: a change here is a change of the disk format."""
    monkeypatch.setattr(os, "urandom", lambda count: bytes(range(count)))
    disk = Disk(directories={PLACE})
    segments = Segments.open(PLACE, disk, NETWORK, segment_bytes=150)
    segments.append(7, b"seven")
    segments.append(8, b"eight")
    segments.sync()
    assert disk.content(names(disk, ".seg")[0]) == golden("segment")
    assert disk.content(names(disk, ".idx")[0]) == golden("segment index")


@pytest.mark.parametrize("close", [False, True])
def test_a_segment_is_sealed_by_what_its_blocks_open_to(close: bool) -> None:
    """Who mends one has them in memory: so they are bounded, however small they are on disk."""
    disk = Disk(directories={PLACE})
    segments = Segments.open(PLACE, disk, NETWORK, segment_bytes=10_000)
    for height in range(1, 9):
        segments.append(height, bytes([height]) * 3_000)
        segments.sync()
        if close:
            segments.close()
            segments = Segments.open(PLACE, disk, NETWORK, segment_bytes=10_000)
    assert [first for first, _, _ in segments.sealed] == [1, 5]
    assert all(size < 1_000 for _, _, size in segments.sealed)
    assert segments.read(8) == bytes([8]) * 3_000


@pytest.mark.parametrize("body", [b"\xc1junk", b"\xc1" + ZstdCompressor().compress(b"")], ids=["junk", "nothing"])
def test_a_block_that_checks_and_cannot_be_opened_is_damage(body: bytes) -> None:
    disk = Disk(directories={PLACE})
    header = SegmentHeader(NETWORK, 1, bytes(16))
    content = header.encode()
    for height, data in enumerate((block(1), body, block(3)), 1):
        content += make_frame(header.seal(), len(content), height, len(content), data)
    disk.put(segment_path(PLACE, 1), content)
    segments = open_segments(disk)
    with pytest.raises(SegmentDamaged) as caught:
        segments.read(2)
    assert caught.value.height == 2
    assert segments.damaged == {2}
    assert segments.read_range(1, 3, 10_000) == [block(1)]
    segments.mend({2: block(2)})
    assert segments.read_range(1, 3, 10_000) == [block(1), block(2), block(3)]


# -- Heights --------------------------------------------------------------------------------------------


def with_heights(*heights: int, damaged: bool = False) -> bytes:
    """A segment from height 1 on, of records that check and name these heights; 0 is a mark of the one before it."""
    header = SegmentHeader(NETWORK, 1, bytes(16))
    content = header.encode()
    for at, height in enumerate(heights):
        tag, body = (height, block(height)) if height else (heights[at - 1], b"")
        content += make_frame(header.seal(), len(content), tag, len(content), body)
        if damaged and at == 0:
            content += bytes(2 * (FRAME_OVERHEAD_BYTES + 1))  # room for two blocks at most
    return content


@pytest.mark.parametrize("heights", [(2,), (1, 3), (1, 1), (2, 1), (1, 2**63), (1, 2, 1), (1, 0, 3)], ids=str)
def test_records_that_check_and_do_not_follow_each_other_are_damage(heights: tuple[int, ...]) -> None:
    """L-25: whoever wrote them, no height is guessed, and nothing is allotted for one that cannot be."""
    disk = Disk(directories={PLACE})
    disk.put(segment_path(PLACE, 1), with_heights(*heights))
    with pytest.raises(SegmentDamaged, match="stands where that cannot be"):
        open_segments(disk)
    disk.put(segment_path(PLACE, 10), SegmentHeader(NETWORK, 10, bytes(16)).encode())
    segments = open_segments(disk)
    assert any("cannot be" in words for words in segments.report.damaged), "a sealed one is mended while the node runs"
    with pytest.raises(SegmentDamaged):
        segments.read(1)


@pytest.mark.parametrize("height, good", [(2, True), (4, True), (5, False), (2**40, False)])
def test_damage_stands_for_as_many_blocks_as_its_bytes_can_have_held(height: int, good: bool) -> None:
    disk = Disk(directories={PLACE})
    disk.put(segment_path(PLACE, 1), with_heights(1, height, damaged=True))
    if good:
        assert open_segments(disk).last_height == height
    else:
        with pytest.raises(SegmentDamaged, match=f"height {height}"):
            open_segments(disk)
