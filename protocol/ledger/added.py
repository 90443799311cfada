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

A record's *places* are where it is found: the table PLACE, derived from the pages and not under the root.

    first 16 bytes of SHA-256(key)                                         height (8), page (2), index in it (2)
    16 bytes of SHA-256(second key's name and parts but the last),         the same
      12 of SHA-256(its last part)                                         (so all that share them stand together)

Names are hashes cut short, so two keys may have the same: who makes such a pair, both of his own choice (2^64 tries;
2^48 for the last part of a second key), is refused the second (`already_exists`), and a name of another's is hit by
nobody (2^128; 2^96 for such a last part). A record is only taken for the one asked for if its whole key is. So a place
is written once and for ever, and follows from the pages in whatever order they are read.

Deliberately absent: pages that later blocks fill up (each block would carry the page's old value in its undo).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from hashlib import sha256
from struct import Struct
from typing import Annotated, Any, Final, NamedTuple, TypeVar

from protocol import limits
from protocol.codec import Items, Octets, decode, encode, record, structure
from protocol.errors import BrokenInvariant, Malformed
from protocol.ledger.spaces import Also, KeyParts, Part, Space, is_added_key, parse_state_key, state_key
from protocol.ledger.tables import Reader, Table

R = TypeVar("R")
PAGE_BYTES: Final = 4_040
"""Of a page's records, with 8 bytes for the frame of each: it then fits a page of LMDB's long values (4,080 bytes)."""
CHARGED_BYTES: Final = 40
"""What a record is charged beside its key and value (L-12): its frame, and the page's key and head, were it alone."""
_FRAME_BYTES: Final = 8
_NAME_BYTES: Final = 16
_LAST_BYTES: Final = 12
_REMEMBERED: Final = 256
"""Names that were made last: a record's is looked for before it is added under it, and many are of one owner."""
_PAGES_MAX: Final = 0xFFFF
_place = Struct(">QHH")


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


class Added(NamedTuple):
    """A record to be put into a page, and the names under which it is found."""

    record: AddedRecord
    names: tuple[bytes, ...]


class Place(NamedTuple):
    """Where a record lies."""

    height: int
    page: int
    at: int


# -- Names and places -------------------------------------------------------------------------------


@lru_cache(_REMEMBERED)
def name_of(key: bytes) -> bytes:
    """The name of a record with this state key (16 bytes)."""
    return sha256(key).digest()[:_NAME_BYTES]


def shared_name(also: Also, parts: KeyParts) -> bytes:
    """What the names begin with (16 bytes) of all records whose second key has these parts before its last."""
    return sha256(state_key(also.name, *parts)).digest()[:_NAME_BYTES]


@lru_cache(_REMEMBERED)
def second_name(also: Also, parts: KeyParts) -> bytes:
    """The name of a record by its second key (28 bytes)."""
    also.check(parts)
    return shared_name(also, parts[:-1]) + last_name(parts[-1])


@lru_cache(_REMEMBERED)
def last_name(last: Any) -> bytes:
    """How the last part of a second key is told apart (12 bytes)."""
    return sha256(last).digest()[:_LAST_BYTES]


def names_of(space: Space[Any], key: bytes, parts: KeyParts, value: Any) -> tuple[bytes, ...]:
    """All names of a record."""
    second = None if space.also is None else space.also.of(parts, value)
    if space.also is None or second is None:
        return (name_of(key),)
    return name_of(key), second_name(space.also, second)


def unpack_place(value: bytes) -> Place:
    """Value of PLACE, opened."""
    return Place(*_place.unpack(value))


# -- Pages ------------------------------------------------------------------------------------------


def pack_pages(height: int, added: Iterable[Added]) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    """Pages of what the block at `height` added: state key to value; and the rows of PLACE that lead into them."""
    pages: dict[bytes, bytes] = {}
    places: dict[bytes, bytes] = {}
    for number, part in enumerate(_parted(added)):
        pages[PAGES.key((height, number))] = encode(AddedPage(tuple([one.record for one in part])))
        for index, one in enumerate(part):
            place = _place.pack(height, number, index)
            for name in one.names:
                places[name] = place
    return pages, places


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
    return key.startswith(_PAGE_PREFIX)


def places_in(spaces: Mapping[str, Space[Any]], key: bytes, value: bytes) -> dict[bytes, bytes]:
    """The rows of PLACE that lead into a page, from the page alone, which nobody vouches for. Raises Malformed."""
    parts = parse_state_key(key)[1]
    height, page = parts if PAGES.fits(parts) else (0, 0)
    if not (isinstance(height, int) and isinstance(page, int) and height >= 1 and 0 <= page <= _PAGES_MAX):
        raise Malformed("key", "not the key of a page")
    places: dict[bytes, bytes] = {}
    for at, one in enumerate(decode(AddedPage, value).records):
        name, parts = parse_state_key(one.key)
        space = spaces.get(name)
        if space is None or not space.added or not is_added_key(one.key) or not space.fits(parts):
            raise Malformed("records", f"a record of {name}, which has no such added records")
        place = _place.pack(height, page, at)
        places |= dict.fromkeys(names_of(space, one.key, parts, decode(space.record, one.value)), place)
    return places


def place_rows(spaces: Mapping[str, Space[Any]], key: bytes, value: bytes) -> dict[tuple[Table, bytes], bytes]:
    """What a pair of the state brings along for PLACE: nothing, unless it is a page. Raises Malformed."""
    if not is_page(key):
        return {}
    return {(Table.PLACE, name): place for name, place in places_in(spaces, key, value).items()}


# -- Reading ----------------------------------------------------------------------------------------


class Source(NamedTuple):
    """Where records are read from: rows of PLACE, and values of the state at the height that is meant.

    is_newest: whether that is the newest one, at which every place leads to a record.
    """

    place: Callable[[bytes], bytes | None]
    value: Callable[[bytes], bytes | None]
    is_newest: bool


def newest(reader: Reader) -> Source:
    """Those of the newest height."""
    return Source(lambda name: reader.get(Table.PLACE, name), lambda key: reader.get(Table.STATE, key), True)


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
    found = source.place(name_of(key))
    place = None if found is None else unpack_place(found)
    one = None if place is None else record_at(source, place)
    return None if place is None or one is None or one.key != key else (place, one)


def second_found(source: Source, space: Space[R], parts: KeyParts) -> tuple[KeyParts, R] | None:
    """Key and value of the added record with this second key, or None."""
    also = space.also
    assert also is not None, "the space has a second key"
    found = source.place(second_name(also, parts))
    one = None if found is None else record_at(source, unpack_place(found))
    if one is None:
        return None
    key, value = opened(space, one)
    return (key, value) if also.of(key, value) == parts else None


def opened(space: Space[R], one: AddedRecord) -> tuple[KeyParts, R]:
    """Key and value of a record of this space. Raises BrokenInvariant if it is damaged."""
    try:
        return parse_state_key(one.key)[1], decode(space.record, one.value)
    except Malformed as fault:
        raise BrokenInvariant(f"a stored record of {space.name} is damaged: {fault.words}") from fault


_PAGE_PREFIX: Final = state_key(PAGES.name, 0, 0)[:-2]
