"""Records that are only ever added: pages, names, layers, history (L-20)."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.codec import encode
from protocol.crypto import trie
from protocol.errors import BrokenInvariant, Malformed, Refused
from protocol.ledger import added
from protocol.ledger.added import (
    CHARGED_BYTES,
    PAGE_BYTES,
    PAGES,
    Added,
    AddedPage,
    AddedRecord,
    Place,
    added_record,
    located,
    names_of,
    newest,
    pack_pages,
    pack_place,
    place_rows,
    read_page,
    second_found,
    second_of,
    unpack_place,
)
from protocol.ledger.index import read_head
from protocol.ledger.memory import MemoryTables
from protocol.ledger.records import account_name
from protocol.ledger.spaces import Also, Part, Space, is_added_key, parse_state_key
from protocol.ledger.state import StateReader, StateTransaction
from protocol.ledger.tables import Table, Writes
from protocol.ledger.undo import HistoricState
from protocol.sim.raw import array
from tests.ledger.world import FACTS, NOTES, UNITS, Fact, Note, Tell, TestApplication, Units, World, key, said

ME = account_name(key(1).public)
SPACES = {space.name: space for space in (FACTS, NOTES)}


def added_fact(name: str, size: int) -> Added:
    parts, fact = (ME, name), Fact(name.encode().ljust(size, b"."))
    state_key = FACTS.key(parts)
    return Added(AddedRecord(state_key, encode(fact)), names_of(FACTS, state_key, second_of(FACTS, parts, fact)))


def stored(records: Sequence[Added], height: int = 7) -> MemoryTables:
    tables = MemoryTables()
    pages, places = pack_pages(height, records)
    tables.apply({(Table.STATE, at): value for at, value in pages.items()})
    tables.apply(dict.fromkeys(places, b""))
    return tables


def transaction(tables: MemoryTables) -> StateTransaction:
    state = StateTransaction(tables)
    state.writable = frozenset({FACTS.name})
    return state


# -- Pages ------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 9_000), max_size=40))
def test_records_lie_in_pages_in_order_and_each_is_found(sizes: list[int]) -> None:
    records = [added_fact(f"n{at}", size) for at, size in enumerate(sizes)]
    pages, places = pack_pages(7, records)
    in_order = [read_page(pages[PAGES.key((7, number))]) for number in range(len(pages))]
    assert [one for page in in_order for one in page] == [one.record for one in records]
    for page, value in zip(in_order, pages.values(), strict=True):
        assert len(page) == 1 or sum(len(one.key) + len(one.value) + 8 for one in page) <= PAGE_BYTES
        assert len(value) <= limits.STATE_VALUE_BYTES_MAX
    source = newest(stored(records))
    for at, one in enumerate(records):
        assert added_record(source, one.record.key) == one.record
        fact = Fact(f"n{at}".encode().ljust(sizes[at], b"."))
        assert second_found(source, FACTS, (said(fact.value), ME)) == ((ME, f"n{at}"), fact)
    assert len(places) == sum(len(one.names) for one in records)


@given(st.lists(st.integers(0, 3_000), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_places_follow_from_the_pages_in_any_order(sizes: list[int], random: Random) -> None:
    """A snapshot brings the pages alone, by path."""
    pages, places = pack_pages(9, [added_fact(f"n{at}", size) for at, size in enumerate(sizes)])
    listed = list(pages.items())
    random.shuffle(listed)
    found = [row for at, value in listed for row in place_rows(SPACES, at, value)]
    assert len(set(found)) == len(found) == len(places)
    assert set(found) == set(places)


@given(st.integers(1, 2**38 - 1), st.lists(st.integers(0, limits.ADDED_VALUE_BYTES_MAX), min_size=1, max_size=4))
def test_what_is_charged_covers_the_pages(height: int, sizes: list[int]) -> None:
    """L-12: so the state can't outgrow the quotas."""
    records = [Added(AddedRecord(b"k" * (1 + size % 480), bytes(size)), ()) for size in sizes]
    pages, _ = pack_pages(height, records)
    held = sum(len(at) + len(value) for at, value in pages.items())
    assert held <= sum(len(one.record.key) + len(one.record.value) + CHARGED_BYTES for one in records)


def test_the_largest_record_fits_the_state() -> None:
    longest = AddedRecord(b"k" * limits.STATE_KEY_BYTES_MAX, bytes(limits.ADDED_VALUE_BYTES_MAX))
    (value,) = pack_pages(2**38 - 1, [Added(longest, ())])[0].values()
    assert len(value) <= limits.STATE_VALUE_BYTES_MAX
    smallest = [Added(AddedRecord(b"k", b""), ())] * 10_000
    assert max(len(read_page(page)) for page in pack_pages(1, smallest)[0].values()) <= limits.ADDED_RECORDS_MAX


