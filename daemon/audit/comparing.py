"""What the history executes to, beside what a state store holds: receipt by receipt, and at the end the whole state.

Most of a store only ever grows: results, receipts, where transactions are, the log. These are compared group by group
while the history is executed, as far as the store has come; so the first that differs is found at its height, and the
store of a running node is looked at for moments only. What changes in place (current values, the trie, the window of
ids that are remembered) can be compared at one height only: where the store stands. If that is passed on the way, it is
done there; of a running node at the end, when the history has caught up with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from daemon.audit.findings import Compared, Difference, Of, Report
from daemon.audit.judging import shown
from daemon.audit.replay import Replay
from daemon.audit.stored import StoredState, Unreadable
from protocol.codec import decode
from protocol.errors import PapilioError
from protocol.ledger.added import AddedPage, AddedRecord, is_page, unpack_place
from protocol.ledger.index import number_of
from protocol.ledger.records import Receipt
from protocol.ledger.spaces import Space, parse_state_key
from protocol.ledger.tables import NAMES, Table, Writes

GROWING: Final = (
    Table.ROOTS,
    Table.RECEIPT,
    Table.TRANSACTION,
    Table.PLACE,
    Table.ALSO,
    Table.HISTORY,
    Table.LOG,
)
"""Pairs of these are written once and never again."""
CHANGING: Final = (Table.STATE, Table.TRIE, Table.SEEN, Table.SEEN_EXPIRY, Table.TRIE_UNDO, Table.META)
assert set(GROWING) | set(CHANGING) == set(Table), "every table is compared in one of the two ways"
_LAYOUTS: Final = {
    Table.ROOTS: (("state_root", 32), ("log_size", 8), ("log_root", 32), ("header_hash", 32), ("time_ms", 8)),
}
ENOUGH: Final = 50
"""Differences after which the comparison of one store ends: what follows is more of the same."""


class StateComparison:
    """Compares one store. `of` is STATE for the node's own, AGAINST for another's."""

    def __init__(self, directory: Path, network_id: bytes, of: Of, report: Report) -> None:
        self._report = report
        self._found = Compared(of, str(directory), "state store")
        self.of = of
        report.compared.append(self._found)
        self._differences = 0
        self._store: StoredState | None = None
        self._missed = False
        """Whether something that the history wrote for good was not in the store yet when it was looked at."""
        self.height = 0
        """Where the store stood when it was last looked at."""
        try:
            self._store = StoredState(directory, network_id)
            self.height = self._store.fresh()
            self._store.leave()
        except Unreadable as fault:
            self._fail(0, fault)

    @property
    def open(self) -> bool:
        """Whether it is still compared."""
        return self._store is not None

    @property
    def whole(self) -> bool:
        """Whether all of it was compared, current values too."""
        return self._found.whole

    def note(self, words: str) -> None:
        """Say of it what a reader of the report has to know."""
        self._found.notes.append(words)

    def close(self) -> None:
        """Let go of the store."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def look(self) -> int:
        """Where the store stands now; 0 once it is not compared any more."""
        if self._store is not None:
            try:
                self.height = self._store.fresh()
                self._store.leave()
            except Unreadable as fault:
                self._fail(self._found.height, fault)
        return self.height if self._store is not None else 0

    def follow(self, group: Sequence[tuple[int, Writes]]) -> None:
        """Compare what these blocks have written for good, as far as the store has come."""
        if self._store is None or not group:
            return
        try:
            self.height = self._store.fresh()
            for height, writes in group:
                if height > self.height:
                    self._missed = True
                    break
                if not self.open:
                    break
                self._follow_one(self._store, height, writes)
                self._found.height = height
            if self._store is not None:
                self._store.leave()
        except Unreadable as fault:
            self._fail(group[0][0], fault)

    def _follow_one(self, store: StoredState, height: int, writes: Writes) -> None:
        places = sorted((place for place in writes if place[0] in GROWING), key=_in_order)
        self._found.records += len(places)
        for place, value in zip(places, store.get(places), strict=True):
            expected = writes[place]
            if value != expected:
                self._differ(height, place[0], place[1], expected, value)
                if not self.open:
                    return

    def meet(self, replay: Replay) -> bool:
        """Compare everything if the store stands exactly where the replay does; whether it did."""
        store = self._store
        if store is None:
            return False
        try:
            self.height = store.fresh()
            if self.height != replay.height:
                store.leave()
                return False
            self._whole(store, replay)
            self._found.whole, self._found.height = True, replay.height
            if self._store is not None:
                store.leave()
        except Unreadable as fault:
            self._fail(replay.height, fault)
        return True

    def _whole(self, store: StoredState, replay: Replay) -> None:
        """All values that change in place, and that no table has a pair too many."""
        with replay.stored() as reader:
            for table in Table:
                here, there = reader.count(table), store.count(table)
                if table in GROWING and here == there and not self._missed:
                    continue
                ours = _pairs_of(reader, table)
                for key, expected, found in _unlike(ours, store.pairs(table)):
                    self._differ(replay.height, table, key, expected, found)
                    if self._store is None:
                        return
                self._found.records += here

    def _differ(self, height: int, table: Table, key: bytes, expected: bytes | None, found: bytes | None) -> None:
        words = f"the state store's table {table.value} is not what the blocks execute to"
        for record, name, one, other in named(table, key, expected, found):
            self._report.differs(Difference(self.of, height, self._found.where, record, name, one, other, words))
        self._differences += 1
        if self._differences >= ENOUGH:
            self._found.notes.append(f"not compared any further after {ENOUGH} differences")
            self.close()

    def _fail(self, height: int, fault: Unreadable) -> None:
        words = "the state store cannot be read; it is derived, and a node rebuilds it once it is deleted"
        report = Difference(self.of, height, self._found.where, "state store", "", "readable", fault.words, words)
        self._report.differs(report)
        self.close()


