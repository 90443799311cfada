"""Noise XX over 25519, ChaChaPoly and SHA256: the channel's handshake and ciphers, without I/O (L-29).

Source: the Noise Protocol Framework, revision 34; section numbers below are its. The handshake is the three
objects of section 5, unchanged: a `CipherState` (5.1) inside a `_SymmetricState` (5.2) inside a `Handshake`
(5.3). A pattern is data, a `Pattern`; the product uses one:

    XX:   -> e        <- e, ee, s, es        -> s, se

Bytes in, bytes out: the caller brings both private keys (randomness is the daemon's; an ephemeral key is used
for one handshake and forgotten) and carries the messages. It asks for no length prefix and adds none.

**What is bound to what.** `transcript` is Noise's running hash h: over the protocol's name, the prologue, and
every byte of every message so far. L-29 has each side prove its node key inside the handshake: it signs in the
context CHANNEL and puts the signature into the payload of message 2 (responder) or 3 (initiator). Payloads
stand after the message's keys, so `transcript` read *before* `write` (by the one who signs) and *before* `read`
(by the one who checks) is the same value at both ends:

* before message 2 it holds the prologue (network id, versions, as both sent them) and the initiator's
  ephemeral key, fresh for this handshake: an old signature cannot be played again;
* before message 3 it holds the responder's ephemeral and static keys and its signature as well.

It does not hold the signer's own static key, which travels in that very message. The payload that carries the
signature is encrypted under DH results of both sides' ephemeral keys and the static keys so far: who relays a
handshake without knowing one of the private keys can neither read a signature nor move it. To have
the node key vouch for the channel key in so many words, sign `transcript + static_public`, and check
`transcript + remote_static` (transcript from before `read`, remote_static from after it).

Two duties stay with the caller. Message 1 is in clear: put nothing into it. And a node must refuse its own
node key as the other side's: a handshake reflected to its sender is genuine in every other way.

**Refusals.** Whatever is wrong with received bytes raises `HandshakeFailed` or, after the handshake,
`TransportFailed`, both the peer's fault; the object then refuses everything. An all-zero DH result (a
low-order point, section 12.1) is such a failure. A call out of turn is our bug: `BrokenInvariant`.

Deliberately absent: pre-shared keys, fallback patterns, padding. Patterns with pre-messages work, since they
cost five lines and let the published vectors of other patterns test the same code; none is used.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from typing import Final, Literal

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
    crypto_scalarmult,
    crypto_scalarmult_base,
)
from nacl.exceptions import CryptoError

from protocol import limits
from protocol.errors import BrokenInvariant, PeerFault

KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
MESSAGE_BYTES_MAX: Final = limits.FRAME_BYTES_MAX
"""Of any Noise message, handshake or transport, tag included (section 3)."""
NONCE_MAX: Final = 2**64 - 2
"""The last nonce that encrypts a message; 2**64 - 1 belongs to `rekey` (section 5.1)."""

_nonce_bytes = Struct("<4xQ").pack
_REKEY_NONCE: Final = _nonce_bytes(2**64 - 1)

Token = Literal["e", "s", "ee", "es", "se", "ss"]


class HandshakeFailed(PeerFault):
    """The other side's handshake message is wrong; the handshake is over."""

    code = "peer_fault"


class TransportFailed(PeerFault):
    """A transport message does not decrypt; the channel is over."""

    code = "peer_fault"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A handshake pattern (section 7): messages in turn, the initiator's first; and what is known before."""

    name: str
    messages: tuple[tuple[Token, ...], ...]
    initiator_static_known: bool = False
    responder_static_known: bool = False


XX: Final = Pattern("XX", (("e",), ("e", "ee", "s", "es"), ("s", "se")))


