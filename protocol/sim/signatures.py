"""Keys and signatures of a run: real Ed25519, or a stand-in that costs one hash.

A stand-in signature is a keyed BLAKE2b (64 bytes) over the same signing message. Who has not the key cannot
make one, because verification looks the secret up by the public key in a table that only this module
touches: inside a run it is as unforgeable as the real thing. Public keys are real Ed25519 keys in both
cases, so every check of a key's form holds.

The seam: `StandInKey` is a `SigningKey`, so the node signs without knowing; all verification that the node
asks for goes through `Scheme.verify`. Functions of the ledger that verify by themselves are given
the scheme's verification in the same place (`services`).

Keys are made from small numbers and kept between runs of one process: making them is the only slow part.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b, sha256
from typing import Protocol

from protocol.crypto.contexts import Context
from protocol.crypto.signing import SIGNATURE_BYTES, SigningKey, signing_message, verify_message


class StandInKey(SigningKey):
    """A signing key whose signatures are keyed hashes."""

    __slots__ = ("_stand_in",)

    def __init__(self, seed: bytes) -> None:
        super().__init__(seed)
        self._stand_in = sha256(b"stand-in" + seed).digest()
        _STAND_INS[self.public] = self._stand_in

    def sign(self, context: Context, network_id: bytes, payload: bytes) -> bytes:
        """A keyed hash (64 bytes) of the signing message."""
        return _keyed(self._stand_in, signing_message(context, network_id, payload))


_STAND_INS: dict[bytes, bytes] = {}


def _keyed(secret: bytes, message: bytes) -> bytes:
    return blake2b(message, key=secret, digest_size=SIGNATURE_BYTES).digest()


class Scheme(Protocol):
    """How a run signs and verifies."""

    name: str

    def key(self, name: str) -> SigningKey:
        """The key of this name; the same in every run."""
        ...

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """Whether `signature` of `message` (a whole signing message) is good."""
        ...


class StandIn:
    """Keyed hashes."""

    name = "stand-in"

    def key(self, name: str) -> SigningKey:
        """The key of this name."""
        return _stand_in_key(name)

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """One keyed hash, compared."""
        secret = _STAND_INS.get(public)
        return secret is not None and _keyed(secret, message) == signature


class Real:
    """Ed25519 by L-3."""

    name = "real"

    def key(self, name: str) -> SigningKey:
        """The key of this name."""
        return _real_key(name)

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """The rule L-3."""
        return verify_message(public, message, signature)


@lru_cache(maxsize=4096)
def _stand_in_key(name: str) -> StandInKey:
    return StandInKey(_seed(name))


@lru_cache(maxsize=4096)
def _real_key(name: str) -> SigningKey:
    return SigningKey(_seed(name))


def _seed(name: str) -> bytes:
    return sha256(b"papilio/sim/key/" + name.encode()).digest()