def _in_order(place: tuple[Table, bytes]) -> tuple[int, bytes]:
    """Results of a block last: a receipt that differs says more than the root that does so with it."""
    return (GROWING.index(place[0]) if place[0] is not Table.ROOTS else len(GROWING), place[1])


def _pairs_of(reader: Any, table: Table) -> Iterator[tuple[bytes, bytes]]:
    start = b""
    while part := reader.scan(table, b"", start, 1_000):
        yield from part
        start = part[-1][0] + b"\0"


def _unlike(
    ours: Iterator[tuple[bytes, bytes]], theirs: Iterator[tuple[bytes, bytes]]
) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """Keys whose values differ or that one side has not; both sides ascend."""
    mine, other = next(ours, None), next(theirs, None)
    while mine is not None or other is not None:
        if other is None or (mine is not None and mine[0] < other[0]):
            assert mine is not None, "one side has a pair"
            yield mine[0], mine[1], None
            mine = next(ours, None)
        elif mine is None or other[0] < mine[0]:
            yield other[0], None, other[1]
            other = next(theirs, None)
        else:
            if mine[1] != other[1]:
                yield mine[0], mine[1], other[1]
            mine, other = next(ours, None), next(theirs, None)


# -- Naming -----------------------------------------------------------------------------------------


def named(table: Table, key: bytes, expected: bytes | None, found: bytes | None) -> Iterator[tuple[str, str, str, str]]:
    """What differs between two values of a table: record, field, both values. Whole values if one is missing."""
    record = _record_name(table, key, expected or found)
    if expected is None or found is None:
        yield record, "", _whole_value(expected), _whole_value(found)
        return
    parts = list(_fields(table, key, expected, found))
    yield from ((record, *part) for part in parts) if parts else [(record, "", expected.hex(), found.hex())]


def _whole_value(value: bytes | None) -> str:
    return "nothing" if value is None else value.hex() or "present"