@pytest.mark.parametrize(
    "at, records",
    [
        (PAGES.key((1, 0)), [AddedRecord(NOTES.key((ME, "a")), encode(Note(b"")))]),
        (PAGES.key((1, 0)), [AddedRecord(FACTS.key((ME, "a")), encode(Note(b"")))]),
        (PAGES.key((1, 0)), [AddedRecord(array(None, "test.fact", 1), encode(Fact(b"")))]),
        (PAGES.key((1, 0)), [AddedRecord(array(None, "no.such"), encode(Fact(b"")))]),
        (PAGES.key((1, 0)), [AddedRecord(b"?", b"")]),
        (PAGES.key((1, -1)), [AddedRecord(FACTS.key((ME, "a")), encode(Fact(b"")))]),
        (PAGES.key((1, 65_536)), [AddedRecord(FACTS.key((ME, "a")), encode(Fact(b"")))]),
        (PAGES.key((0, 0)), [AddedRecord(FACTS.key((ME, "a")), encode(Fact(b"")))]),
        (PAGES.key((1 << 38, 0)), [AddedRecord(FACTS.key((ME, "a")), encode(Fact(b"")))]),
        (PAGES.key((1, 0))[:-1], [AddedRecord(FACTS.key((ME, "a")), encode(Fact(b"")))]),
    ],
    ids=[
        "of an ordinary space",
        "another class",
        "other parts",
        "no such space",
        "no key",
        "below",
        "above",
        "genesis",
        "far above",
        "half a key",
    ],
)
def test_a_page_that_nobody_vouches_for_is_refused(at: bytes, records: list[AddedRecord]) -> None:
    with pytest.raises(Malformed):
        list(place_rows(SPACES, at, encode(AddedPage(tuple(records)))))


def test_damaged_pages_and_places_are_broken_invariants() -> None:
    tables = stored([added_fact("a", 1)])
    source = newest(tables)
    found = located(source, FACTS.key((ME, "a")))
    assert found is not None
    place, _ = found
    with pytest.raises(BrokenInvariant):
        added.record_at(source, place._replace(at=1))
    for damaged in (b"?", None):
        tables.apply({(Table.STATE, PAGES.key((7, 0))): damaged})
        with pytest.raises(BrokenInvariant):
            added_record(source, FACTS.key((ME, "a")))
    assert added_record(source._replace(is_newest=False), FACTS.key((ME, "a"))) is None, (
        "of an earlier height it may lack"
    )


@pytest.mark.parametrize("state_key", [array(None, "test.fact"), array(None, "test.fact", 5, "a"), b"?"], ids=str)
def test_a_stored_record_with_a_damaged_key_is_a_broken_invariant(state_key: bytes) -> None:
    with pytest.raises(BrokenInvariant):
        added.opened(FACTS, AddedRecord(state_key, encode(Fact(b""))))


def test_keys_of_added_records_are_told_from_others() -> None:
    assert is_added_key(FACTS.key((ME, "a")))
    assert not is_added_key(NOTES.key((ME, "a")))
    assert not is_added_key(PAGES.key((1, 0)))
    assert parse_state_key(FACTS.key((ME, "a"))) == ("test.fact", (ME, "a"))


def test_a_second_key_belongs_to_added_records_and_ends_in_bytes() -> None:
    last, also = Part("x", "text", ""), FACTS.also
    with pytest.raises(BrokenInvariant):
        Space("test.bad", Fact, (last,), "", also=also)
    for parts in ((), (last,)):
        with pytest.raises(BrokenInvariant):
            Also("test.bad", parts, "", lambda parts, _record: parts)
    assert also is not None
    with pytest.raises(BrokenInvariant):
        also.check((ME, "text"))


# -- Layers -----------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "keep", "discard"]), st.sampled_from("abcdef"), st.sampled_from([b"", b"1", b"2"])
    ),
    max_size=30,
)


