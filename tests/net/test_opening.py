"""Opening a channel (L-29): proofs, words for mismatches, and nothing but refusal for bytes that are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.net.opening import HANDSHAKE_BYTES_MAX, Awaits, Opening, OpeningFailed, PeerRole, Remote
from daemon.net.preamble import PREAMBLE_BYTES, Answer
from protocol import errors
from protocol.codec import decode, encode
from protocol.crypto.contexts import Context
from protocol.crypto.noise import Handshake
from protocol.errors import Refused
from protocol.wire.channel import ChannelProof, ChannelStatement, Side
from tests.net.kit import HIGH, LOW, NETWORK_ID, OTHER, Wire, channel_pair, drawn, identity, opening, welcome


def pair(**options: object) -> tuple[Opening, Opening]:
    return opening(identity(LOW), Side.INITIATOR), opening(identity(HIGH), Side.RESPONDER)


def fault_of(wire: Wire, side: Side) -> OpeningFailed:
    fault = wire.faults[side]
    assert isinstance(fault, OpeningFailed), fault
    return fault


# -- The good way -----------------------------------------------------------------------------------


def test_both_learn_who_is_there_and_share_ciphers() -> None:
    one, two = channel_pair()
    assert one.remote == Remote(HIGH.public, one.remote.channel_key, Side.RESPONDER)
    assert two.remote == Remote(LOW.public, two.remote.channel_key, Side.INITIATOR)
    assert (one.version, two.version) == (1, 1)
    assert (one.role, two.role) == (PeerRole.VALIDATOR, PeerRole.VALIDATOR)
    assert two.receiving.decrypt(one.sending.encrypt(b"to responder")) == b"to responder"
    assert one.receiving.decrypt(two.sending.encrypt(b"to initiator")) == b"to initiator"


@given(st.lists(st.integers(1, 40), min_size=1, max_size=400))
def test_it_does_not_matter_how_bytes_are_cut(sizes: list[int]) -> None:
    lengths = cycle(sizes)

    def cut(data: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(data):
            size = next(lengths)
            yield data[at : at + size]
            at += size

    wire = Wire(*pair(), cut=cut).run()
    assert wire.channels[0].rest == wire.channels[1].rest == b""


def test_what_comes_behind_the_verdict_belongs_to_the_channel() -> None:
    left, right = pair()
    wire = Wire(
        left,
        right,
        change=lambda side, data: (
            data + b"first frame" * (left.channel is None and side == 1 and right.channel is not None)
        ),
    )
    wire.run()
    assert wire.channels[0].rest == b"first frame"


def test_node_keys_and_verdicts_are_never_in_clear() -> None:
    def judge(_remote: Remote) -> PeerRole:
        raise Refused(errors.UNKNOWN_PEER, "these are the words")

    wire = Wire(opening(identity(LOW), Side.INITIATOR), opening(identity(HIGH), Side.RESPONDER, judge)).run()
    traffic = bytes(wire.sent[Side.INITIATOR] + wire.sent[Side.RESPONDER])
    for secret in (LOW.public, HIGH.public, b"these are the words", b"unknown_peer"):
        assert secret not in traffic
    assert fault_of(wire, Side.INITIATOR).words == "these are the words"


# -- Words ------------------------------------------------------------------------------------------


def test_another_network_is_said_on_both_sides() -> None:
    other = identity(HIGH, network_id=bytes(32))
    wire = Wire(opening(identity(LOW), Side.INITIATOR), opening(other, Side.RESPONDER)).run()
    for side in Side:
        fault = fault_of(wire, side)
        assert fault.code == errors.OTHER_NETWORK
        assert "networks differ" in fault.words


def test_no_common_version_is_said_on_both_sides() -> None:
    newer = identity(HIGH, versions=(5, 7))
    wire = Wire(opening(identity(LOW), Side.INITIATOR), opening(newer, Side.RESPONDER)).run()
    for side, words in (
        (Side.INITIATOR, "speaks 1 to 1, the other 5 to 7"),
        (Side.RESPONDER, "speaks 5 to 7, the other 1 to 1"),
    ):
        assert fault_of(wire, side).code == errors.NO_COMMON_VERSION
        assert words in fault_of(wire, side).words


def test_a_refusal_in_clear_is_shown_with_its_words() -> None:
    """A program of the future may refuse for a reason that this one does not know."""
    left, _ = pair()
    left.take()
    with pytest.raises(OpeningFailed) as refused:
        left.receive(identity(HIGH).preamble.encode() + Answer(0, "come back\nnever").encode())
    assert refused.value.by_peer
    assert refused.value.words == "refused in clear: come back?never"


@pytest.mark.parametrize("side", Side)
def test_a_refusal_by_policy_reaches_the_other_in_words_and_code(side: Side) -> None:
    def judge(_remote: Remote) -> PeerRole:
        raise Refused(errors.UNKNOWN_PEER, "nobody we know")

    judges = [welcome, welcome]
    judges[side] = judge
    wire = Wire(
        opening(identity(LOW), Side.INITIATOR, judges[0]), opening(identity(HIGH), Side.RESPONDER, judges[1])
    ).run()
    own, other = fault_of(wire, side), fault_of(wire, Side(1 - side))
    assert (own.code, own.by_peer) == (errors.UNKNOWN_PEER, False)
    assert (other.code, other.words, other.by_peer) == (errors.UNKNOWN_PEER, "nobody we know", True)


@pytest.mark.parametrize("run,code", [("1", errors.SELF_CONNECTION), ("2", errors.KEY_IN_USE)])
def test_ones_own_key_at_the_other_end_is_refused_on_both_sides(run: str, code: str) -> None:
    wire = Wire(opening(identity(LOW), Side.INITIATOR), opening(identity(LOW, run=run), Side.RESPONDER)).run()
    assert {fault_of(wire, side).code for side in Side} == {code}


@pytest.mark.parametrize("data,kind", [(b"GET / HTTP/1.1\r\n\r\n", "http"), (b"\x16\x03\x01" + bytes(40), "tls")])
def test_foreign_bytes_are_named(data: bytes, kind: str) -> None:
    _, right = pair()
    with pytest.raises(OpeningFailed) as failed:
        right.receive(data)
    assert (failed.value.code, failed.value.looks_like) == (errors.NOT_PAPILIO, kind)
    answered = right.take()
    assert answered.startswith(b"HTTP/1.1 400 ") == (kind == "http")
    assert (b"papilio" in answered.lower()) == (kind == "http")


def test_an_end_is_named_by_what_was_due() -> None:
    for size, words in ((0, "nothing"), (5, "cut")):
        _, right = pair()
        right.receive(b"PAPILIO"[:size])
        with pytest.raises(OpeningFailed, match=words):
            right.end_of_stream()
    left, right = pair()
    right.receive(left.take())
    with pytest.raises(OpeningFailed, match="answer was due"):
        right.end_of_stream()


# -- Nothing but the truth --------------------------------------------------------------------------


@pytest.mark.parametrize("side", Side)
def test_any_flipped_bit_ends_it_on_a_side_that_sees_it(side: Side) -> None:
    """No byte of the handshake, preambles included, can change without at least the side that gets it refusing."""
    whole = Wire(*pair()).run()
    size = len(whole.sent[side])
    for position in range(size):
        passed = [0]

        def change(who: Side, data: bytes, position: int = position, passed: list[int] = passed) -> bytes:
            if who is not side:
                return data
            at = position - passed[0]
            passed[0] += len(data)
            if not 0 <= at < len(data):
                return data
            return data[:at] + bytes([data[at] ^ 1 << position % 8]) + data[at + 1 :]

        wire = Wire(*pair(), change=change).run()
        # A changed length may leave the hearer waiting for more: then it ends by time, and holds no channel.
        hearer = wire.responder if side is Side.INITIATOR else wire.initiator
        assert hearer.channel is None, position
        for fault in wire.faults.values():
            assert isinstance(fault, OpeningFailed)


def test_a_downgrade_of_versions_is_noticed() -> None:
    """Both speak 1 to 3; somebody in between makes both believe that the other speaks only 1."""

    def change(_side: Side, data: bytes) -> bytes:
        return data.replace(b"PAPILIO\x00\x01\x00\x03", b"PAPILIO\x00\x01\x00\x01")

    wide = (1, 3)
    wire = Wire(
        opening(identity(LOW, versions=wide), Side.INITIATOR),
        opening(identity(HIGH, versions=wide), Side.RESPONDER),
        change=change,
    ).run()
    assert fault_of(wire, Side.INITIATOR).code == errors.HANDSHAKE_FAILED
    assert wire.initiator.channel is None
    assert wire.responder.channel is None


@pytest.mark.parametrize("side", Side)
def test_recorded_bytes_played_again_are_refused(side: Side) -> None:
    """Either side of a recorded opening, played to the other with a fresh ephemeral key."""
    recorded = bytes(Wire(*pair()).run().sent[side])
    if side is Side.INITIATOR:
        victim = opening(identity(HIGH), Side.RESPONDER, label="later")
    else:
        victim = opening(identity(LOW), Side.INITIATOR, label="later")
    with pytest.raises(OpeningFailed) as failed:
        victim.receive(recorded)
    assert failed.value.code == errors.HANDSHAKE_FAILED
    assert victim.channel is None


def test_ones_own_bytes_reflected_are_refused() -> None:
    left, _ = pair()
    left.receive(left.take())  # its own preamble is a good one
    with pytest.raises(OpeningFailed) as failed:
        left.receive(left.take())
    assert failed.value.code == errors.HANDSHAKE_FAILED


class Liar(Opening):
    """A side whose proof is made by `lie` instead."""

    def __init__(self, side: Side, lie: str) -> None:
        super().__init__(identity(OTHER), side, welcome, random_bytes=drawn("liar"))
        self.lie = lie

    def _proof(self) -> bytes:
        noise = self._noise
        assert isinstance(noise, Handshake)
        side = Side(1 - self._side) if self.lie == "side" else self._side
        transcript = bytes(32) if self.lie == "transcript" else noise.transcript
        channel_key = bytes(32) if self.lie == "channel_key" else noise.static_public
        context = Context.NOTARIZE if self.lie == "context" else Context.CHANNEL
        network_id = bytes(32) if self.lie == "network" else NETWORK_ID
        signature = OTHER.sign(context, network_id, encode(ChannelStatement(int(side), transcript, channel_key)))
        node_key = HIGH.public if self.lie == "node_key" else OTHER.public
        proof = encode(ChannelProof(node_key, signature))
        return proof + b"\x00" if self.lie == "form" else proof


LIES = ("side", "transcript", "channel_key", "context", "network", "node_key", "form")


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("lie", [*LIES, "none"])
def test_a_proof_binds_side_handshake_channel_key_context_network_and_key(side: Side, lie: str) -> None:
    liar = Liar(side, lie)
    honest = opening(identity(LOW), Side(1 - side))
    wire = Wire(liar, honest).run() if side is Side.INITIATOR else Wire(honest, liar).run()
    if lie == "none":
        assert honest.channel is not None
        assert honest.channel.remote.node_key == OTHER.public
        return
    assert honest.channel is None
    fault = fault_of(wire, Side(1 - side))
    assert fault.code == errors.HANDSHAKE_FAILED
    if lie != "form":
        assert fault.words == "it does not prove its node key"


def test_a_proof_cannot_be_carried_into_another_handshake() -> None:
    """A man in the middle opens with both and passes HIGH's proof on as his own."""
    honest = opening(identity(LOW), Side.INITIATOR)
    stolen: list[bytes] = []

    class Thief(Opening):
        def _learn(self, message: bytes) -> None:
            assert self._noise is not None
            payload = self._noise.read(message)
            stolen.append(payload)

    thief = Thief(identity(OTHER), Side.INITIATOR, welcome, random_bytes=drawn("thief"))
    Wire(thief, opening(identity(HIGH), Side.RESPONDER)).run()
    assert decode(ChannelProof, stolen[0]).node_key == HIGH.public

    class Carrier(Opening):
        def _proof(self) -> bytes:
            return stolen[0]

    carrier = Carrier(identity(OTHER), Side.RESPONDER, welcome, random_bytes=drawn("carrier"))
    wire = Wire(honest, carrier).run()
    assert fault_of(wire, Side.INITIATOR).words == "it does not prove its node key"


