"""Records of the channel itself (L-29), kinds 60 to 69: who is at the other end, and why it ends.

They travel inside the Noise handshake or under its ciphers, never in clear. How they are used stands in `daemon.net`;
the bytes stand here, with the other formats.

A `ChannelProof` is bound three times: to the handshake by `transcript` (fresh keys of both sides, network, versions),
to the side that speaks by `side`, so that a proof reflected or given by the other side is another statement, and to
the signer's channel key, so that the node key vouches for it in so many words.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from protocol import limits
from protocol.codec import Hash, Key, Name, Range, Signature, Words, record

VERSION_LOW: Final = 1
VERSION_HIGH: Final = 1
"""The versions of the protocol between nodes that this program speaks: of the channel, and of all that goes over it."""


class Side(IntEnum):
    """Who dialed, and who was dialed."""

    INITIATOR = 0
    RESPONDER = 1


@record(kind=60, bytes_max=128)
class ChannelStatement:
    """What a node key signs, in the context CHANNEL, and is never sent: both ends know it.

    transcript: Noise's h before the message that carries the signature. channel_key: the signer's static X25519 key.
    """

    side: Annotated[int, Range(0, 1)]
    transcript: Hash
    channel_key: Key


@record(kind=61, bytes_max=128)
class ChannelProof:
    """Payload of handshake messages 2 (responder) and 3 (initiator): a node key and its signature of the statement."""

    node_key: Key
    signature: Signature


@record(kind=62, bytes_max=512)
class ChannelVerdict:
    """The first message of each side under the channel's ciphers: `ok`, or the code and words of a refusal."""

    code: Name
    words: Words


@record(kind=63, bytes_max=512)
class Goodbye:
    """The last message of a side that ends the channel on purpose: why, as a code of the table and words."""

    code: Name
    words: Words


def fitting(words: str) -> str:
    """`words` cut to what a field of a record may hold, at the end of a character."""
    data = words.encode("utf-8", "replace")
    if len(data) > limits.WORDS_BYTES_MAX:
        data = data[: limits.WORDS_BYTES_MAX - len(_CUT)].decode("utf-8", "ignore").encode() + _CUT
    return data.decode()


_CUT: Final = b"..."