class CipherState:
    """One direction's key and counter (section 5.1). After a failed `decrypt` it refuses everything."""

    __slots__ = ("_broken", "_key", "_nonce")

    def __init__(self, key: bytes) -> None:
        """From a key of 32 bytes; the counter starts at 0."""
        assert len(key) == KEY_BYTES
        self._key = key
        self._nonce = 0
        self._broken = False

    def __repr__(self) -> str:
        return f"CipherState(messages={self._nonce})"

    def encrypt(self, plaintext: bytes, associated: bytes = b"") -> bytes:
        """Ciphertext, 16 bytes longer than `plaintext`.

        Raises BrokenInvariant if the result would be longer than a Noise message, or the counter is used up.
        """
        if len(plaintext) > MESSAGE_BYTES_MAX - TAG_BYTES:
            raise BrokenInvariant(f"a Noise message of {len(plaintext)} bytes and a tag; at most {MESSAGE_BYTES_MAX}")
        nonce = self._take_nonce()
        return crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, associated, nonce, self._key)

    def decrypt(self, ciphertext: bytes, associated: bytes = b"") -> bytes:
        """The plaintext of the next message.

        Raises TransportFailed unless `ciphertext` is what the other side encrypted as its next message.
        """
        size = len(ciphertext)
        if not TAG_BYTES <= size <= MESSAGE_BYTES_MAX:
            self._broken = True
            raise TransportFailed(f"a Noise message of {size} bytes; {TAG_BYTES} to {MESSAGE_BYTES_MAX} are possible")
        nonce = self._take_nonce()
        try:
            return crypto_aead_chacha20poly1305_ietf_decrypt(ciphertext, associated, nonce, self._key)
        except CryptoError:
            self._broken = True
            raise TransportFailed("a Noise message does not decrypt") from None

    def rekey(self) -> None:
        """Replace the key by a one-way function of it (sections 4.2 and 11.3); the counter goes on."""
        stream = crypto_aead_chacha20poly1305_ietf_encrypt(bytes(KEY_BYTES), b"", _REKEY_NONCE, self._key)
        self._key = stream[:KEY_BYTES]

    def _take_nonce(self) -> bytes:
        nonce = self._nonce
        if self._broken:
            raise TransportFailed("the channel has failed before")
        if nonce > NONCE_MAX:
            raise BrokenInvariant("a Noise cipher has used all its nonces; it should have been replaced long ago")
        self._nonce = nonce + 1
        return _nonce_bytes(nonce)


class _SymmetricState:
    """Chaining key, running hash and, once a key was mixed in, a cipher (section 5.2)."""

    __slots__ = ("chaining_key", "cipher", "transcript")

    def __init__(self, protocol_name: bytes, prologue: bytes) -> None:
        short = len(protocol_name) <= sha256().digest_size
        start = protocol_name.ljust(32, b"\x00") if short else sha256(protocol_name).digest()
        self.chaining_key = start
        self.transcript = start
        self.cipher: CipherState | None = None
        self.mix_hash(prologue)

    def mix_hash(self, data: bytes) -> None:
        self.transcript = sha256(self.transcript + data).digest()

    def mix_key(self, material: bytes) -> None:
        self.chaining_key, key = _derive(self.chaining_key, material)
        self.cipher = CipherState(key)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        data = plaintext if self.cipher is None else self.cipher.encrypt(plaintext, self.transcript)
        self.mix_hash(data)
        return data

    def decrypt_and_hash(self, data: bytes) -> bytes:
        plaintext = data if self.cipher is None else self.cipher.decrypt(data, self.transcript)
        self.mix_hash(data)
        return plaintext