def test_something_in_clear_in_the_first_message_is_refused() -> None:
    _, right = pair()
    right.receive(identity(LOW).preamble.encode() + Answer(1).encode())
    message = bytes(32) + b"clear"
    with pytest.raises(OpeningFailed):
        right.receive(len(message).to_bytes(2, "big") + message)


# -- Garbage at every stage -------------------------------------------------------------------------


def stages() -> list[tuple[Side, bytes]]:
    """Good beginnings of what each side gets, up to every stage."""
    whole = Wire(*pair()).run()
    found = []
    for side in Side:
        data, at = bytes(whole.sent[Side(1 - side)]), PREAMBLE_BYTES
        ends = [0, at]
        at += len(Answer(1).encode())
        while at < len(data):
            ends.append(at)
            at += 2 + int.from_bytes(data[at : at + 2], "big")
        found += [(side, data[:end]) for end in ends]
    return found


@pytest.mark.parametrize("stage", range(len(stages())))
def test_garbage_is_refused_at_every_stage(stage: int) -> None:
    side, beginning = stages()[stage]
    random = Random(stage)
    for _ in range(300):
        victim = pair()[side]
        try:
            victim.receive(beginning)
            for _ in range(random.randint(1, 5)):
                victim.receive(random.randbytes(random.randint(1, 900)))
        except OpeningFailed:
            assert victim.awaits is Awaits.NOTHING
        assert victim.channel is None
        assert len(victim._in) <= 5 * 900


@given(st.sampled_from(stages()), st.binary(max_size=600))
def test_a_victim_keeps_no_more_than_a_message(stage: tuple[Side, bytes], garbage: bytes) -> None:
    """L-31: bytes that may still become a message are kept up to its bound, and then refused."""
    side, beginning = stage
    victim = pair()[side]
    try:
        victim.receive(beginning)
        for start in range(0, len(garbage), 50):
            victim.receive(garbage[start : start + 50])
            assert len(victim._in) <= HANDSHAKE_BYTES_MAX + 2
    except OpeningFailed:
        assert victim.awaits is Awaits.NOTHING
    assert victim.channel is None
