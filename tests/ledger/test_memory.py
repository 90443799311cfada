"""`MemoryTables` against a naive model: the same answers after any history of writes and scans."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from protocol.ledger.memory import MemoryTables
from protocol.ledger.tables import Table, Writes

Model = dict[tuple[Table, bytes], bytes]
KEYS = st.binary(max_size=3)
PLACES = st.tuples(st.sampled_from([Table.STATE, Table.TRIE]), KEYS)
PAIRS = st.dictionaries(PLACES, st.none() | st.binary(max_size=2), max_size=120)
NAMED = st.builds(
    lambda name, rest: (Table.PLACE, bytes([name] * 7 + [rest] * 8)), st.integers(0, 3), st.integers(0, 9)
)
WRITES = st.builds(lambda pairs, rows: pairs | rows, PAIRS, st.dictionaries(NAMED, st.none() | st.just(b"")))
TABLES = st.sampled_from([Table.STATE, Table.TRIE, Table.META, Table.PLACE])
SCANS = st.tuples(TABLES, st.binary(max_size=2), KEYS, st.integers(0, 5) | st.just(1000))


def naive_scan(model: Model, table: Table, prefix: bytes, start: bytes, limit: int) -> list[tuple[bytes, bytes]]:
    pairs = [(key, value) for (where, key), value in model.items() if where is table and key >= start]
    return sorted(pair for pair in pairs if pair[0].startswith(prefix))[:limit]


@given(st.lists(st.tuples(WRITES, SCANS), max_size=12))
def test_equals_a_naive_model_after_every_step(steps: list[tuple[Writes, tuple[Table, bytes, bytes, int]]]) -> None:
    tables, model = MemoryTables(), Model()
    for writes, (table, prefix, start, limit) in steps:
        tables.apply(writes)
        for place, value in writes.items():
            model.pop(place, None)
            if value is not None:
                model[place] = value
        assert tables.scan(table, prefix, start, limit) == naive_scan(model, table, prefix, start, limit)
        assert all(tables.get(*place) == model.get(place) for place in writes)
        for name in (bytes([each] * 7) for each in range(4)):
            rows = naive_scan(model, Table.PLACE, name, b"", 1000)
            assert list(tables.named(Table.PLACE, name)) == [key[7:] for key, _ in rows]


def test_scan_order_is_by_key_and_starts_where_told() -> None:
    tables = MemoryTables()
    tables.apply({(Table.STATE, key): key for key in (b"b2", b"a", b"b10", b"c")})
    assert [key for key, _ in tables.scan(Table.STATE, b"b")] == [b"b10", b"b2"]
    assert [key for key, _ in tables.scan(Table.STATE, b"b", b"b11")] == [b"b2"]
    assert [key for key, _ in tables.scan(Table.STATE, b"", limit=2)] == [b"a", b"b10"]


def test_a_copy_does_not_follow() -> None:
    tables = MemoryTables()
    tables.apply({(Table.META, b"height"): b"1"})
    before = tables.copy()
    tables.apply({(Table.META, b"height"): b"2", (Table.META, b"more"): b"x"})
    assert before.scan(Table.META, b"") == [(b"height", b"1")]
    assert tables.scan(Table.META, b"") == [(b"height", b"2"), (b"more", b"x")]
