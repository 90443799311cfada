"""Salted fields: the scheme's steps recomputed by hand, disclosures that verify, and everything that must not."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.apps.evidence.salted import Disclosure, SaltedField, field_digest, salted_fields, verify_disclosure
from protocol.codec import decode, encode
from protocol.errors import Refused

FIELDS = {"/lot": b"A-17", "/price": b"12.50", "/a": b"", "/ü": b"x", "/z": b"1"}
SALTS = {path: bytes([index + 1]) * 16 for index, path in enumerate(FIELDS)}


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, as written there."""
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def test_the_scheme_step_by_step() -> None:
    """Steps 3 and 4, with nothing of ours but the list of domains."""
    packed = [msgpack.packb([118, 1, path, SALTS[path], FIELDS[path]]) for path in sorted(FIELDS, key=str.encode)]
    leaves = [sha256(b"papilio/hash/salted-field\x00" + data).digest() for data in packed]
    root, disclosures = salted_fields(FIELDS, SALTS)
    assert root == naive_root(leaves)
    assert [field_digest(one.field) for one in disclosures] == leaves


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.binary(max_size=8), min_size=1, max_size=20), st.data())
def test_every_field_verifies_and_no_other_does(fields: dict[str, bytes], data: st.DataObject) -> None:
    fields = {path.encode("utf-8", "replace").decode(): value for path, value in fields.items()}
    salts = {path: index.to_bytes(16, "big") for index, path in enumerate(fields)}
    root, disclosures = salted_fields(fields, salts)
    assert [one.field.path for one in disclosures] == sorted(fields)
    assert all(verify_disclosure(root, decode(Disclosure, encode(one))) for one in disclosures)
    one = data.draw(st.sampled_from(disclosures))
    field = one.field
    changed = [
        replace(one, field=replace(field, value=field.value + b"!")),
        replace(one, field=replace(field, path=field.path + "!")),
        replace(one, field=replace(field, salt=field.salt[:-1] + b"\xee")),
        replace(one, audit_path=(*one.audit_path, bytes(32))),
        replace(one, index=one.index + 1),
        replace(one, count=2 * one.count + 1),
    ]
    assert not any(verify_disclosure(root, other) for other in changed)
    assert not verify_disclosure(bytes(32), one)
    assert not verify_disclosure(root[:31], one)


def test_a_salt_hides_a_value_that_is_easily_guessed() -> None:
    low, high = SaltedField("/price", b"s" * 16, b"1"), SaltedField("/price", b"t" * 16, b"1")
    assert field_digest(low) != field_digest(high)


@pytest.mark.parametrize(
    "fields, salts, code, words",
    [
        ({}, {}, "bad_arguments", "at least one"),
        (FIELDS, {**SALTS, "/more": b"m" * 16}, "bad_arguments", "one for each path"),
        ({"/a": b"", "/b": b""}, {"/a": b"s" * 16, "/b": b"s" * 16}, "bad_arguments", "its own"),
        ({"/a": b""}, {"/a": b"s" * 15}, "bad_arguments", "16 to 64"),
        ({"": b""}, {"": b"s" * 16}, "bad_arguments", "1 to 512"),
        ({"é" * 257: b""}, {"é" * 257: b"s" * 16}, "bad_arguments", "1 to 512"),
        ({"/a": bytes(65537)}, {"/a": b"s" * 16}, "too_large", "65537"),
    ],
)
def test_misuse_is_refused(fields: dict[str, bytes], salts: dict[str, bytes], code: str, words: str) -> None:
    with pytest.raises(Refused) as caught:
        salted_fields(fields, salts)
    assert caught.value.code == code
    assert words in caught.value.words
