"""L-24: the journal is cut only behind synced segments, and loses nothing that is alive."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import trio

from daemon.runtime import patience
from daemon.runtime.keeper import JournalKeeper
from daemon.runtime.pump import Pump
from daemon.store.errors import DiskFull, StoreFailed
from protocol.node.interface import Effect, JournalRecord, Persist


def record(number: int) -> JournalRecord:
    return JournalRecord(1, b"%04d" % number)


class FakeJournal:
    """A journal in memory with the real one's contract; ten bytes a record."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.durable: list[JournalRecord] = []
        self.waiting: list[JournalRecord] = []
        self.rotating = False
        self.faults: list[Exception] = []

    @property
    def written_bytes(self) -> int:
        return 10 * len(self.durable)

    def append(self, records: Sequence[JournalRecord]) -> int:
        self.waiting.extend(records)
        return 0

    def rotate(self, live_records: Sequence[JournalRecord]) -> int:
        self.waiting = list(live_records)
        self.rotating = True
        return 0

    def sync(self) -> int:
        if self.faults:
            raise self.faults.pop(0)
        if self.rotating:
            self.durable, self.rotating = [], False
            self.log.append("rotated")
        self.durable.extend(self.waiting)
        self.waiting = []
        return 0


class Hands:
    def begin(self, effect: Effect) -> None: ...
    def carry_out(self, effect: Effect) -> None: ...


async def directly(work: Callable[[], object]) -> None:
    await trio.lowlevel.checkpoint()
    work()


class Bench:
    """A pump over a keeper over a fake journal, and segments that sync when the test says so."""

    def __init__(self, generation_bytes: int = 50) -> None:
        self.log: list[str] = []
        self.journal = FakeJournal(self.log)
        self.alive: list[JournalRecord] = []
        self.requests: list[Callable[[], None]] = []
        self.full = 0
        self.keeper = JournalKeeper(
            self.journal,
            live_records=lambda: list(self.alive),
            sync_segments=self.requests.append,
            disk_full=self.count_full,
            write=directly,
            write_large=directly,
            generation_bytes=generation_bytes,
        )
        self.pump = Pump(Hands(), self.keeper.commit, lambda count: None, self.keeper.after_release)
        self.keeper.ring = self.pump.ring

    def count_full(self, words: str) -> None:
        self.full += 1

    async def persist(self, *numbers: int) -> None:
        for number in numbers:
            self.pump.take([Persist(record(number))])
            await trio.testing.wait_all_tasks_blocked()


async def test_a_large_generation_is_replaced_behind_synced_segments(nursery: trio.Nursery) -> None:
    bench = Bench()
    nursery.start_soon(bench.pump.run)
    await bench.persist(1, 2, 3, 4, 5)
    assert not bench.requests, "fifty bytes are not there when the fifth commit begins"
    bench.alive = [record(4), record(5), record(6)]
    await bench.persist(6)
    assert len(bench.requests) == 1
    assert bench.log == [], "not before the segments are synced"
    await bench.persist(7, 8)
    assert [r.data for r in bench.journal.durable][-2:] == [b"0007", b"0008"], "commits go on meanwhile"
    assert bench.log == [], "still not"
    bench.requests.pop()()
    await trio.testing.wait_all_tasks_blocked()
    assert bench.log == ["rotated"]
    assert bench.journal.durable == [record(n) for n in (4, 5, 6, 7, 8)], "the live ones and those since, once each"


async def test_what_is_alive_at_the_end_is_not_cut_by_an_older_request(nursery: trio.Nursery) -> None:
    """Live records are those of the moment the rotation began; what became final since is kept until the next."""
    bench = Bench()
    nursery.start_soon(bench.pump.run)
    await bench.persist(1, 2, 3, 4, 5)
    bench.alive = [record(5), record(6)]
    await bench.persist(6)
    bench.alive = []
    bench.requests.pop()()
    await trio.testing.wait_all_tasks_blocked()
    assert bench.journal.durable == [record(5), record(6)]


async def test_a_generation_that_begins_large_is_left_until_it_doubles(nursery: trio.Nursery) -> None:
    bench = Bench()
    nursery.start_soon(bench.pump.run)
    bench.alive = [record(n) for n in range(8)]
    await bench.persist(*range(6))
    bench.requests.pop()()
    await trio.testing.wait_all_tasks_blocked()
    assert bench.journal.written_bytes == 80
    await bench.persist(*range(10, 17))
    assert not bench.requests
    await bench.persist(17, 18)
    assert len(bench.requests) == 1


async def test_a_full_disk_is_waited_out_and_nothing_is_written_twice(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """L-28."""
    bench = Bench()
    nursery.start_soon(bench.pump.run)
    bench.journal.faults = [DiskFull("no room"), DiskFull("no room")]
    bench.pump.take([Persist(record(1))])
    await bench.pump.drained()
    assert bench.full == 2
    assert trio.current_time() >= 2 * patience.RETRY_SECONDS
    assert bench.journal.durable == [record(1)]


async def test_a_failed_sync_is_never_repeated() -> None:
    bench = Bench()
    bench.journal.faults = [StoreFailed("gone")]
    with pytest.raises(StoreFailed):
        await bench.keeper.commit([record(1)])
    assert bench.journal.durable == []
