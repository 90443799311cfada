"""Ed25519 by the rule of this protocol (L-3), and what a signature is over (L-4).

What is signed is `context tag || network id || payload`: the tag ends in a zero byte that no tag has
elsewhere, the network id is always 32 bytes, so one message has one reading, and a signature made in one
context or network is worth nothing in another.

**Which signatures are valid.** RFC 8032 leaves edge cases open, and libraries fill them differently; in a
ledger a signature on which two nodes disagree is a fork. So the rule is part of the protocol. With A the
public key, (R, S) the halves of the signature, M the message, L the order of the base point:

1. A is 32 bytes, the canonical encoding of a point of the prime-order subgroup, not the identity;
2. the signature is 64 bytes, S < L;
3. R is not the identity;
4. the encoding of [S]B - [h]A, h = SHA-512(R || A || M), equals the 32 bytes R.

1 is `is_valid_key`, once for each key and then remembered. Given 1, what 4 computes lies in the prime-order
subgroup: so an R that is not canonical, or of mixed or small order, equals no such encoding and needs no test
of its own, and the cofactor makes no difference. What is left of 3 is the canonical encoding of the identity.
libsodium refuses some small-order keys and Rs by a list of its own; each of them fails 1 or 3 already, so
rule and library agree.

Other builds of libsodium may multiply by the cofactor in 4. That would accept an R with a low-order part
added, so this module tries one such signature when it is imported and stops if the library takes it.

Deliberately absent: batch verification (its usual equation accepts more than 4 does), pre-hashed variants,
generation of keys (randomness is the daemon's).

`crypto_sign_open` also copies the message out again. Going around that saves 1 of 54 microseconds (measured)
and would need the private half of the binding: not done.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NoReturn

from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from protocol import limits
from protocol.crypto.contexts import Context
from protocol.errors import BrokenInvariant

SEED_BYTES: Final = 32
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
NETWORK_ID_BYTES: Final = 32

_IDENTITY: Final = b"\x01" + bytes(31)


class SigningKey:
    """An Ed25519 private key. Its text form shows the public half only."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        """From the 32 bytes of RFC 8032, 5.1.5. Raises ValueError on another length."""
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a signing key is made from {SEED_BYTES} bytes, not {len(seed)}")
        self.public, self._secret = crypto_sign_seed_keypair(bytes(seed))

    def sign(self, context: Context, network_id: bytes, payload: bytes) -> bytes:
        """The signature (64 bytes) of `payload` in `context` on the network; deterministic (RFC 8032)."""
        return crypto_sign(signing_message(context, network_id, payload), self._secret)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key is never pickled or copied: its bytes would travel unnoticed")


def signing_message(context: Context, network_id: bytes, payload: bytes) -> bytes:
    """The bytes that are signed: the context's tag, the network id (32 bytes), the payload."""
    assert len(network_id) == NETWORK_ID_BYTES, "a network id is a hash"
    return context.value + network_id + payload


@lru_cache(maxsize=limits.VALID_KEYS_REMEMBERED_MAX)
def is_valid_key(public: bytes) -> bool:
    """Whether `public` may be anybody's key: rule 1 above. False, not an error, for a wrong length."""
    return len(public) == KEY_BYTES and crypto_core_ed25519_is_valid_point(public)


def verify_message(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes) of `message` by `public` (32 bytes) is valid by L-3."""
    if len(signature) != SIGNATURE_BYTES or not is_valid_key(public) or signature.startswith(_IDENTITY):
        return False
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


def verify(context: Context, network_id: bytes, public: bytes, payload: bytes, signature: bytes) -> bool:
    """Whether `signature` is valid by L-3 for `payload` in `context` on the network."""
    return verify_message(public, signing_message(context, network_id, payload), signature)


def _require_no_cofactor() -> None:
    """Raises BrokenInvariant if the library accepts an R with a low-order part (see the essay)."""
    public = bytes.fromhex(_PROBE_PUBLIC)
    if not verify_message(public, b"probe", bytes.fromhex(_PROBE_VALID)):
        raise BrokenInvariant("this build of libsodium refuses a good Ed25519 signature")
    if verify_message(public, b"probe", bytes.fromhex(_PROBE_LOW_ORDER_PART)):
        raise BrokenInvariant("this build of libsodium multiplies by the cofactor; L-3 needs one that does not")


_PROBE_PUBLIC: Final = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
_PROBE_VALID: Final = (
    "372c890e913260e25ae5bf6b47a36079b88942649576e11ef06c8f1314af7111"
    "ba610dfdb7f95525e2aa0646e8e8689af87914ee2bb4fa0790baef335fdfea02"
)
_PROBE_LOW_ORDER_PART: Final = (
    "7e5ef133ecf2d0e035d879b24d21cd399991e1740dc282805d94d90a1b51e55b"
    "4a02b84248838c4c569f8aec36beb91cd26fc846219cda4e662f9d8a11906702"
)
_require_no_cofactor()
