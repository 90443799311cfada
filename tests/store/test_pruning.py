"""Old segments go whole, nothing that is needed goes, and a crash anywhere leaves a whole directory (L-25)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import structlog

from daemon.runtime.pruner import Pruner
from daemon.store import directory as store_directory
from daemon.store.files import OsFiles
from daemon.store.history import Beginning, read_beginning, write_beginning
from daemon.store.pruning import Plan, plan_pruning, prune
from daemon.store.rows import StateReader
from daemon.store.segment_file import segment_path
from daemon.store.segments import Segments
from daemon.store.tables import StateStore
from daemon.upkeep.check import Subject, check_directory
from protocol.codec import decode
from protocol.errors import OperatorFault
from protocol.ledger.index import number_key
from protocol.ledger.records import Block, Header
from protocol.ledger.tables import Reader, Table
from protocol.snapshot.keeping import Keep
from tests.store.disk import Disk, crashes
from tests.upkeep.made import ABOVE, JOURNAL_ID, SEGMENT_BYTES, Chain, make, small_window

BLOCKS = 70
EVERYTHING_NEEDED = 30
"""At most so many of the newest blocks are needed by anybody."""


@cache
def chain() -> Chain:
    return small_window(BLOCKS)


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    return make(tmp_path / "data", chain())


@contextmanager
def opened(subject: Subject) -> Iterator[tuple[Segments, StateReader]]:
    segments = Segments.open(subject.directory / "segments", OsFiles(), chain().network_id, segment_bytes=SEGMENT_BYTES)
    state = StateStore.open(subject.directory / "state", chain().network_id, writer=False, alone=True)
    try:
        with state.reader() as reader:
            yield segments, reader
    finally:
        state.close()
        segments.close()


def plan(subject: Subject, keep: Keep, snapshots: tuple[int, ...] = ()) -> Plan:
    with opened(subject) as (segments, reader):
        return plan_pruning(segments, reader, subject.genesis.parameters, keep, snapshots)


def do(subject: Subject, keep: Keep, archive: Path | None = None) -> Plan:
    with opened(subject) as (segments, reader):
        made = plan_pruning(segments, reader, subject.genesis.parameters, keep)
        gone = prune(subject.directory, OsFiles(), segments, reader, made, archive)
        assert len(gone) == 2 * len(made.gone), "each with its index"
    return made


def test_whole_segments_go_and_nothing_that_is_needed(subject: Subject) -> None:
    last = BLOCKS - ABOVE
    assert plan(subject, Keep()).gone == ()
    for blocks in (1, 40, 60):
        made = plan(subject, Keep(blocks=blocks))
        assert made.first_height <= max(1, last - blocks + 1), "what is to be kept stays"
        assert made.first_height <= last - 2 * 5, "and what a start reads"
        assert all(first < following <= made.first_height for first, following, _ in made.gone)
    few, many = plan(subject, Keep(blocks=1)), plan(subject, Keep(blocks=40))
    assert few.first_height > BLOCKS - EVERYTHING_NEEDED - 15, "and not much more than that"
    assert "need what is above" in few.why
    assert many.first_height < few.first_height
    assert "the newest 40 blocks" in many.why
    assert plan(subject, Keep(blocks=1), snapshots=(20,)).gone == (), "a joiner of that snapshot asks for all of it"
    day = plan(subject, Keep(ms=86_400_000))
    assert day.gone == ()
    assert plan(subject, Keep(ms=4_500)).first_height < few.first_height


class Gaps:
    """A reader of tables that came with a snapshot: of these heights they know no roots."""

    def __init__(self, reader: Reader, heights: Collection[int]) -> None:
        self._reader = reader
        self._hidden = {number_key(height) for height in heights}

    def get(self, table: Table, key: bytes) -> bytes | None:
        return None if table is Table.ROOTS and key in self._hidden else self._reader.get(table, key)

    def scan(self, *given: Any, **more: Any) -> Any:
        return self._reader.scan(*given, **more)

    def named(self, *given: Any) -> Any:
        return self._reader.named(*given)


@pytest.mark.parametrize("keep", [Keep(ms=ms) for ms in (2_000, 3_000, 4_500)] + [Keep(blocks=1)])
def test_heights_without_roots_lose_no_block_that_is_needed(subject: Subject, keep: Keep) -> None:
    """A probe that finds nothing must not count as old."""
    last = BLOCKS - ABOVE
    parameters = subject.genesis.parameters
    with opened(subject) as (segments, reader):
        whole = plan_pruning(segments, reader, parameters, keep)
        assert whole.wanted_height > 1
        for gap in [range(1, last), range(20, 60), range(1, last, 2), *(range(at, at + 9) for at in range(1, 60, 9))]:
            made = plan_pruning(segments, Gaps(reader, gap), parameters, keep)
            assert made == whole, gap


def test_a_height_that_cannot_say_its_time_counts_as_later(subject: Subject) -> None:
    parameters = subject.genesis.parameters
    with opened(subject) as (segments, reader):
        whole = plan_pruning(segments, reader, parameters, Keep(ms=2_000))
        path = segment_path(segments.directory, whole.gone[0][0])
        path.write_bytes(path.read_bytes()[:-64] + bytes(64))
        made = plan_pruning(segments, Gaps(reader, range(1, BLOCKS - ABOVE)), parameters, Keep(ms=2_000))
        assert made.first_height <= whole.first_height


def test_a_pruned_directory_is_whole_and_says_where_it_begins(subject: Subject) -> None:
    made = do(subject, Keep(blocks=1))
    assert made.gone
    beginning = read_beginning(subject.directory, OsFiles())
    assert beginning is not None
    assert beginning.first_height == made.first_height
    below = decode(Header, decode(Block, chain().blocks[made.first_height]).header).parent
    assert beginning.below == below
    report = check_directory(subject)
    assert report.damage == [], report.damage
    assert report.first_height == made.first_height
    assert "values, trie and log with the roots" in report.state_compared
    store = store_directory.open_directory(subject.directory, chain().network_id, JOURNAL_ID)
    try:
        assert store.first_kept == made.first_height
        assert not any("missing" in words for words in store.reports()), store.reports()
        assert store.segments.read(made.first_height - 1) is None
        assert store.segments.read(made.first_height) is not None
        assert store.segments.damaged == set(), "what is gone is no damage"
    finally:
        store.close()
    assert plan(subject, Keep(blocks=1)).gone == (), "there is nothing more to do"


def test_a_running_node_prunes_what_its_settings_say_and_nothing_more(subject: Subject) -> None:
    segments = Segments.open(subject.directory / "segments", OsFiles(), chain().network_id, segment_bytes=SEGMENT_BYTES)
    state = StateStore.open(subject.directory / "state", chain().network_id, writer=False, alone=True)
    parameters, served = subject.genesis.parameters, [20]
    pruner = Pruner(subject.directory, segments, state, parameters, Keep(blocks=1), lambda: served)
    with structlog.testing.capture_logs() as logs:
        assert pruner.look() is not None
        assert segments.first_height == 1, "a snapshot that is served needs all of it"
        served.clear()
        made = pruner.look()
        assert made is not None
        assert segments.first_height == made.first_height > 1
        assert segments.read(1) is None
        again = pruner.look()
        assert again is not None
        assert again.gone == ()
    assert [line["event"] for line in logs] == ["pruned"]
    state.close()
    segments.close()


def test_blocks_that_are_lost_above_the_mark_are_damage(subject: Subject) -> None:
    do(subject, Keep(blocks=1))
    first = min((subject.directory / "segments").glob("*.seg"))
    first.unlink()
    first.with_suffix(".idx").unlink()
    report = check_directory(subject, quick=True)
    assert any("the file that begins at the first block is missing" in finding.words for finding in report.damage)


Damage = Callable[[bytes, bytes], tuple[bytes, bytes | None]]


def damage_first_row(subject: Subject, table: Table, damage: Damage) -> None:
    """Write what is made of the first row of a table of the state."""
    state = StateStore.open(subject.directory / "state", chain().network_id, writer=True)
    with state.reader() as reader:
        key, value = damage(*reader.scan(table, b"", limit=1)[0])
        height = reader.height
    assert height is not None
    state.commit([{(table, key): value}], height)
    state.close()


def test_damage_to_a_value_is_found_without_the_old_blocks(subject: Subject, tmp_path: Path) -> None:
    """What execution would find elsewhere is found here by the root."""
    do(subject, Keep(blocks=1))
    damage_first_row(subject, Table.STATE, lambda key, value: (key, value[:-1] + bytes([value[-1] ^ 1])))
    report = check_directory(subject)
    assert any("its values have another root" in finding.words for finding in report.damage), report.findings
    assert any('sync = "snapshot"' in finding.words for finding in report.findings), "and what to do is said"


@pytest.mark.parametrize(
    "damage",
    [
        lambda row, _: (row, None),
        lambda row, _: (bytes(7) + row[7:], b""),
    ],
    ids=["missing", "one too many"],
)
def test_damage_to_a_place_is_found_without_the_old_blocks(subject: Subject, damage: Damage) -> None:
    """No root covers it, and it follows from what one does cover."""
    do(subject, Keep(blocks=1))
    damage_first_row(subject, Table.PLACE, damage)
    report = check_directory(subject)
    assert any("are not found by their names" in finding.words for finding in report.damage), report.findings


def test_an_archive_has_the_very_bytes(subject: Subject, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in (subject.directory / "segments").iterdir()}
    made = do(subject, Keep(blocks=1), tmp_path / "archive")
    there = {path.name: path.read_bytes() for path in (tmp_path / "archive").iterdir()}
    left = {path.name for path in (subject.directory / "segments").iterdir()}
    assert there.keys() == before.keys() - left
    assert all(before[name] == data for name, data in there.items())
    archive = Segments.open(tmp_path / "archive", OsFiles(), chain().network_id, writable=False)
    assert archive.last_height == made.first_height - 1
    assert archive.read(1) == chain().blocks[1]


def test_an_archive_that_cannot_be_written_loses_nothing(subject: Subject, tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("a file where a directory should be")
    with pytest.raises(OperatorFault, match="nothing has gone"):
        do(subject, Keep(blocks=1), tmp_path / "archive")
    assert read_beginning(subject.directory, OsFiles()) is None
    assert check_directory(subject, quick=True).first_height == 1


def test_a_mark_that_cannot_be_read_is_said(subject: Subject) -> None:
    do(subject, Keep(blocks=1))
    (subject.directory / "history.json").write_text("{}")
    with pytest.raises(OperatorFault, match=r"history\.json cannot be read"):
        store_directory.open_directory(subject.directory, chain().network_id, JOURNAL_ID)


# -- Crashes ----------------------------------------------------------------------------------------

PLACE = Path("/node")
NETWORK = bytes(range(32))
SMALL = 400


def block(height: int) -> bytes:
    return height.to_bytes(4, "big") * 20


def test_a_crash_at_every_step_of_a_pruning_leaves_all_blocks_or_all_above_the_mark() -> None:
    disk = Disk(directories={PLACE, PLACE / "segments"})
    segments = Segments.open(PLACE / "segments", disk, NETWORK, segment_bytes=SMALL)
    for height in range(1, 31):
        segments.append(height, block(height))
        segments.sync()
    disk.moments.clear()
    first = 1
    for wanted in (12, 23):
        first = max(following for _, following, _ in segments.sealed if following <= wanted)
        write_beginning(PLACE, disk, Beginning(first, bytes(32), "pruned"))
        assert segments.drop_below(first)
    assert segments.first_height == first
    tried, marked = 0, 0
    for number, moment in enumerate(disk.moments):
        for words, cut in crashes(moment, set(disk.directories)):
            where = f"step {number} ({moment.step}), {words}"
            beginning = read_beginning(PLACE, cut)
            lowest = 1 if beginning is None else beginning.first_height
            after = Segments.open(PLACE / "segments", cut, NETWORK, segment_bytes=SMALL)
            after.drop_below(lowest)
            assert after.first_height == lowest, where
            assert after.last_height == 30, where
            assert not after.report.damaged, where
            assert all(after.read(height) == block(height) for height in range(lowest, 31)), where
            tried, marked = tried + 1, marked + (beginning is not None)
    assert tried > 30
    assert marked
