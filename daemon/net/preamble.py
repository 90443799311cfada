"""The preamble: what both sides say in clear before anything is encrypted (L-29). Sans-IO.

So that a mismatch of versions or networks is said in words and never ends as a decryption error, each side begins with

    preamble (43 bytes)   "PAPILIO", lowest and highest protocol version it speaks (2 bytes each), network id (32)

and, once it has the other's, with its

    answer                0 or 1 (1 byte), chosen version (2), length of words (2), words in UTF-8 (at most 256 bytes)

0: the highest version that both speak is chosen; each side computes it and refuses another. 1: refused, the words say
why, version is 0. All numbers are big-endian. This layout can never change: it is what programs of all versions share.

**Nothing here is believed.** Preambles and choice go into the Noise prologue, as they were sent and received; if
somebody in between changed a byte of them (say, to get an old version chosen), the handshake fails. A refusal in clear
may be forged by whoever is on the way; he could as well cut the line. Its words are shown as foreign text.

What does not begin like a preamble is recognised as what it most likely is (a browser, a TLS client, a scanner), for
counters and words: `looks_like`.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from protocol import errors, limits
from protocol.errors import PapilioError
from protocol.wire.channel import fitting

MAGIC: Final = b"PAPILIO"
_PREAMBLE: Final = Struct(">7sHH32s")
_ANSWER: Final = Struct(">BHH")
PREAMBLE_BYTES: Final = _PREAMBLE.size
ANSWER_HEAD_BYTES: Final = _ANSWER.size


class Mismatch(PapilioError):
    """The two sides cannot talk: another network, no common version, or not this protocol at all."""


@dataclass(frozen=True, slots=True)
class Preamble:
    """What one side says of itself: versions from `low` to `high`, and the network id (32 bytes)."""

    low: int
    high: int
    network_id: bytes

    def encode(self) -> bytes:
        """43 bytes."""
        assert 1 <= self.low <= self.high < 2**16
        return _PREAMBLE.pack(MAGIC, self.low, self.high, self.network_id)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one side says to the other's preamble: the chosen version, or 0 and why not."""

    version: int
    words: str = ""

    def encode(self) -> bytes:
        """At most 261 bytes."""
        words = fitting(self.words).encode()
        return _ANSWER.pack(int(not self.version), self.version, len(words)) + words


def decode_preamble(data: bytes) -> Preamble:
    """The preamble in 43 bytes. Raises Mismatch."""
    magic, low, high, network_id = _PREAMBLE.unpack(data)
    if magic != MAGIC:
        raise Mismatch(f"this is no Papilio node: it looks like {looks_like(data)}", code=errors.NOT_PAPILIO)
    if not 1 <= low <= high:
        raise Mismatch(f"a preamble with versions from {low} to {high}", code=errors.NOT_PAPILIO)
    return Preamble(low, high, network_id)


def words_bytes(head: bytes) -> int:
    """How many bytes of words follow the head of an answer (5 bytes). Raises Mismatch."""
    refused, version, size = _ANSWER.unpack(head)
    if refused not in (0, 1) or size > limits.WORDS_BYTES_MAX or (version == 0) != refused or (size and not refused):
        raise Mismatch("an answer to the preamble that is none", code=errors.NOT_PAPILIO)
    return int(size)


def decode_answer(data: bytes) -> Answer:
    """The answer in `data`, its head having passed `words_bytes`. Words are made printable."""
    _refused, version, _size = _ANSWER.unpack_from(data)
    return Answer(version, printable(data[ANSWER_HEAD_BYTES:]))


def choose(ours: Preamble, theirs: Preamble) -> int:
    """The highest version that both speak. Raises Mismatch with words for both sides."""
    if ours.network_id != theirs.network_id:
        raise Mismatch(
            f"networks differ: this node belongs to {ours.network_id.hex()[:16]}..., "
            f"the other to {theirs.network_id.hex()[:16]}...",
            code=errors.OTHER_NETWORK,
        )
    version = min(ours.high, theirs.high)
    if version < max(ours.low, theirs.low):
        raise Mismatch(
            f"no common protocol version: this node speaks {ours.low} to {ours.high}, "
            f"the other {theirs.low} to {theirs.high}",
            code=errors.NO_COMMON_VERSION,
        )
    return version


def prologue(initiator: bytes, responder: bytes, version: int) -> bytes:
    """What Noise binds the handshake to: the network id is in both preambles, which are given as they travelled."""
    assert len(initiator) == len(responder) == PREAMBLE_BYTES
    return b"papilio/channel/" + initiator + responder + version.to_bytes(2, "big")


def may_be_papilio(data: bytes) -> bool:
    """Whether `data` (any length) can be the beginning of a preamble."""
    return data[: len(MAGIC)] == MAGIC[: len(data)]


_BEGINNINGS: Final = (
    (b"\x16\x03", "tls"),
    (b"SSH-", "ssh"),
    *((method + b" ", "http") for method in (b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT")),
    *((method + b" ", "http") for method in (b"PATCH", b"TRACE", b"PRI")),
)


def looks_like(data: bytes) -> str:
    """What bytes that are no preamble most likely are: `tls`, `ssh`, `http`, `nothing`, `cut` or `garbage`."""
    if not data:
        return "nothing"
    for beginning, kind in _BEGINNINGS:
        if data.startswith(beginning):
            return kind
    return "cut" if may_be_papilio(data) else "garbage"


def printable(data: bytes) -> str:
    """Foreign text as it may be shown: one line, no control characters."""
    text = data.decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "?" for character in text)
