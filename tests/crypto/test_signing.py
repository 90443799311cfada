"""Signatures are valid exactly as L-3 says, judged by arithmetic that shares nothing with the library."""

from __future__ import annotations

import copy
import itertools
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.crypto import signing
from protocol.crypto.contexts import Context
from protocol.crypto.signing import SigningKey, is_valid_key, signing_message, verify, verify_message
from protocol.errors import BrokenInvariant
from tests.crypto.edwards import (
    BASE,
    IDENTITY,
    LOW_ORDER,
    L,
    P,
    add,
    challenge,
    decoded,
    encoded,
    multiple,
    recover,
    sign_unusually,
    valid_by_l3,
)

NETWORK = bytes(range(32))
SECRET = 0x1234567890ABCDEF1234567890ABCDEF
KEY = multiple(SECRET, BASE)

# y with a sign bit, in every form a decoder might take: the fourteen published encodings of low-order points, and
# non-canonical ones of other small y.
NON_CANONICAL = [
    (y | odd << 255).to_bytes(32, "little")
    for y in [*range(P, 2**255)]
    for odd in (0, 1)
] + [(y | 1 << 255).to_bytes(32, "little") for y in (1, P - 1)]  # fmt: skip


def test_signs_as_rfc_8032() -> None:
    """L-3: RFC 8032, 7.1, TEST 2; deterministic."""
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    key = SigningKey(seed)
    assert key.public.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert verify_message(key.public, b"\x72", signature)
    assert key.sign(Context.BATCH, NETWORK, b"p") == key.sign(Context.BATCH, NETWORK, b"p")


def test_a_signature_is_good_for_one_context_network_key_and_payload() -> None:
    """L-4: nothing signed as one thing passes as another."""
    key, other = SigningKey(bytes(32)), SigningKey(bytes(31) + b"\x01")
    for context in Context:
        signature = key.sign(context, NETWORK, b"payload")
        assert len(signature) == 64
        assert verify(context, NETWORK, key.public, b"payload", signature)
        assert verify_message(key.public, signing_message(context, NETWORK, b"payload"), signature)
        assert not any(verify(c, NETWORK, key.public, b"payload", signature) for c in Context if c is not context)
        assert not verify(context, bytes(32), key.public, b"payload", signature)
        assert not verify(context, NETWORK, other.public, b"payload", signature)
        assert not verify(context, NETWORK, key.public, b"payloae", signature)


@given(at=st.integers(0, 511))
def test_every_bit_of_a_signature_counts(at: int) -> None:
    """L-3: a signature has one form."""
    key = SigningKey(bytes(32))
    signature = bytearray(key.sign(Context.BATCH, NETWORK, b"p"))
    signature[at // 8] ^= 1 << at % 8
    assert not verify(Context.BATCH, NETWORK, key.public, b"p", bytes(signature))


def test_other_lengths_are_no_keys_and_no_signatures() -> None:
    """L-3: False, not an error: the bytes are a stranger's."""
    key = SigningKey(bytes(32))
    signature = key.sign(Context.BATCH, NETWORK, b"p")
    message = signing_message(Context.BATCH, NETWORK, b"p")
    for bad in (b"", signature[:63], signature + b"\x00", signature * 2):
        assert not verify_message(key.public, message, bad)
    for bad in (b"", key.public[:31], key.public + b"\x00"):
        assert not is_valid_key(bad)
        assert not verify_message(bad, message, signature)
    for seed in (b"", bytes(31), bytes(33), bytes(64)):
        with pytest.raises(ValueError, match="32 bytes"):
            SigningKey(seed)


def test_a_signing_key_does_not_show_its_secret() -> None:
    """The text form holds the public half; copies and pickles are refused."""
    seed = bytes(range(100, 132))
    key = SigningKey(seed)
    for text in (repr(key), str(key), f"{key}", f"{[key]}"):
        assert key.public.hex() in text
        assert seed.hex() not in text
        assert repr(seed)[2:12] not in text
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="never"):
            leak(key)


def test_keys_are_canonical_points_of_the_prime_order_subgroup() -> None:
    """L-3, A: not of low order, not of mixed order, not in another encoding, not off the curve."""
    assert is_valid_key(encoded(KEY))
    assert is_valid_key(encoded(BASE))
    for low in LOW_ORDER:
        assert not is_valid_key(encoded(low))
        if low != IDENTITY:
            assert not is_valid_key(encoded(add(KEY, low))), "mixed order"
    assert len(NON_CANONICAL) == 40
    for data in NON_CANONICAL:
        assert decoded(data) is None
        assert not is_valid_key(data)
    off_curve = [y for y in range(2, 40) if recover(y, 0) is None]
    assert off_curve
    assert not any(is_valid_key(y.to_bytes(32, "little")) for y in off_curve)


def test_remembered_keys_are_bounded() -> None:
    """The memory of checked keys has a limit: strangers choose the keys."""
    assert is_valid_key.cache_info().maxsize == limits.VALID_KEYS_REMEMBERED_MAX


def agree(public: bytes, message: bytes, signature: bytes) -> bool:
    """The verdict, after asserting that rule and implementation agree on it."""
    verdict = verify_message(public, message, signature)
    assert verdict == valid_by_l3(public, message, signature)
    return verdict


def test_the_arithmetic_of_these_tests_signs_what_the_library_accepts() -> None:
    """L-3: otherwise the refusals below would prove nothing."""
    for number in range(8):
        public, signature = sign_unusually(SECRET, b"%d" % number, nonce=7 + number)
        assert agree(public, b"%d" % number, signature)


