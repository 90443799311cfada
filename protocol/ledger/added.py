"""Records that are only ever added: in pages under the state root, found by name (L-20).

Most of what a ledger is told never changes again: that a document was recorded, that a trip was made, that points were
issued for it. A key of the state trie for each would cost a leaf and its branches, hashed and written again with each
neighbour that comes. So the records that a block adds to such spaces (`Space.added`) lie together in *pages*, in the
order in which they came, and the pages are values of the state like any other:

    ["ledger.added", height, number]     record 26: (key, value) of each record, about `PAGE_BYTES` in all

What holds of the state holds of them: the root commits to every record, a proof of its page proves it, a snapshot
brings it, undo takes it away. What is given up is a proof that there is *no* such record: that would be every page.
A space whose absence has to be shown (a revocation) is an ordinary one. Keys of added records are marked, so that a
verifier who knows no application takes none for absent.

A record is found in two tables of names (`tables`), which follow from the pages and are not under the root:

    PLACE   first 7 bytes of SHA-256(key)                                    its place (8)
    ALSO    6 of SHA-256(second key's name and parts but the last),          the same
              6 of SHA-256(the whole second key)

A *place* is height, page of that height and index in the page, packed in one number. Names may be shared, by chance or
because somebody tried long enough: two of PLACE of his own choice take 2^28 tries and a hundred 2^61, to share
another's 2^56; of ALSO, all that share the first parts stand together, and two names that are equal take 2^48. A record
is only taken for the one asked for if its whole key is, and what shares its name costs one more read of a page. A place
is written once and for ever, and follows from the pages in whatever order they are read.

Deliberately absent: pages that later blocks fill up (each block would carry the page's old value in its undo).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from struct import Struct
from typing import Annotated, Any, Final, NamedTuple, TypeVar

from protocol import limits
from protocol.codec import Items, Octets, decode, encode, record, structure
from protocol.errors import BrokenInvariant, Malformed
from protocol.ledger.spaces import Also, KeyParts, Part, Space, is_added_key, parse_state_key, state_key
from protocol.ledger.tables import NAMES, Reader, Table

R = TypeVar("R")
PAGE_BYTES: Final = 5_300
"""Of a page's records, with 8 bytes for the frame of each. Squeezed to three quarters (daemon.store.squeeze) it fits
one page of the store, squeezed to three eighths two fit."""
CHARGED_BYTES: Final = 40
"""What a record is charged beside its key and value (L-12): its frame, and the page's key and head, were it alone."""
_FRAME_BYTES: Final = 8
_NAME_BYTES: Final = NAMES[Table.PLACE].name
_SHARED_BYTES: Final = 6
_WHOLE_BYTES: Final = NAMES[Table.ALSO].name - _SHARED_BYTES
_REMEMBERED: Final = 256
"""Names that were made last: a record's is looked for before it is added under it, and many are of one owner."""
_HEIGHT_BITS, _PAGE_BITS, _AT_BITS = 38, 16, 10
"""Of a place: 290 years of thirty blocks a second; sixty thousand pages of a block, which has no room for so many."""
_place = Struct(">Q")


@structure
class AddedRecord:
    """One record that was added: its state key and its value, both encoded."""

    key: Annotated[bytes, Octets(1, limits.STATE_KEY_BYTES_MAX)]
    value: Annotated[bytes, Octets(0, limits.ADDED_VALUE_BYTES_MAX)]


@record(kind=26, bytes_max=limits.STATE_VALUE_BYTES_MAX)
class AddedPage:
    """Records that one block added, in order."""

    records: Annotated[tuple[AddedRecord, ...], Items(1, limits.ADDED_RECORDS_MAX)]


PAGES: Final = Space(
    "ledger.added",
    AddedPage,
    (Part("height", "integer", "the block that added them"), Part("page", "integer", "of that block, from 0")),
    "records that are only ever added, in pages: see the spaces that say so",
)


