"""Hashes and signatures say what they are of; no two say the same (L-2, L-4)."""

from __future__ import annotations

import itertools
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.crypto.contexts import Context, Domain
from protocol.crypto.hashing import HASH_BYTES, digest
from protocol.crypto.signing import signing_message

TAGS = [item.value for enum in (Domain, Context) for item in enum]


def test_no_two_tags_are_the_same_or_begin_alike() -> None:
    """L-2, L-4: across both lists; aliases of an Enum would hide a double, so names are counted too."""
    assert len(set(TAGS)) == len(Domain.__members__) + len(Context.__members__)
    for one, other in itertools.permutations(TAGS, 2):
        assert not other.startswith(one)


def test_tags_are_plain_names() -> None:
    """L-4: printable, `papilio/hash/` or `papilio/sign/`, one zero byte at the end."""
    for enum, start in ((Domain, b"papilio/hash/"), (Context, b"papilio/sign/")):
        for item in enum:
            assert item.value.startswith(start)
            assert item.value.endswith(b"\x00")
            assert item.value[:-1].decode("ascii").isprintable()


@given(one=st.sampled_from(list(Domain)), other=st.sampled_from(list(Domain)), a=st.binary(), b=st.binary())
def test_hashed_bytes_differ_between_domains(one: Domain, other: Domain, a: bytes, b: bytes) -> None:
    """L-2: what is hashed is equal only for the same domain and data."""
    assert (one.value + a == other.value + b) == (one is other and a == b)


_ids = st.binary(min_size=32, max_size=32)
_contexts = st.sampled_from(list(Context))


@given(one=_contexts, other=_contexts, ids=st.tuples(_ids, _ids), a=st.binary(), b=st.binary())
def test_signed_bytes_differ_between_contexts(
    one: Context, other: Context, ids: tuple[bytes, bytes], a: bytes, b: bytes
) -> None:
    """L-4: what is signed is equal only for the same context, network and payload."""
    same = one is other and ids[0] == ids[1] and a == b
    assert (signing_message(one, ids[0], a) == signing_message(other, ids[1], b)) == same


def test_digest_is_sha_256_behind_the_tag() -> None:
    """L-2: FIPS 180-4, nothing else in between."""
    assert digest(Domain.BATCH, b"data") == sha256(b"papilio/hash/batch\x00data").digest()
    assert len(digest(Domain.BATCH, b"")) == HASH_BYTES
    assert len({digest(domain, b"data") for domain in Domain}) == len(Domain)


def test_a_network_id_has_32_bytes() -> None:
    """L-4: a shorter one would let payload bytes pass for network id bytes."""
    assert signing_message(Context.BATCH, bytes(32), b"p") == b"papilio/sign/batch\x00" + bytes(32) + b"p"
    for size in (0, 31, 33):
        with pytest.raises(AssertionError):
            signing_message(Context.BATCH, bytes(size), b"p")