def _derive(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """HKDF with two outputs (section 4.3)."""
    secret = hmac.digest(chaining_key, material, "sha256")
    first = hmac.digest(secret, b"\x01", "sha256")
    return first, hmac.digest(secret, first + b"\x02", "sha256")


class Handshake:
    """One side of one handshake (section 5.3): `write` and `read` in turn until `finished`, then `split`."""

    __slots__ = (
        "_ephemeral_private",
        "_failed",
        "_initiator",
        "_messages_done",
        "_pattern",
        "_remote_ephemeral",
        "_split",
        "_static_private",
        "_symmetric",
        "ephemeral_public",
        "remote_static",
        "static_public",
    )

    def __init__(
        self,
        initiator: bool,
        prologue: bytes,
        static_private: bytes,
        ephemeral_private: bytes,
        *,
        pattern: Pattern = XX,
        remote_static: bytes | None = None,
    ) -> None:
        """Both private keys are 32 random bytes; `remote_static` only for patterns that know it beforehand."""
        if len(static_private) != KEY_BYTES or len(ephemeral_private) != KEY_BYTES:
            raise BrokenInvariant(f"Noise private keys have {KEY_BYTES} bytes")
        self._initiator = initiator
        self._pattern = pattern
        self._static_private = static_private
        self._ephemeral_private = ephemeral_private
        self.static_public: Final = crypto_scalarmult_base(static_private)
        self.ephemeral_public: Final = crypto_scalarmult_base(ephemeral_private)
        self.remote_static: bytes | None = remote_static
        """The other side's channel key (32 bytes), once it is known."""
        self._remote_ephemeral: bytes | None = None
        self._messages_done = 0
        self._failed = False
        self._split = False
        self._symmetric = _SymmetricState(f"Noise_{pattern.name}_25519_ChaChaPoly_SHA256".encode(), prologue)
        self._mix_known_keys()

    def __repr__(self) -> str:
        role = "initiator" if self._initiator else "responder"
        return f"Handshake({self._pattern.name} {role}, messages={self._messages_done})"

    @property
    def finished(self) -> bool:
        """Whether every message of the pattern went through."""
        return self._messages_done == len(self._pattern.messages) and not self._failed

    @property
    def transcript(self) -> bytes:
        """The running hash h (32 bytes) as of now: what both sides see alike before the next message."""
        return self._symmetric.transcript

    @property
    def handshake_hash(self) -> bytes:
        """The final h (32 bytes), the channel's name (section 11.2). Raises BrokenInvariant before the end."""
        if not self.finished:
            raise BrokenInvariant("the handshake is not finished")
        return self._symmetric.transcript

    def write(self, payload: bytes = b"") -> bytes:
        """Our next message with `payload` in it.

        Raises BrokenInvariant out of turn or if it would be too long, HandshakeFailed if the handshake failed
        before or the other side's key is of low order.
        """
        self._require_not_failed()
        if not self._may_write():
            raise BrokenInvariant(f"{self!r} writes out of turn")
        self._failed = True  # until the whole message is there
        parts = [self._write_token(step) for step in self._pattern.messages[self._messages_done]]
        parts.append(self._symmetric.encrypt_and_hash(payload))
        message = b"".join(parts)
        if len(message) > MESSAGE_BYTES_MAX:
            raise BrokenInvariant(f"a Noise message of {len(message)} bytes; at most {MESSAGE_BYTES_MAX}")
        self._failed = False
        self._messages_done += 1
        return message

    def read(self, message: bytes) -> bytes:
        """The payload of the other side's next message. Raises HandshakeFailed if it is wrong or out of turn."""
        self._require_not_failed()
        out_of_turn = self._may_write() or self.finished
        self._failed = True  # until the whole message is found good
        if out_of_turn:
            raise HandshakeFailed("a handshake message out of turn")
        if len(message) > MESSAGE_BYTES_MAX:
            raise HandshakeFailed(f"a handshake message of {len(message)} bytes; at most {MESSAGE_BYTES_MAX}")
        try:
            rest = message
            for step in self._pattern.messages[self._messages_done]:
                rest = self._read_token(step, rest)
            payload = self._symmetric.decrypt_and_hash(rest)
        except TransportFailed:
            raise HandshakeFailed("a handshake message does not decrypt") from None
        self._failed = False
        self._messages_done += 1
        return payload

    def split(self) -> tuple[CipherState, CipherState]:
        """The two transport ciphers, (sending, receiving) for this side.

        Raises BrokenInvariant before the end, and the second time: one key with two counters would be fatal.
        """
        if not self.finished or self._split:
            raise BrokenInvariant("a handshake is split once, when it is finished")
        self._split = True
        first, second = (CipherState(key) for key in _derive(self._symmetric.chaining_key, b""))
        return (first, second) if self._initiator else (second, first)

    def _mix_known_keys(self) -> None:
        mine, theirs = self.static_public, self.remote_static
        of_initiator, of_responder = (mine, theirs) if self._initiator else (theirs, mine)
        if self._pattern.initiator_static_known:
            assert of_initiator is not None, "the pattern knows the initiator's static key beforehand"
            self._symmetric.mix_hash(of_initiator)
        if self._pattern.responder_static_known:
            assert of_responder is not None, "the pattern knows the responder's static key beforehand"
            self._symmetric.mix_hash(of_responder)

    def _may_write(self) -> bool:
        left = self._messages_done < len(self._pattern.messages)
        return left and (self._messages_done % 2 == 0) == self._initiator

    def _require_not_failed(self) -> None:
        if self._failed:
            raise HandshakeFailed("the handshake has failed before")

    def _write_token(self, step: Token) -> bytes:
        if step == "e":
            self._symmetric.mix_hash(self.ephemeral_public)
            return self.ephemeral_public
        if step == "s":
            return self._symmetric.encrypt_and_hash(self.static_public)
        self._mix_agreement(step)
        return b""

    def _read_token(self, step: Token, rest: bytes) -> bytes:
        """Consume what `step` has in front of `rest`; the remainder."""
        if step not in ("e", "s"):
            self._mix_agreement(step)
            return rest
        size = KEY_BYTES + (TAG_BYTES if step == "s" and self._symmetric.cipher is not None else 0)
        if len(rest) < size:
            raise HandshakeFailed("a handshake message is too short")
        if step == "e":
            self._remote_ephemeral = rest[:size]
            self._symmetric.mix_hash(rest[:size])
        else:
            self.remote_static = self._symmetric.decrypt_and_hash(rest[:size])
        return rest[size:]

    def _mix_agreement(self, step: Token) -> None:
        """Mix in one Diffie-Hellman result; it names the initiator's key first, then the responder's."""
        mine, theirs = (step[0], step[1]) if self._initiator else (step[1], step[0])
        private = self._ephemeral_private if mine == "e" else self._static_private
        public = self._remote_ephemeral if theirs == "e" else self.remote_static
        assert public is not None, "a pattern agrees on keys that were sent"
        try:
            shared = crypto_scalarmult(private, public)
        except CryptoError:
            raise HandshakeFailed("the other side's key is of low order") from None
        self._symmetric.mix_key(shared)