Names = tuple[tuple[Table, bytes], ...]
"""Under which a record is found, each with its table."""


class Added(NamedTuple):
    """A record to be put into a page, and the names under which it is found."""

    record: AddedRecord
    names: Names


class Place(NamedTuple):
    """Where a record lies."""

    height: int
    page: int
    at: int


# -- Names and places -------------------------------------------------------------------------------


@lru_cache(_REMEMBERED)
def name_of(key: bytes) -> bytes:
    """The name of a record with this state key (7 bytes)."""
    return sha256(key).digest()[:_NAME_BYTES]


def shared_name(also: Also, parts: KeyParts) -> bytes:
    """What the names begin with (6 bytes) of all records whose second key has these parts before its last."""
    return sha256(state_key(also.name, *parts)).digest()[:_SHARED_BYTES]


@lru_cache(_REMEMBERED)
def second_name(also: Also, parts: KeyParts) -> bytes:
    """The name of a record by its second key (12 bytes)."""
    also.check(parts)
    return shared_name(also, parts[:-1]) + sha256(state_key(also.name, *parts)).digest()[:_WHOLE_BYTES]


def names_of(space: Space[Any], key: bytes, second: KeyParts | None) -> Names:
    """All names of a record. second: the parts of its second key."""
    first = (Table.PLACE, name_of(key))
    if space.also is None or second is None:
        return (first,)
    return first, (Table.ALSO, second_name(space.also, second))


def second_of(space: Space[Any], parts: KeyParts, value: Any) -> KeyParts | None:
    """The parts of a record's second key; None if it has none."""
    return None if space.also is None else space.also.of(parts, value)


def pack_place(place: Place) -> bytes:
    """A place as the tables have it (8 bytes)."""
    height, page, at = place
    if height >> _HEIGHT_BITS or page >> _PAGE_BITS or at >> _AT_BITS:
        raise BrokenInvariant(f"a record at {place}, which no table of places can hold")
    return _place.pack(height << _PAGE_BITS + _AT_BITS | page << _AT_BITS | at)


def unpack_place(rest: bytes) -> Place:
    """What a name leads to, opened. Raises BrokenInvariant for another size."""
    if len(rest) != _place.size:
        raise BrokenInvariant(f"a name leads to {len(rest)} bytes, which are no place")
    (number,) = _place.unpack(rest)
    height, page = number >> _PAGE_BITS + _AT_BITS, number >> _AT_BITS & (1 << _PAGE_BITS) - 1
    return Place(height, page, number & (1 << _AT_BITS) - 1)


# -- Pages ------------------------------------------------------------------------------------------


def pack_pages(height: int, added: Iterable[Added]) -> tuple[dict[bytes, bytes], list[tuple[Table, bytes]]]:
    """Pages of what the block at `height` added: state key to value; and the rows of names that lead into them."""
    pages: dict[bytes, bytes] = {}
    rows: list[tuple[Table, bytes]] = []
    for number, part in enumerate(_parted(added)):
        pages[PAGES.key((height, number))] = encode(AddedPage(tuple([one.record for one in part])))
        for index, one in enumerate(part):
            place = pack_place(Place(height, number, index))
            rows += [(table, name + place) for table, name in one.names]
    return pages, rows


def _parted(added: Iterable[Added]) -> Iterator[list[Added]]:
    part: list[Added] = []
    left = PAGE_BYTES
    for one in added:
        size = len(one.record.key) + len(one.record.value) + _FRAME_BYTES
        if part and size > left:
            yield part
            part, left = [], PAGE_BYTES
        part.append(one)
        left -= size
    if part:
        yield part


def read_page(value: bytes) -> tuple[AddedRecord, ...]:
    """The records of a stored page. Raises BrokenInvariant if it is damaged."""
    try:
        return decode(AddedPage, value).records
    except Malformed as fault:
        raise BrokenInvariant(f"a stored page of added records is damaged: {fault.words}") from fault


