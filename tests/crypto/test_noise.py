"""The handshake and its ciphers: both sides agree, and whatever is not the handshake is refused (L-29)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from nacl.bindings import crypto_scalarmult_base

from protocol.crypto.noise import (
    MESSAGE_BYTES_MAX,
    NONCE_MAX,
    TAG_BYTES,
    CipherState,
    Handshake,
    HandshakeFailed,
    TransportFailed,
)
from protocol.errors import BrokenInvariant, PeerFault

INITIATOR, RESPONDER = (b"\x01" * 32, b"\x02" * 32), (b"\x03" * 32, b"\x04" * 32)
LOW_ORDER_POINTS = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]


def pair(prologue: bytes = b"p", other_prologue: bytes | None = None) -> tuple[Handshake, Handshake]:
    """Both sides before message 1."""
    theirs = prologue if other_prologue is None else other_prologue
    return Handshake(True, prologue, *INITIATOR), Handshake(False, theirs, *RESPONDER)


def run(initiator: Handshake, responder: Handshake) -> None:
    """All three messages."""
    assert responder.read(initiator.write(b"one")) == b"one"
    assert initiator.read(responder.write(b"two")) == b"two"
    assert responder.read(initiator.write(b"three")) == b"three"


def test_both_sides_agree() -> None:
    """L-29: the same hash, each other's static key, and ciphers that fit crosswise."""
    initiator, responder = pair()
    run(initiator, responder)
    assert initiator.finished
    assert responder.finished
    assert initiator.handshake_hash == responder.handshake_hash == initiator.transcript
    assert initiator.remote_static == responder.static_public == crypto_scalarmult_base(RESPONDER[0])
    assert responder.remote_static == initiator.static_public == crypto_scalarmult_base(INITIATOR[0])
    (i_send, i_receive), (r_send, r_receive) = initiator.split(), responder.split()
    for number in range(5):
        text = b"text %d" % number
        assert r_receive.decrypt(i_send.encrypt(text)) == text
        assert i_receive.decrypt(r_send.encrypt(text, b"associated"), b"associated") == text
    assert i_send.encrypt(b"same") != r_send.encrypt(b"same")


def test_the_transcript_is_the_same_before_each_message_on_both_sides() -> None:
    """L-29: what one side signs inside message 2 or 3 is what the other checks it against."""
    initiator, responder = pair()
    seen: list[bytes] = []
    for writer, reader in ((initiator, responder), (responder, initiator), (initiator, responder)):
        assert writer.transcript == reader.transcript
        seen.append(writer.transcript)
        reader.read(writer.write(b""))
    assert len({*seen, initiator.handshake_hash}) == 4, "each message moves it"


def test_the_transcript_holds_prologue_and_keys() -> None:
    """L-29: another prologue, ephemeral or static key gives another transcript before the message that is signed in."""

    def before_message(number: int, initiator: Handshake, responder: Handshake) -> bytes:
        if number > 1:
            responder.read(initiator.write())
        if number > 2:
            initiator.read(responder.write())
        return initiator.transcript

    plain = [before_message(number, *pair()) for number in (1, 2, 3)]
    assert len(set(plain)) == 3
    other_prologue = [before_message(number, *pair(b"q")) for number in (1, 2, 3)]
    assert not set(plain) & set(other_prologue)
    fresh = Handshake(True, b"p", INITIATOR[0], b"\x09" * 32)
    assert before_message(2, fresh, pair()[1]) != plain[1]
    another = Handshake(False, b"p", b"\x09" * 32, RESPONDER[1])
    assert before_message(3, pair()[0], another) != plain[2]


def test_another_prologue_fails_the_handshake() -> None:
    """L-29: network id and versions are in the prologue; who saw others gets nowhere."""
    initiator, responder = pair(b"network a", b"network b")
    assert responder.read(initiator.write(b"clear")) == b"clear", "message 1 is in clear and proves nothing"
    with pytest.raises(HandshakeFailed, match="does not decrypt"):
        initiator.read(responder.write())