@given(STEPS, st.dictionaries(st.sampled_from("abc"), st.just(b"")))
def test_layers_equal_a_naive_model(steps: list[tuple[str, str, bytes]], before: dict[str, bytes]) -> None:
    """What an envelope adds is there at once, by both keys, and gone when it is discarded."""
    state = transaction(stored([added_fact_of(name, value) for name, value in before.items()]))
    kept, present = dict(before), dict(before)
    for what, name, value in steps:
        taken = {told for told in present.values() if told}
        if what == "put" and name not in present and value not in taken:
            state.put(FACTS, (ME, name), Fact(value))
            present[name] = value
        elif what == "keep":
            state.keep()
            kept = dict(present)
        elif what == "discard":
            state.discard()
            present = dict(kept)
        grown = [AddedRecord(FACTS.key((ME, one)), encode(Fact(present[one]))) for one in present.keys() - kept.keys()]
        assert state.growth_bytes() == sum(len(one.key) + len(one.value) + CHARGED_BYTES for one in grown)
        for each in "abcdef":
            expected = Fact(present[each]) if each in present else None
            assert state.get(FACTS, (ME, each)) == expected
        for told in (b"1", b"2"):
            owner = next((one for one, other in present.items() if other == told), None)
            assert state.find(FACTS, (said(told), ME)) == (None if owner is None else ((ME, owner), Fact(told)))
    state.discard()
    assert state.changes() == {}
    assert [one.record.key for one in state.added()] == [FACTS.key((ME, one)) for one in kept if one not in before]


def added_fact_of(name: str, value: bytes) -> Added:
    state_key = FACTS.key((ME, name))
    fact = Fact(value)
    return Added(AddedRecord(state_key, encode(fact)), names_of(FACTS, state_key, second_of(FACTS, (ME, name), fact)))


def test_nothing_is_added_twice_changed_or_removed() -> None:
    for state in (transaction(stored([added_fact("a", 1)])), transaction(MemoryTables())):
        if state.get(FACTS, (ME, "a")) is None:
            state.put(FACTS, (ME, "a"), Fact(b"x"))
        with pytest.raises(BrokenInvariant):
            state.put(FACTS, (ME, "a"), Fact(b"y"))
        with pytest.raises(BrokenInvariant):
            state.delete(FACTS, (ME, "a"))
    with pytest.raises(BrokenInvariant):
        transaction(MemoryTables()).put(NOTES, (ME, "a"), Note(b""))


def test_a_record_has_a_largest_size() -> None:
    state = transaction(MemoryTables())
    most = limits.ADDED_VALUE_BYTES_MAX - len(encode(Fact(bytes(1_000)))) + 1_000
    state.put(FACTS, (ME, "a"), Fact(bytes(most)))
    with pytest.raises(Refused) as caught:
        state.put(FACTS, (ME, "b"), Fact(bytes(most + 1)))
    assert caught.value.code == "too_large"


@pytest.mark.parametrize("where", ["stored", "block", "envelope"])
@pytest.mark.parametrize("which", ["first", "second"])
def test_two_keys_of_one_hash(monkeypatch: pytest.MonkeyPatch, where: str, which: str) -> None:
    """Neither is ever taken for the other, and nobody is refused for it."""
    if which == "first":
        monkeypatch.setattr(added, "name_of", lambda _key: bytes(7))
    else:
        monkeypatch.setattr(added, "second_name", lambda _also, _parts: bytes(12))
    tables = stored([added_fact("a", 1)]) if where == "stored" else MemoryTables()
    state = transaction(tables)
    if where != "stored":
        state.put(FACTS, (ME, "a"), Fact(b"a"))
    if where == "block":
        state.keep()
    assert state.get(FACTS, (ME, "b")) is None
    assert state.find(FACTS, (said(b"b"), ME)) is None
    state.put(FACTS, (ME, "b"), Fact(b"b"))
    state.keep()
    pages, places = pack_pages(8, state.added())
    writes: Writes = {(Table.STATE, at): value for at, value in pages.items()}
    tables.apply(writes | dict.fromkeys(places, b""))
    for view in (state, StateReader(tables), transaction(tables)):
        for name in "ab":
            assert view.get(FACTS, (ME, name)) == Fact(name.encode())
            assert view.find(FACTS, (said(name.encode()), ME)) == ((ME, name), Fact(name.encode()))
        assert view.get(FACTS, (ME, "c")) is None
        assert view.find(FACTS, (said(b"c"), ME)) is None


# -- Blocks -----------------------------------------------------------------------------------------


