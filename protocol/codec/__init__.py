"""Codec: canonical msgpack for everything that is signed, hashed, sent or stored (L-1).

A record is a frozen, slotted dataclass under `@record(kind)`. It is encoded as an array: its kind, its
version, then its fields in order. A `@structure` is the same without kind and version, for parts that
only ever stand inside a record. Field types say their bounds:

    @record(kind=17)
    class Transfer:
        programme: Id16
        to: Hash
        units: U63
        memo: Text64

    data = encode(transfer)
    transfer = decode(Transfer, data)          # Malformed, with the field, if it is not canonical

A decoder accepts bytes only if encoding the result gives the same bytes. Sizes are checked before
allocation: first the whole against the record's bound, then each header by the bounds of msgpack's
unpacker, then each field by its own.

May import: errors, limits, types. Public names: everything in `__all__`.
"""

from protocol.codec.fields import (
    U53,
    U63,
    Blob,
    Flag,
    Hash,
    Id16,
    Items,
    Key,
    Name,
    Octets,
    Range,
    Signature,
    Text,
    Words,
)
from protocol.codec.records import KINDS, decode, decode_once, encode, kind_of, record, structure

__all__ = [
    "KINDS",
    "U53",
    "U63",
    "Blob",
    "Flag",
    "Hash",
    "Id16",
    "Items",
    "Key",
    "Name",
    "Octets",
    "Range",
    "Signature",
    "Text",
    "Words",
    "decode",
    "decode_once",
    "encode",
    "kind_of",
    "record",
    "structure",
]
