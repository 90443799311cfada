"""L-28: pressure begins before the disk is full, ends when there is room, and does not flutter."""

from __future__ import annotations

from daemon import limits
from daemon.runtime.disk import DiskWatch

LOW, ENOUGH = limits.DISK_FREE_LOW_BYTES, limits.DISK_FREE_ENOUGH_BYTES


def test_pressure_has_hysteresis() -> None:
    told: list[bool] = []
    watch = DiskWatch(lambda: 0, told.append)
    for free in (ENOUGH, LOW, LOW - 1, LOW, ENOUGH - 1, LOW - 1, ENOUGH, ENOUGH - 1, LOW):
        watch.look(free)
    assert told == [True, False]


def test_a_write_that_finds_no_room_is_told_at_once_and_once() -> None:
    told: list[bool] = []
    watch = DiskWatch(lambda: 0, told.append)
    watch.found_full("a quota")
    watch.found_full("a quota")
    watch.look(LOW)
    assert told == [True]
    watch.look(ENOUGH)
    assert told == [True, False]


def test_while_writes_are_refused_free_bytes_mean_nothing() -> None:
    """A read-only disk, a quota, no inodes: pressure does not flutter between two tries."""
    told: list[bool] = []
    watch = DiskWatch(lambda: 0, told.append)
    for _ in range(3):
        watch.found_full("the disk is read-only")
        watch.look(ENOUGH)
    assert told == [True]
    watch.look(ENOUGH)
    assert told == [True, False]