def _record_name(table: Table, key: bytes, value: bytes | None) -> str:
    match table:
        case Table.RECEIPT:
            return f"receipt {number_of(key)}{_of_transaction(value)}"
        case Table.ROOTS:
            return f"results of height {number_of(key)}"
        case Table.TRANSACTION:
            name, rest = NAMES[table].split(key)
            return f"place of transaction {name.hex()}: receipt {int.from_bytes(rest, 'big')}"
        case Table.PLACE | Table.ALSO:
            name, rest = NAMES[table].split(key)
            height, page, at = unpack_place(rest)
            return f"place of the record named {name.hex()}: height {height}, page {page}, record {at}"
        case Table.STATE:
            return f"state value {_state_name(key)}"
        case _:
            return f"{table.value} {key.hex() or '(root)'}"


def _of_transaction(value: bytes | None) -> str:
    try:
        return "" if value is None else f" of transaction {decode(Receipt, value).transaction.hex()}"
    except PapilioError:
        return ""


def _state_name(key: bytes) -> str:
    try:
        space, parts = parse_state_key(key)
    except PapilioError:
        return key.hex()
    return "/".join([space, *(shown(part) for part in parts)])


def _fields(table: Table, key: bytes, expected: bytes, found: bytes) -> Iterator[tuple[str, str, str]]:
    """The fields that differ, where the table's values have some and both can be opened."""
    try:
        if table is Table.RECEIPT:
            yield from _unlike_fields(decode(Receipt, expected), decode(Receipt, found))
        elif table is Table.STATE:
            yield from _state_fields(key, expected, found)
        elif table in _LAYOUTS:
            yield from _packed_fields(_LAYOUTS[table], expected, found)
    except PapilioError:
        return


def _unlike_fields(expected: Any, found: Any) -> Iterator[tuple[str, str, str]]:
    for one in fields(expected):
        mine, other = getattr(expected, one.name), getattr(found, one.name)
        if mine != other:
            yield one.name, shown(mine), shown(other)


def _state_fields(key: bytes, expected: bytes, found: bytes) -> Iterator[tuple[str, str, str]]:
    from protocol.apps.registry import RULES

    spaces = RULES[max(RULES)].spaces
    if is_page(key):
        pairs = zip_longest(decode(AddedPage, expected).records, decode(AddedPage, found).records)
        for mine, other in ((mine, other) for mine, other in pairs if mine != other):
            yield from _unlike_added(spaces, mine, other)
        return
    space = spaces.get(parse_state_key(key)[0])
    if space is not None:
        yield from _unlike_fields(decode(space.record, expected), decode(space.record, found))


def _unlike_added(
    spaces: Mapping[str, Space[Any]], expected: AddedRecord | None, found: AddedRecord | None
) -> Iterator[tuple[str, str, str]]:
    """How two records differ that stand at the same place of a page: the field is named after the record."""
    key = next(one.key for one in (expected, found) if one is not None)
    name, space = _state_name(key), spaces.get(parse_state_key(key)[0])
    if space is None or expected is None or found is None or expected.key != found.key:
        values = [_whole_value(None if one is None else one.key + one.value) for one in (expected, found)]
        yield name, values[0], values[1]
        return
    for field, mine, other in _unlike_fields(decode(space.record, expected.value), decode(space.record, found.value)):
        yield f"{name} {field}", mine, other


def _packed_fields(layout: Sequence[tuple[str, int]], expected: bytes, found: bytes) -> Iterator[tuple[str, str, str]]:
    if len(expected) != len(found):
        return
    at = 0
    for name, size in layout:
        mine, other = expected[at : at + size], found[at : at + size]
        at += size
        if mine != other:
            if size == 32:
                yield name, mine.hex(), other.hex()
            else:
                yield name, str(int.from_bytes(mine, "big")), str(int.from_bytes(other, "big"))