def messages() -> list[bytes]:
    """The three messages of a good handshake."""
    initiator, responder = pair()
    one = initiator.write(b"one")
    responder.read(one)
    two = responder.write(b"two")
    initiator.read(two)
    return [one, two, initiator.write(b"three")]


def reader_of(number: int) -> Handshake:
    """The side that is about to read message `number` of `messages()`."""
    initiator, responder = pair()
    good = messages()
    if number == 1:
        initiator.write(b"one")
        return initiator
    if number == 2:
        responder.read(good[0])
        responder.write(b"two")
    return responder


@pytest.mark.parametrize("number", [1, 2])
def test_every_altered_byte_of_an_encrypted_message_is_refused(number: int) -> None:
    """L-29: keys and payloads of messages 2 and 3; the error is the peer's, and the object is over."""
    good = messages()[number]
    reader_of(number).read(good)
    for at in range(len(good)):
        reader = reader_of(number)
        with pytest.raises(HandshakeFailed):
            reader.read(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(HandshakeFailed, match="failed before"):
            reader.read(good)


def test_an_altered_first_message_is_found_out_with_the_second() -> None:
    """L-29: message 1 is not authenticated by itself, but everything after it is bound to it."""
    good = messages()[0]
    for at in range(len(good)):
        initiator, responder = pair()
        initiator.write(b"one")
        responder.read(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(HandshakeFailed):
            initiator.read(responder.write(b"two"))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_cut_and_oversized_messages_are_refused(number: int) -> None:
    """L-29: too short for its keys, or longer than Noise allows."""
    good = messages()[number]
    shortest = (32, 32 + 48 + 16, 48 + 16)[number]
    for size in (0, 1, 31, shortest - 1):
        with pytest.raises(HandshakeFailed):
            reader_of(number).read(good[:size])
    with pytest.raises(HandshakeFailed, match="65536 bytes"):
        reader_of(number).read(good.ljust(MESSAGE_BYTES_MAX + 1, b"\x00"))


def test_messages_of_the_largest_size() -> None:
    """L-29, L-30: 65,535 bytes pass, one more is our own fault when we write it."""
    initiator, responder = pair()
    largest = initiator.write(bytes(MESSAGE_BYTES_MAX - 32))
    assert len(largest) == MESSAGE_BYTES_MAX
    assert len(responder.read(largest)) == MESSAGE_BYTES_MAX - 32
    with pytest.raises(BrokenInvariant, match="65536 bytes"):
        pair()[0].write(bytes(MESSAGE_BYTES_MAX - 31))
    with pytest.raises(BrokenInvariant):
        responder.write(bytes(MESSAGE_BYTES_MAX - 16))
    with pytest.raises(HandshakeFailed, match="failed before"):
        responder.write()


@pytest.mark.parametrize("point", LOW_ORDER_POINTS)
def test_low_order_keys_are_refused(point: bytes) -> None:
    """L-29: a DH result of zeros would be known to everybody."""
    _, responder = pair()
    responder.read(point)
    with pytest.raises(HandshakeFailed, match="low order"):
        responder.write()
    with pytest.raises(HandshakeFailed, match="failed before"):
        responder.write()
    initiator, _ = pair()
    initiator.write()
    with pytest.raises(HandshakeFailed, match="low order"):
        initiator.read(point + bytes(64))


def test_turns_are_kept() -> None:
    """L-29: a peer that speaks out of turn fails the handshake; if we do, it is our bug."""
    initiator, responder = pair()
    with pytest.raises(BrokenInvariant, match="out of turn"):
        responder.write()
    with pytest.raises(HandshakeFailed, match="out of turn"):
        initiator.read(bytes(32))
    initiator, responder = pair()
    run(initiator, responder)
    with pytest.raises(BrokenInvariant, match="out of turn"):
        responder.write()
    with pytest.raises(HandshakeFailed, match="out of turn"):
        initiator.read(bytes(100))
    assert not initiator.finished, "what failed is not finished"


def test_nothing_is_handed_out_early_or_twice() -> None:
    """L-29: hash and ciphers exist at the end; a second split would use one key with two counters."""
    initiator, responder = pair()
    early: list[Callable[[], object]] = [lambda: initiator.handshake_hash, initiator.split]
    for act in early:
        with pytest.raises(BrokenInvariant):
            act()
    run(initiator, responder)
    initiator.split()
    with pytest.raises(BrokenInvariant, match="once"):
        initiator.split()
    with pytest.raises(BrokenInvariant, match="32 bytes"):
        Handshake(True, b"", bytes(31), bytes(32))


def channel() -> tuple[CipherState, CipherState]:
    """Two ends of one direction."""
    return CipherState(b"k" * 32), CipherState(b"k" * 32)


@pytest.mark.parametrize("then", ["the same", "the next"])
@pytest.mark.parametrize("how", ["altered", "cut", "empty", "replayed", "skipped", "other associated", "oversized"])
def test_a_failed_message_ends_the_channel(how: str, then: str) -> None:
    """L-29: any failure is the peer's fault, and afterwards nothing decrypts: not what was good, nor what follows."""
    send, receive = channel()
    first, second, third = (send.encrypt(text, b"a") for text in (b"first", b"second", b"third"))
    assert receive.decrypt(first, b"a") == b"first"
    bad = {
        "altered": bytes([second[0] ^ 1]) + second[1:],
        "cut": second[:-1],
        "empty": b"",
        "replayed": first,
        "skipped": send.encrypt(b"fourth", b"a"),
        "other associated": second,
        "oversized": bytes(MESSAGE_BYTES_MAX + 1),
    }[how]
    with pytest.raises(TransportFailed) as fault:
        receive.decrypt(bad, b"b" if how == "other associated" else b"a")
    assert isinstance(fault.value, PeerFault)
    with pytest.raises(TransportFailed, match="failed before"):
        receive.decrypt(second if then == "the same" else third, b"a")


def test_transport_messages_of_the_largest_size() -> None:
    """L-30: 65,535 bytes with the tag."""
    send, receive = channel()
    largest = send.encrypt(bytes(MESSAGE_BYTES_MAX - TAG_BYTES))
    assert len(largest) == MESSAGE_BYTES_MAX
    assert receive.decrypt(largest) == bytes(MESSAGE_BYTES_MAX - TAG_BYTES)
    with pytest.raises(BrokenInvariant, match="at most 65535"):
        send.encrypt(bytes(MESSAGE_BYTES_MAX - TAG_BYTES + 1))
    assert receive.decrypt(send.encrypt(b"")) == b"", "the refused one used no nonce"


def test_nonces_end_before_the_reserved_one() -> None:
    """L-29: Noise, 5.1: 2**64 - 1 is never used for a message."""
    send, receive = channel()
    send._nonce = receive._nonce = NONCE_MAX
    assert receive.decrypt(send.encrypt(b"last")) == b"last"
    with pytest.raises(BrokenInvariant, match="all its nonces"):
        send.encrypt(b"one more")
    with pytest.raises(BrokenInvariant, match="all its nonces"):
        receive.decrypt(bytes(TAG_BYTES))


def test_rekey_changes_the_key_on_both_sides_and_keeps_counting() -> None:
    """L-29: Noise, 4.2 and 11.3."""
    send, receive = channel()
    assert receive.decrypt(send.encrypt(b"before")) == b"before"
    plain, _ = channel()
    plain.encrypt(b"before")
    send.rekey()
    after = send.encrypt(b"after")
    assert after != plain.encrypt(b"after")
    receive.rekey()
    assert receive.decrypt(after) == b"after"
    old, _ = channel()
    assert old._key != send._key
    with pytest.raises(TransportFailed):
        old.decrypt(after)


def test_a_refused_peer_leaves_no_secret_in_words() -> None:
    """L-29: text forms show progress, not keys."""
    initiator, responder = pair()
    run(initiator, responder)
    words = f"{initiator!r} {responder!r} {initiator.split()!r}"
    assert "XX initiator" in words
    for secret in (*INITIATOR, *RESPONDER):
        assert secret.hex() not in words
        assert repr(secret)[2:20] not in words