def test_a_block_commits_to_what_it_adds() -> None:
    world = World()
    done = world.run(world.tell(1, "a", "b", size=3_000), world.tell(2, "c"), world.put(3))
    assert [receipt.code for receipt in done.receipts] == ["ok"] * 3
    state = StateReader(world.tables)
    assert state.get(FACTS, (ME, "b")) == Fact(b"b".ljust(3_000, b"."))
    assert state.find(FACTS, (said(b"c"), ME)) == ((ME, "c"), Fact(b"c"))
    pages = dict(world.tables.scan(Table.STATE, PAGES.key((1, 0))[:-2]))
    assert list(pages) == [PAGES.key((1, 0)), PAGES.key((1, 1))]
    pairs = dict(world.tables.scan(Table.STATE, b"", limit=10_000))
    assert trie.update(lambda _: None, dict(pairs))[0] == read_head(world.tables).executed.state_root
    assert not any(is_added_key(at) for at in pairs), "they lie in pages only"


def test_a_failed_envelope_adds_nothing_and_its_names_are_free() -> None:
    world = World()
    bad = world.envelope(1, [("tell", Tell("a", b"said")), ("put", b"?")])
    done = world.run(bad, world.envelope(2, [("tell", Tell("a", b"said"))]))
    assert [receipt.code for receipt in done.receipts] == ["bad_arguments", "ok"]
    assert StateReader(world.tables).find(FACTS, (said(b"said"), ME)) == ((ME, "a"), Fact(b"said"))


def test_the_state_of_an_earlier_height_lacks_what_came_later() -> None:
    world = World()
    world.run(world.tell(1, "a"))
    world.run(world.tell(2, "b"), world.put(3))
    world.run()
    for height, there in ((0, ""), (1, "a"), (2, "ab"), (3, "ab")):
        past = HistoricState(world.tables, height)
        for name in "abc":
            fact = Fact(name.encode()) if name in there else None
            assert past.get(FACTS, (ME, name)) == fact
            assert past.find(FACTS, (said(name.encode()), ME)) == (None if fact is None else ((ME, name), fact))
        root = trie.update(lambda _: None, dict(past.pairs()))[0]
        assert root == world.executed[height].state_root


def test_added_bytes_are_charged() -> None:
    """L-12: keys and values, and what a page costs if one of them is alone in it."""
    world = World()
    before = charged(world)
    world.run(world.tell(1, "a", "b"))
    sizes = [len(FACTS.key((ME, name))) + len(encode(Fact(name.encode()))) for name in "ab"]
    assert charged(world) - before == sum(sizes) + 2 * CHARGED_BYTES


def charged(world: World) -> int:
    from protocol.ledger.members import usage_bytes

    return usage_bytes("m0", StateReader(world.tables))


def test_places_are_rows_for_the_newest_height() -> None:
    world = World()
    world.run(world.tell(1, "a", "b"))
    for table in (Table.PLACE, Table.ALSO):
        rows = world.tables.scan(table, b"")
        assert sorted(unpack_place(row[-8:]) for row, _ in rows) == [(1, 0, 0), (1, 0, 1)]
        assert world.replay().scan(table, b"") == rows
    assert world.tables.named(Table.PLACE, added.name_of(FACTS.key((ME, "b")))) == [pack_place(Place(1, 0, 1))]


@given(st.integers(0, (1 << 38) - 1), st.integers(0, (1 << 16) - 1), st.integers(0, (1 << 10) - 1))
def test_a_place_is_packed_whole(height: int, page: int, at: int) -> None:
    assert unpack_place(pack_place(Place(height, page, at))) == (height, page, at)


def test_what_is_no_place_is_a_broken_invariant() -> None:
    with pytest.raises(BrokenInvariant):
        unpack_place(bytes(7))


@pytest.mark.parametrize("place", [Place(1 << 38, 0, 0), Place(1, 1 << 16, 0), Place(1, 0, 1 << 10)])
def test_a_place_that_does_not_fit_is_a_broken_invariant(place: Place) -> None:
    with pytest.raises(BrokenInvariant):
        pack_place(place)


def test_two_records_of_one_second_key_are_a_broken_invariant() -> None:
    for state in (transaction(stored([added_fact_of("a", b"x")])), transaction(MemoryTables())):
        if state.get(FACTS, (ME, "a")) is None:
            state.put(FACTS, (ME, "a"), Fact(b"x"))
        with pytest.raises(BrokenInvariant):
            state.put(FACTS, (ME, "b"), Fact(b"x"))


def test_a_second_key_has_a_name_of_its_own() -> None:
    """In one set of rules."""
    from protocol.ledger.application import make_rules

    clash = Space("test.told", Units, (), "as the second key of facts")
    with pytest.raises(BrokenInvariant):
        make_rules(1, [TestApplication(spaces=(FACTS, UNITS, clash))])