def is_page(key: bytes) -> bool:
    """Whether a state key is that of a page."""
    return key.startswith(PAGE_PREFIX)


def place_rows(spaces: Mapping[str, Space[Any]], key: bytes, value: bytes) -> Iterator[tuple[Table, bytes]]:
    """The rows of names that a pair of the state brings along: none, unless it is a page.

    Nobody vouches for the pair: raises Malformed.
    """
    if not is_page(key):
        return
    parts = parse_state_key(key)[1]
    height, page = parts if PAGES.fits(parts) else (0, 0)
    assert isinstance(height, int), "as the space says"
    assert isinstance(page, int), "as the space says"
    if not (1 <= height < 1 << _HEIGHT_BITS and 0 <= page < 1 << _PAGE_BITS):
        raise Malformed("key", "not the key of a page")
    for at, one in enumerate(decode(AddedPage, value).records):
        name, parts = parse_state_key(one.key)
        space = spaces.get(name)
        if space is None or not space.added or not is_added_key(one.key) or not space.fits(parts):
            raise Malformed("records", f"a record of {name}, which has no such added records")
        place = pack_place(Place(height, page, at))
        second = second_of(space, parts, decode(space.record, one.value))
        yield from ((table, short + place) for table, short in names_of(space, one.key, second))


# -- Reading ----------------------------------------------------------------------------------------


class Source(NamedTuple):
    """Where records are read from: the tables of names, and values of the state at the height that is meant.

    is_newest: whether that is the newest one, at which every place leads to a record.
    """

    named: Callable[[Table, bytes], Sequence[bytes]]
    value: Callable[[bytes], bytes | None]
    is_newest: bool


def newest(reader: Reader) -> Source:
    """Those of the newest height."""
    return Source(reader.named, lambda key: reader.get(Table.STATE, key), True)


def record_at(source: Source, place: Place) -> AddedRecord | None:
    """The record at a place; None if the source is of a height before it was added.

    Raises BrokenInvariant if it leads nowhere.
    """
    page = source.value(PAGES.key((place.height, place.page)))
    if page is None and not source.is_newest:
        return None
    records = () if page is None else read_page(page)
    if place.at >= len(records):
        raise BrokenInvariant(f"a name leads to a record that is not there: {place}")
    return records[place.at]


def added_record(source: Source, key: bytes) -> AddedRecord | None:
    """The added record with this state key, or None."""
    found = located(source, key)
    return None if found is None else found[1]


def located(source: Source, key: bytes) -> tuple[Place, AddedRecord] | None:
    """The same, and where it lies."""
    for place in map(unpack_place, source.named(Table.PLACE, name_of(key))):
        one = record_at(source, place)
        if one is not None and one.key == key:
            return place, one
    return None


def second_found(source: Source, space: Space[R], parts: KeyParts) -> tuple[KeyParts, R] | None:
    """Key and value of the added record with this second key, or None."""
    also = space.also
    assert also is not None, "the space has a second key"
    for place in map(unpack_place, source.named(Table.ALSO, second_name(also, parts))):
        one = record_at(source, place)
        found = None if one is None else opened(space, one)
        if found is not None and also.of(*found) == parts:
            return found
    return None


def opened(space: Space[R], one: AddedRecord) -> tuple[KeyParts, R] | None:
    """Key and value of a record, None if it is of another space. Raises BrokenInvariant if it is damaged."""
    try:
        name, parts = parse_state_key(one.key)
        if name != space.name:
            return None
        if not space.fits(parts):
            raise Malformed("key", "other parts than the space's")
        return parts, decode(space.record, one.value)
    except Malformed as fault:
        raise BrokenInvariant(f"a stored record of {space.name} is damaged: {fault.words}") from fault


PAGE_PREFIX: Final = state_key(PAGES.name, 0, 0)[:-2]
"""How the state keys of pages begin, and no other's; behind it their order is that of heights and pages."""
assert limits.ADDED_RECORDS_MAX <= 1 << _AT_BITS, "every record of a page has a place"