def test_s_is_below_the_group_order() -> None:
    """L-3, S < L: S + L, S + 2L and so on satisfy the equation and are refused."""
    public, signature = sign_unusually(SECRET, b"m")
    response = int.from_bytes(signature[32:], "little")
    for times in range(1, 16):
        raised = response + times * L
        if raised < 2**256:
            assert not agree(public, b"m", signature[:32] + raised.to_bytes(32, "little"))
    zero = signature[:32] + bytes(32)
    assert not agree(public, b"m", zero)


def test_r_with_a_low_order_part_is_refused() -> None:
    """L-3, [S]B - [h]A equals R byte for byte: such an R satisfies only the equation with the cofactor."""
    for low in LOW_ORDER[1:]:
        public, signature = sign_unusually(SECRET, b"m", low_order_part=low)
        assert not agree(public, b"m", signature)


def test_r_is_neither_the_identity_nor_of_low_order() -> None:
    """L-3: the identity satisfies the equation and is excluded; the other seven do not satisfy it."""
    for low in LOW_ORDER:
        public, signature = sign_unusually(SECRET, b"m", nonce=0, low_order_part=low)
        assert not agree(public, b"m", signature)
    # What the rule excludes by name: the equation holds, byte for byte.
    public, signature = sign_unusually(SECRET, b"m", nonce=0)
    response, h = int.from_bytes(signature[32:], "little"), challenge(signature[:32], public, b"m")
    assert encoded(add(multiple(response, BASE), multiple(h, (-KEY[0] % P, KEY[1])))) == signature[:32]


def test_the_rule_does_not_lean_on_the_librarys_own_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-3: A and the identity as R are refused here, whatever a library would say."""
    monkeypatch.setattr(signing, "crypto_sign_open", lambda signed, public: signed[64:])
    public, signature = sign_unusually(SECRET, b"m", nonce=0)
    assert verify_message(public, b"m", bytes(64)), "the stand-in accepts everything"
    assert not verify_message(public, b"m", signature)
    assert not verify_message(encoded(add(KEY, LOW_ORDER[4])), b"m", bytes(64))


@pytest.mark.parametrize("probe", ["_PROBE_VALID", "_PROBE_LOW_ORDER_PART"])
def test_a_library_of_another_rule_stops_the_node(monkeypatch: pytest.MonkeyPatch, probe: str) -> None:
    """L-3: one that refuses good signatures, or multiplies by the cofactor, is found out when the module is loaded."""
    public, first = bytes.fromhex(signing._PROBE_PUBLIC), bytes.fromhex(signing._PROBE_LOW_ORDER_PART)
    point, response = decoded(public), int.from_bytes(first[32:], "little")
    assert point is not None
    minus = (-point[0] % P, point[1])
    expected = add(multiple(response, BASE), multiple(challenge(first[:32], public, b"probe"), minus))
    received = decoded(first[:32])
    assert received is not None
    difference = add(received, (-expected[0] % P, expected[1]))
    assert difference != IDENTITY
    assert multiple(8, difference) == IDENTITY, "the probe satisfies the equation with the cofactor alone"
    signing._require_no_cofactor()
    answer = probe == "_PROBE_LOW_ORDER_PART"
    monkeypatch.setattr(signing, "verify_message", lambda public, message, signature: answer)
    with pytest.raises(BrokenInvariant, match="cofactor" if answer else "refuses a good"):
        signing._require_no_cofactor()


def test_r_in_another_encoding_is_refused() -> None:
    """L-3: also where h was computed over these very bytes."""
    for data in NON_CANONICAL:
        public, signature = sign_unusually(SECRET, b"m", nonce=0, first=data)
        assert not agree(public, b"m", signature)


def test_a_key_of_mixed_or_low_order_is_refused_even_where_the_equation_holds() -> None:
    """L-3, A: messages are tried until the low-order part of [h]A vanishes, which libsodium alone accepts."""
    for low in LOW_ORDER[1:]:
        mixed = encoded(add(KEY, low))
        tried = (sign_unusually(SECRET, b"%d" % number, key=mixed) for number in itertools.count())
        number, (public, signature) = next(
            (number, made)
            for number, made in enumerate(tried)
            if multiple(challenge(made[1][:32], mixed, b"%d" % number), low) == IDENTITY
        )
        assert not agree(public, b"%d" % number, signature)
    for low in LOW_ORDER:
        public, signature = sign_unusually(0, b"m", key=encoded(low))
        assert not agree(public, b"m", signature)


@given(
    secret=st.integers(1, 2**64),
    nonce=st.integers(0, 3),
    low_r=st.sampled_from(LOW_ORDER),
    low_a=st.sampled_from(LOW_ORDER),
    message=st.binary(max_size=8),
    raised=st.integers(0, 2),
)
@settings(max_examples=60, deadline=None)
def test_rule_and_implementation_agree(
    *, secret: int, nonce: int, low_r: tuple[int, int], low_a: tuple[int, int], message: bytes, raised: int
) -> None:
    """L-3: on any mixture of the above."""
    key = encoded(add(multiple(secret, BASE), low_a))
    public, signature = sign_unusually(secret, message, key=key, low_order_part=low_r, nonce=nonce)
    response = int.from_bytes(signature[32:], "little") + raised * L
    agree(public, message, signature[:32] + response.to_bytes(32, "little"))
