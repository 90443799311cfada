"""Opening a channel: from the first byte to the verdicts, as a state machine without I/O (L-29).

    initiator                                   responder
      preamble                            →
                                          ←       preamble, answer
      answer, Noise 1 (e)                 →
                                          ←       Noise 2 (e, ee, s, es, proof)
      Noise 3 (s, se, proof), verdict     →
                                          ←       verdict

What comes next is one of a few things, so the machine is one variable, `awaits`, and a table from it to the function
that takes it. Bytes go in by `receive`, what is to be sent comes out of `take`; it does not matter how they were cut.

**Who is there.** Each side's proof is a signature by its node key over the transcript so far, its side and its channel
key (`protocol.wire.channel`). Initiator and responder sign different statements, the transcript holds fresh keys of
both, so a proof can neither be reflected, nor replayed, nor carried into another handshake. Our own node key at the
other end is refused: it is ourselves (the channel key tells) or a second process with our key.

**Verdicts.** Whether the node key may come in is asked of `judge`, which looks at policy and at what stands already.
The verdict is the first message under the channel's ciphers, so a refusal is told in words to the one it concerns and
to nobody else. A channel is open for a side once it has accepted and been accepted.

The initiator reveals its node key only to a responder that has proven one of its own. Who dials can learn the
responder's key; keys of nodes are no secret. Message lengths are bounded before anything is kept: what is half
open costs a few KiB and one task.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final, NoReturn

from daemon.net import preamble
from daemon.net.preamble import Answer, Mismatch, Preamble
from protocol import errors
from protocol.codec import decode, encode
from protocol.crypto.contexts import Context
from protocol.crypto.noise import CipherState, Handshake, HandshakeFailed
from protocol.crypto.signing import SigningKey, verify
from protocol.errors import Malformed, PapilioError, PeerFault, Refused
from protocol.wire.channel import (
    VERSION_HIGH,
    VERSION_LOW,
    ChannelProof,
    ChannelStatement,
    ChannelVerdict,
    Side,
    fitting,
)

LENGTH_BYTES: Final = 2
HANDSHAKE_BYTES_MAX: Final = 512
"""Of one Noise message of the handshake or a verdict: the largest has some 300 bytes."""
CHANNEL_KEY_BYTES: Final = 32


class OpeningFailed(PapilioError):
    """No channel came about. `looks_like` says what foreign bytes were; `by_peer`: the other side refused us."""

    def __init__(self, code: str, words: str, *, looks_like: str = "", by_peer: bool = False) -> None:
        super().__init__(words, code=code)
        self.looks_like = looks_like
        self.by_peer = by_peer


class PeerRole(Enum):
    """As what a node key is let in."""

    VALIDATOR = "validator"
    OBSERVER = "observer"
    SYNC_ONLY = "sync_only"
    """The operator configured it, and it is neither, as far as this node knows: its knowledge may be old (L-29)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What this process says of itself. `channel_private`: X25519, made afresh when the process starts."""

    key: SigningKey
    network_id: bytes
    channel_private: bytes
    versions: tuple[int, int] = (VERSION_LOW, VERSION_HIGH)

    @property
    def preamble(self) -> Preamble:
        """Our side of the beginning."""
        return Preamble(*self.versions, self.network_id)


@dataclass(frozen=True, slots=True)
class Remote:
    """Who has proven to be at the other end. `channel_key` is the same for all channels of one process."""

    node_key: bytes
    channel_key: bytes
    side: Side
    """Which side the other is."""


Judge = Callable[[Remote], PeerRole]
"""As what a node that has proven its key is let in. Raises Refused: its code and words are told to the other side."""


@dataclass(frozen=True, slots=True)
class Channel:
    """An open channel: who is there, as what, and the ciphers. `rest`: bytes that came behind the verdict."""

    remote: Remote
    role: PeerRole
    version: int
    sending: CipherState
    receiving: CipherState
    rest: bytes


class Awaits(Enum):
    """What comes next from the other side."""

    PREAMBLE = "preamble"
    ANSWER = "answer"
    KEY = "first handshake message"
    PROOF = "proof of its node key"
    VERDICT = "verdict"
    NOTHING = "nothing"


class Opening:
    """One side of an opening; see the essay. `random_bytes` gives the ephemeral key."""

    def __init__(
        self, identity: Identity, side: Side, judge: Judge, *, random_bytes: Callable[[int], bytes] = os.urandom
    ) -> None:
        self.awaits = Awaits.PREAMBLE
        self.channel: Channel | None = None
        """Set once both sides have accepted."""
        self._identity = identity
        self._side = side
        self._judge = judge
        self._random_bytes = random_bytes
        self._in = bytearray()
        self._out: list[bytes] = []
        self._ours = identity.preamble.encode()
        self._version = 0
        self._noise: Handshake | None = None
        self._remote: Remote | None = None
        self._role: PeerRole | None = None
        self._ciphers: tuple[CipherState, CipherState] | None = None
        if side is Side.INITIATOR:
            self._out.append(self._ours)

    def take(self) -> bytes:
        """What is to be sent now; also after a failure: the last word."""
        out, self._out = b"".join(self._out), []
        return out

    def receive(self, data: bytes) -> None:
        """Take bytes as they came. Raises OpeningFailed; then nothing more is taken."""
        self._in += data
        try:
            while self.awaits is not Awaits.NOTHING and self._TAKE[self.awaits](self):
                pass
        except OpeningFailed:
            self.awaits = Awaits.NOTHING
            raise
        except (PeerFault, Malformed, Refused, Mismatch) as fault:
            self.awaits = Awaits.NOTHING
            code = fault.code if isinstance(fault, Mismatch | Refused) else errors.HANDSHAKE_FAILED
            kind = "garbage" if code == errors.NOT_PAPILIO else ""
            raise OpeningFailed(code, fault.words, looks_like=kind) from fault

    def end_of_stream(self) -> NoReturn:
        """The other side said nothing more. Raises OpeningFailed."""
        awaited, self.awaits = self.awaits, Awaits.NOTHING
        if awaited is Awaits.PREAMBLE:
            kind = preamble.looks_like(bytes(self._in))
            raise OpeningFailed(errors.NOT_PAPILIO, f"closed before a preamble came ({kind})", looks_like=kind)
        raise OpeningFailed(errors.HANDSHAKE_FAILED, f"closed where its {awaited.value} was due")

    def _eat(self, size: int) -> bytes | None:
        """The next `size` bytes, or None while they are not there."""
        if len(self._in) < size:
            return None
        data = bytes(self._in[:size])
        del self._in[:size]
        return data

    # -- In clear -----------------------------------------------------------------------------------

    def _take_preamble(self) -> bool:
        if not preamble.may_be_papilio(bytes(self._in)):
            kind = preamble.looks_like(bytes(self._in))
            if kind == "http" and self._side is Side.RESPONDER:
                self._out.append(_TO_BROWSERS)
            raise OpeningFailed(errors.NOT_PAPILIO, f"no preamble: it looks like {kind}", looks_like=kind)
        data = self._eat(preamble.PREAMBLE_BYTES)
        if data is None:
            return False
        theirs = preamble.decode_preamble(data)
        if self._side is Side.RESPONDER:
            self._out.append(self._ours)
        try:
            self._version = preamble.choose(self._identity.preamble, theirs)
        except Mismatch as mismatch:
            self._out.append(Answer(0, mismatch.words).encode())
            raise
        self._out.append(Answer(self._version).encode())
        both = (self._ours, data) if self._side is Side.INITIATOR else (data, self._ours)
        self._noise = Handshake(
            initiator=self._side is Side.INITIATOR,
            prologue=preamble.prologue(*both, self._version),
            static_private=self._identity.channel_private,
            ephemeral_private=self._random_bytes(CHANNEL_KEY_BYTES),
        )
        self.awaits = Awaits.ANSWER
        if self._side is Side.INITIATOR:
            self._put(self._noise.write())
        return True

    def _take_answer(self) -> bool:
        head = bytes(self._in[: preamble.ANSWER_HEAD_BYTES])
        if len(head) < preamble.ANSWER_HEAD_BYTES:
            return False
        data = self._eat(len(head) + preamble.words_bytes(head))
        if data is None:
            return False
        answer = preamble.decode_answer(data)
        if not answer.version:
            raise OpeningFailed(errors.HANDSHAKE_FAILED, f"refused in clear: {answer.words}", by_peer=True)
        if answer.version != self._version:
            words = f"it chose version {answer.version} where {self._version} is the highest that both speak"
            raise OpeningFailed(errors.HANDSHAKE_FAILED, words)
        self.awaits = Awaits.PROOF if self._side is Side.INITIATOR else Awaits.KEY
        return True

    # -- Noise --------------------------------------------------------------------------------------

    def _take_key(self) -> bool:
        """Noise 1, at the responder."""
        message = self._framed()
        if message is None:
            return False
        assert self._noise is not None
        if self._noise.read(message):
            raise HandshakeFailed("something in clear in the first handshake message")
        self._put(self._noise.write(self._proof()))
        self.awaits = Awaits.PROOF
        return True

    def _take_proof(self) -> bool:
        """Noise 2 at the initiator, Noise 3 at the responder."""
        message = self._framed()
        if message is None:
            return False
        assert self._noise is not None
        self._learn(message)
        if self._side is Side.INITIATOR:
            self._put(self._noise.write(self._proof()))
        self._ciphers = self._noise.split()
        self.awaits = Awaits.VERDICT
        if self._side is Side.INITIATOR:
            self._decide()
        return True

    def _learn(self, message: bytes) -> None:
        """Read the message that holds the other side's proof, and check it."""
        noise = self._noise
        assert noise is not None
        transcript = noise.transcript
        proof = decode(ChannelProof, noise.read(message))
        assert noise.remote_static is not None
        side = Side(1 - self._side)
        statement = ChannelStatement(int(side), transcript, noise.remote_static)
        if not verify(Context.CHANNEL, self._identity.network_id, proof.node_key, encode(statement), proof.signature):
            raise HandshakeFailed("it does not prove its node key")
        self._remote = Remote(proof.node_key, noise.remote_static, side)

    def _proof(self) -> bytes:
        assert self._noise is not None
        statement = ChannelStatement(int(self._side), self._noise.transcript, self._noise.static_public)
        signature = self._identity.key.sign(Context.CHANNEL, self._identity.network_id, encode(statement))
        return encode(ChannelProof(self._identity.key.public, signature))

    # -- Verdicts -----------------------------------------------------------------------------------

    def _decide(self) -> None:
        """Say our verdict. Raises OpeningFailed if it is a refusal."""
        try:
            self._role = self._judged()
        except Refused as refusal:
            self._say(refusal.code, refusal.words)
            raise
        self._say(errors.OK, "")

    def _judged(self) -> PeerRole:
        assert self._remote is not None
        assert self._noise is not None
        if self._remote.node_key == self._identity.key.public:
            if self._remote.channel_key == self._noise.static_public:
                raise Refused(errors.SELF_CONNECTION, "this is the very node that dialed")
            raise Refused(errors.KEY_IN_USE, "another running process has the same node key")
        return self._judge(self._remote)

    def _say(self, code: str, words: str) -> None:
        assert self._ciphers is not None
        self._put(self._ciphers[0].encrypt(encode(ChannelVerdict(code, fitting(words)))))

    def _take_verdict(self) -> bool:
        message = self._framed()
        if message is None:
            return False
        assert self._ciphers is not None
        verdict = decode(ChannelVerdict, self._ciphers[1].decrypt(message))
        if verdict.code != errors.OK:
            code = verdict.code if verdict.code in errors.CODES else errors.HANDSHAKE_FAILED
            raise OpeningFailed(code, preamble.printable(verdict.words.encode()), by_peer=True)
        if self._side is Side.RESPONDER:
            self._decide()
        assert self._remote is not None
        assert self._role is not None
        self.channel = Channel(self._remote, self._role, self._version, *self._ciphers, rest=bytes(self._in))
        self.awaits = Awaits.NOTHING
        return False

    # -- Framing ------------------------------------------------------------------------------------

    def _put(self, message: bytes) -> None:
        self._out.append(len(message).to_bytes(LENGTH_BYTES, "big") + message)

    def _framed(self) -> bytes | None:
        """The next length-prefixed message, or None while it is not whole."""
        if len(self._in) < LENGTH_BYTES:
            return None
        size = int.from_bytes(self._in[:LENGTH_BYTES], "big")
        if not 0 < size <= HANDSHAKE_BYTES_MAX:
            raise HandshakeFailed(f"a message of {size} bytes where its {self.awaits.value} was due")
        data = self._eat(LENGTH_BYTES + size)
        return None if data is None else data[LENGTH_BYTES:]

    _TAKE: ClassVar[dict[Awaits, Callable[[Opening], bool]]] = {
        Awaits.PREAMBLE: _take_preamble,
        Awaits.ANSWER: _take_answer,
        Awaits.KEY: _take_key,
        Awaits.PROOF: _take_proof,
        Awaits.VERDICT: _take_verdict,
    }


_TO_BROWSERS: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
    b"This port is for other Papilio nodes. The HTTP API listens elsewhere: see api.listen in node.toml.\n"
)
