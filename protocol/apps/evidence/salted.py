"""Salted fields: one root for a whole document, from which single fields can be disclosed later.

For an owner who has to show a buyer the lot number but not the price. The scheme, exactly:

1. A document is a set of fields: distinct paths (text; JSON Pointers of RFC 6901 are a good choice) to values (bytes,
   as the document's own standard writes them). How a format is cut into fields is the business of those who use it.
2. Every field gets a salt of its own, at least 16 random bytes, made by the caller and kept secret with the document:
   without it nobody can try out likely values against a digest.
3. A field's digest is `digest(Domain.SALTED_FIELD, encode(SaltedField(path, salt, value)))`, 32 bytes.
4. The root is that of an RFC 6962 log whose leaves are these digests (32 bytes each, as leaf data), in ascending order
   of the paths' UTF-8 bytes.
5. A disclosure is one `SaltedField` with its index, the number of fields, and its audit path (RFC 6962, 2.1.1).

The root goes on the ledger as a statement of algorithm 2 with the number of fields as its size. A disclosure shows
that this path had this value in the document recorded; it also shows the number of fields and this one's place among
their paths. That a field is absent cannot be shown. Equal salts would let one field's reader try out another's value,
so they are refused.

The ledger never runs this; it is a rule for clients, kept here so that everyone computes the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from protocol import limits
from protocol.codec import Hash, Items, Octets, Range, Text, encode, record
from protocol.crypto import log
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.errors import BAD_ARGUMENTS, TOO_LARGE, Refused

_SALT_BYTES_MIN = 16


@record(kind=118)
class SaltedField:
    """One field of a document: its path, its random salt, its value's bytes."""

    path: Annotated[str, Text(1, limits.FIELD_PATH_BYTES_MAX)]
    salt: Annotated[bytes, Octets(_SALT_BYTES_MIN, limits.FIELD_SALT_BYTES_MAX)]
    value: Annotated[bytes, Octets(0, limits.FIELD_VALUE_BYTES_MAX)]


@record(kind=119)
class Disclosure:
    """One field, and the path of hashes from it to the root of the `count` fields of its document."""

    field: SaltedField
    index: Annotated[int, Range(0, limits.FIELDS_MAX - 1)]
    count: Annotated[int, Range(1, limits.FIELDS_MAX)]
    audit_path: Annotated[tuple[Hash, ...], Items(0, limits.LOG_PATH_MAX)]


def field_digest(field: SaltedField) -> bytes:
    """Digest of one field (step 3); 32 bytes. Raises BrokenInvariant if the field breaks its bounds."""
    return digest(Domain.SALTED_FIELD, encode(field))


def salted_fields(fields: Mapping[str, bytes], salts: Mapping[str, bytes]) -> tuple[bytes, tuple[Disclosure, ...]]:
    """The root of a document's fields, and a disclosure for each, ascending by path.

    fields: path to value; salts: path to salt, for exactly these paths.
    Raises Refused(bad_arguments), Refused(too_large).
    """
    ordered = _ordered(fields, salts)
    leaves = [log.leaf_hash(field_digest(field)) for field in ordered]
    subtrees: dict[tuple[int, int], bytes] = {}

    def subtree(level: int, index: int) -> bytes | None:
        return subtrees.get((level, index))

    count, complete = log.append(subtree, 0, leaves)
    subtrees.update(complete)
    disclosures = tuple(
        Disclosure(field, index, count, log.inclusion_proof(subtree, index, count))
        for index, field in enumerate(ordered)
    )
    return log.root(subtree, count), disclosures


def verify_disclosure(root: bytes, disclosure: Disclosure) -> bool:
    """Whether the disclosed field is one of those that `root` stands for."""
    leaf = log.leaf_hash(field_digest(disclosure.field))
    return log.verify_inclusion(leaf, disclosure.index, disclosure.count, disclosure.audit_path, root)


def _ordered(fields: Mapping[str, bytes], salts: Mapping[str, bytes]) -> list[SaltedField]:
    if not fields:
        raise Refused(BAD_ARGUMENTS, "fields: a document has at least one")
    if len(fields) > limits.FIELDS_MAX:
        raise Refused(TOO_LARGE, f"{len(fields)} fields, at most {limits.FIELDS_MAX}")
    if fields.keys() != salts.keys():
        raise Refused(BAD_ARGUMENTS, "salts: one for each path, and no other")
    paths = sorted(fields, key=lambda path: path.encode("utf-8"))
    for path in paths:
        _check_sizes(path, fields[path], salts[path])
    if len(set(salts.values())) != len(salts):
        raise Refused(BAD_ARGUMENTS, "salts: each field needs its own")
    return [SaltedField(path, salts[path], fields[path]) for path in paths]


def _check_sizes(path: str, value: bytes, salt: bytes) -> None:
    if not 1 <= len(path.encode("utf-8")) <= limits.FIELD_PATH_BYTES_MAX:
        raise Refused(BAD_ARGUMENTS, f"fields: a path has 1 to {limits.FIELD_PATH_BYTES_MAX} bytes")
    if not _SALT_BYTES_MIN <= len(salt) <= limits.FIELD_SALT_BYTES_MAX:
        raise Refused(BAD_ARGUMENTS, f"salts: {_SALT_BYTES_MIN} to {limits.FIELD_SALT_BYTES_MAX} bytes, of {path}")
    if len(value) > limits.FIELD_VALUE_BYTES_MAX:
        raise Refused(TOO_LARGE, f"the value of {path} has {len(value)} bytes, at most {limits.FIELD_VALUE_BYTES_MAX}")
