"""The walk over the state's file without LMDB: whole stores pass, and every injury to the structure is told."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from daemon.store.pages import PageDamaged, walk
from daemon.store.tables import StateStore
from protocol.ledger.tables import NAMES, Table, Writes

NETWORK = bytes(32)
PAGE = 4096
HEAD = 16
SIZE = sum(NAMES[Table.PLACE])
INSIDE, TIGHT = 0x62, 0x22
"""Flags of a page inside an entry, and of a leaf of values of one size, without the mark of a changed one (0x10)."""

Damage = Callable[[bytearray, int], None]


def made(directory: Path, rows: int, seed: int = 1) -> Path:
    random = Random(seed)
    with closing(StateStore.open(directory, NETWORK, writer=True)) as store:
        for height in range(3):
            writes: Writes = {(Table.PLACE, random.randbytes(SIZE)): b"" for _ in range(rows)}
            store.commit([writes | {(Table.STATE, b"long"): random.randbytes(5_000)}], height)
    return directory / "data.mdb"


def tight_pages(data: bytes, path: Path) -> list[int]:
    """Offsets of the leaves of values of one size that the walk reaches; of two or more values."""
    return [at for at in range(2 * PAGE, len(data), PAGE) if is_tight(data, at) and reached(path, at)]


def is_tight(data: bytes, at: int) -> bool:
    _, size, flags, lower, _ = struct.unpack_from("<QHHHH", data, at)
    return bool(flags & ~0x10 == TIGHT and size == SIZE and lower > HEAD + 2)


def reached(path: Path, at: int) -> bool:
    """Whether the page matters: with another number in its head it is damage."""
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + b"\xff" * 8 + whole[at + 8 :])
    try:
        walk(path)
    except PageDamaged:
        return True
    finally:
        path.write_bytes(whole)
    return False


@pytest.mark.parametrize("rows", [0, 1, 2, 30, 60, 400, 40_000])
def test_tables_of_names_of_every_size_are_walked(tmp_path: Path, rows: int) -> None:
    """A single value, a page inside an entry, a tree of one page, of several levels."""
    path = made(tmp_path / "state", rows)
    roots = walk(path)
    assert roots.main.entries == len(Table) + 1
    with closing(StateStore.open(path.parent, NETWORK, writer=False)) as store, store.reader() as reader:
        assert reader.count(Table.PLACE) == 3 * rows


def test_whatever_commits_leave_is_walked(tmp_path: Path) -> None:
    """Rows that come and go in all tables: leaves merge, and pages are made in memory that had others."""
    random = Random(3)
    path = tmp_path / "state"
    held: Writes = {}
    with closing(StateStore.open(path, NETWORK, writer=True)) as store:
        for height in range(40):
            writes: Writes = dict.fromkeys(random.sample(list(held), len(held) * random.randrange(90) // 100))
            for table in Table:
                size = sum(NAMES.get(table, (8,)))
                for _ in range(random.choice((0, 3, 200))):
                    value = b"" if table in NAMES else random.randbytes(random.choice((0, 30, 3_000)))
                    writes[table, random.randbytes(size)] = value
            store.commit([writes], height)
            held = {place: value for place, value in (held | writes).items() if value is not None}
            walk(path / "data.mdb")
        store.copy_to(tmp_path / "copy")
        store.clear()
        walk(path / "data.mdb")
    walk(tmp_path / "copy" / "data.mdb")
    with closing(StateStore.open(tmp_path / "copy", NETWORK, writer=False)) as store, store.reader() as reader:
        there = {(table, key): value for table in Table for key, value in reader.scan(table, b"", limit=100_000)}
    assert there == held
    assert NAMES.keys() <= {table for table, _ in there}, "the test is about them"


@pytest.mark.parametrize("flag", [0x10, 0x80, 0x4000, 0x8000])
def test_flags_that_no_page_on_disk_has_are_told(tmp_path: Path, flag: int) -> None:
    """LMDB would believe that a page is being changed, and write it at its place."""
    path = made(tmp_path / "state", 2_000)
    whole = path.read_bytes()
    kinds: dict[int, int] = {}
    for at in range(2 * PAGE, len(whole), PAGE):
        if reached(path, at):
            kinds.setdefault(struct.unpack_from("<H", whole, at + 10)[0], at)
    assert kinds.keys() == {0x01, 0x02, 0x04, TIGHT}, "branches, leaves, long values, leaves of names"
    for kind, at in kinds.items():
        data = bytearray(whole)
        struct.pack_into("<H", data, at + 10, kind | flag)
        path.write_bytes(data)
        with pytest.raises(PageDamaged):
            walk(path)


def put(form: str, at: int, value: int) -> Damage:
    return lambda data, page: struct.pack_into(form, data, page + at, value)


def swap_values(data: bytearray, page: int) -> None:
    first, second = page + HEAD, page + HEAD + SIZE
    data[first:second], data[second : second + SIZE] = data[second : second + SIZE], data[first:second]


def repeat_value(data: bytearray, page: int) -> None:
    data[page + HEAD : page + HEAD + SIZE] = data[page + HEAD + SIZE : page + HEAD + 2 * SIZE]


def fewer(data: bytearray, page: int) -> None:
    (lower,) = struct.unpack_from("<H", data, page + 12)
    struct.pack_into("<H", data, page + 12, lower - 2)


def strange_value(data: bytearray, page: int) -> None:
    """Belongs to another page, if there are several; else it is content, which the walk does not judge."""
    (lower,) = struct.unpack_from("<H", data, page + 12)
    last = page + HEAD + ((lower - HEAD) // 2 - 1) * SIZE
    data[page + HEAD : page + HEAD + SIZE] = bytes(SIZE)
    data[last : last + SIZE] = b"\xff" * SIZE


DAMAGES: dict[str, Damage] = {
    "another size": put("<H", 8, 12),
    "no size": put("<H", 8, 0),
    "a size past the page": put("<H", 8, 4_000),
    "an ordinary leaf": put("<H", 10, 0x02),
    "a branch": put("<H", 10, 0x01),
    "no values": put("<H", 12, HEAD),
    "half a value": put("<H", 12, HEAD + 3),
    "below the head": put("<H", 12, 2),
    "past the page": put("<H", 12, PAGE - 2),
    "one value fewer": fewer,
    "swapped": swap_values,
    "twice": repeat_value,
    "of another page": strange_value,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_to_leaves_of_values_is_told(tmp_path: Path, damage: Damage) -> None:
    path = made(tmp_path / "state", 2_000)
    whole = path.read_bytes()
    pages = tight_pages(whole, path)
    assert len(pages) > 10, "the test is about a tree of several"
    for page in Random(2).sample(pages, 5):
        data = bytearray(whole)
        damage(data, page)
        path.write_bytes(data)
        with pytest.raises(PageDamaged):
            walk(path)


@pytest.mark.parametrize("damage", [DAMAGES[name] for name in DAMAGES if name not in ("of another page", "a branch")])
def test_damage_to_a_page_inside_an_entry_is_told(tmp_path: Path, damage: Damage) -> None:
    path = made(tmp_path / "state", 10)
    whole = path.read_bytes()
    found = [
        at
        for at in range(2 * PAGE, len(whole) - HEAD)
        if struct.unpack_from("<HH", whole, at + 8) in ((SIZE, INSIDE), (SIZE, INSIDE | 0x10))
    ]
    told = 0
    for page in found:
        data = bytearray(whole)
        damage(data, page)
        path.write_bytes(data)
        try:
            walk(path)
        except PageDamaged:
            told += 1
    assert told == 1, "one of them is that of the newest commit"
