"""Frames (L-30): whatever is sent arrives, whole and in order of its stream; priority; windows; strictness; bounds."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon import limits
from daemon.net.frames import (
    BULK,
    CONSENSUS,
    CREDIT,
    FIRST,
    FRAME_PLAIN_BYTES_MAX,
    GOODBYE,
    HEAD_BYTES,
    LAST,
    PING,
    STREAMS,
    Arrivals,
    Frames,
    Incoming,
    Outgoing,
    framed,
)
from protocol.codec import encode
from protocol.errors import BrokenInvariant, Malformed, PeerFault
from protocol.limits import (
    CHANNEL_CHUNK_CHARGE_BYTES,
    CHANNEL_WINDOW_BYTES,
    CONSENSUS_MESSAGE_BYTES_MAX,
    FRAME_BYTES_MAX,
    KIB,
    MESSAGE_BYTES_MAX,
    MIB,
)
from protocol.wire.channel import Goodbye

BATCHES, SYNC = BULK


def chunk(kind: int, content: bytes, size: int | None = None) -> bytes:
    return bytes([kind]) + (len(content) if size is None else size).to_bytes(2, "big") + content


def all_frames(outgoing: Outgoing) -> list[bytes]:
    frames = []
    while (frame := outgoing.next_frame()) is not None:
        frames.append(frame)
    return frames


def taken(*plaintexts: bytes, incoming: Incoming | None = None) -> Arrivals:
    incoming, arrivals = incoming or Incoming(), Arrivals()
    for plaintext in plaintexts:
        incoming.take(plaintext, arrivals)
    return arrivals


def streams_of(frame: bytes) -> list[int]:
    """The stream of each piece in a frame, in order."""
    found, at = [], 0
    while at < len(frame):
        if frame[at] < CREDIT:
            found.append(frame[at] & 3)
        at += HEAD_BYTES + int.from_bytes(frame[at + 1 : at + 3], "big")
    return found


# -- What is sent arrives ---------------------------------------------------------------------------

messages = st.lists(
    st.tuples(
        st.sampled_from(STREAMS),
        st.one_of(
            st.integers(1, 300), st.integers(1, CONSENSUS_MESSAGE_BYTES_MAX), st.just(CONSENSUS_MESSAGE_BYTES_MAX)
        ),
    ),
    max_size=30,
)


@given(messages, st.randoms(use_true_random=False))
def test_whatever_is_sent_arrives_in_order_of_its_stream(sent: list[tuple[int, int]], random: Random) -> None:
    """Pushes and frames in any interleaving, bytes cut anywhere, credit given back late."""
    outgoing, incoming, frames, arrivals = Outgoing(), Incoming(), Frames(), Arrivals()
    pushed: dict[int, list[bytes]] = {stream: [] for stream in STREAMS}
    wire = bytearray()
    todo = [(stream, random.randbytes(size)) for stream, size in sent]
    while todo:
        if random.random() < 0.6:
            stream, data = todo.pop(0)
            assert outgoing.push(stream, data)
            pushed[stream].append(data)
        elif (frame := outgoing.next_frame()) is not None:
            assert len(frame) <= FRAME_PLAIN_BYTES_MAX
            wire += framed(frame + bytes(16))  # room for a tag
    for frame in all_frames(outgoing):
        wire += framed(frame + bytes(16))
    while wire:
        size = random.randint(1, 40_000)
        for ciphertext in frames.feed(bytes(wire[:size])):
            incoming.take(ciphertext[:-16], arrivals)
        del wire[:size]
    assert frames.pending_bytes == 0
    got = {CONSENSUS: arrivals.consensus} | {
        stream: [data for which, data, _ in arrivals.bulk if which == stream] for stream in BULK
    }
    assert got == pushed


@pytest.mark.parametrize("stream,size", [(CONSENSUS, CONSENSUS_MESSAGE_BYTES_MAX), (SYNC, MESSAGE_BYTES_MAX)])
def test_the_largest_message_passes_and_a_larger_one_is_ours_to_refuse(stream: int, size: int) -> None:
    outgoing = Outgoing()
    assert outgoing.push(stream, bytes(size))
    arrivals = taken(*all_frames(outgoing))
    assert arrivals.consensus == [bytes(size)] if stream == CONSENSUS else arrivals.bulk[0][1] == bytes(size)
    for wrong in (0, size + 1):
        with pytest.raises(BrokenInvariant):
            outgoing.push(stream, bytes(wrong))


def test_small_messages_that_wait_together_share_a_frame() -> None:
    outgoing = Outgoing()
    for number in range(200):
        outgoing.push(CONSENSUS, number.to_bytes(2, "big") * 100)
    frames = all_frames(outgoing)
    assert len(frames) == 1
    assert len(taken(*frames).consensus) == 200


# -- Priority ---------------------------------------------------------------------------------------


def test_a_frame_takes_consensus_then_batches_then_sync() -> None:
    outgoing = Outgoing()
    for stream in (SYNC, BATCHES, CONSENSUS):
        outgoing.push(stream, bytes(100))
    assert streams_of(all_frames(outgoing)[0]) == [CONSENSUS, BATCHES, SYNC]


@given(st.integers(0, 60), st.integers(1, 2_000))
def test_consensus_waits_for_one_bulk_frame_at_most(after: int, size: int) -> None:
    """Whenever a vote comes during a bulk transfer, it is in the very next frame, and before the bulk in it."""
    outgoing = Outgoing()
    outgoing.push(SYNC, bytes(MESSAGE_BYTES_MAX))
    for _ in range(after):
        frame = outgoing.next_frame()
        assert frame is not None
        assert len(frame) <= limits.NET_BULK_FRAME_BYTES
    outgoing.push(CONSENSUS, bytes(size))
    frame = outgoing.next_frame()
    assert frame is not None
    assert streams_of(frame)[0] == CONSENSUS
    assert len(frame) <= max(limits.NET_BULK_FRAME_BYTES, size + HEAD_BYTES)


def test_batches_pass_a_sync_answer_that_is_half_sent() -> None:
    outgoing = Outgoing()
    outgoing.push(SYNC, bytes(MESSAGE_BYTES_MAX))
    outgoing.next_frame()
    outgoing.push(BATCHES, bytes(50 * KIB))
    order = [stream for frame in all_frames(outgoing) for stream in streams_of(frame)]
    assert order.index(SYNC) > 0
    assert SYNC not in order[: order.count(BATCHES)]


# -- Windows ----------------------------------------------------------------------------------------


def test_bulk_stops_at_the_window_and_consensus_goes_on() -> None:
    outgoing, incoming, arrivals = Outgoing(), Incoming(), Arrivals()
    for _ in range(4):
        assert outgoing.push(BATCHES, bytes(MESSAGE_BYTES_MAX))
    for frame in all_frames(outgoing):
        incoming.take(frame, arrivals)
    assert outgoing.lines[BATCHES].credit < 2 * KIB
    outgoing.push(CONSENSUS, b"vote")
    incoming.take(all_frames(outgoing)[0], arrivals)
    assert arrivals.consensus == [b"vote"]
    assert len(arrivals.bulk) == 1


@given(st.lists(st.integers(1, MESSAGE_BYTES_MAX), min_size=1, max_size=24), st.randoms(use_true_random=False))
def test_no_window_locks_up(sizes: list[int], random: Random) -> None:
    """Every message arrives in the end if the receiver deals with what it has, in any portions."""
    outgoing, incoming = Outgoing(), Incoming()
    waiting = [bytes(size) for size in sizes]
    received: list[tuple[int, int]] = []
    arrived = 0
    while arrived < len(sizes):
        while waiting and outgoing.push(SYNC, waiting[0]):
            waiting.pop(0)
        arrivals = taken(*all_frames(outgoing), incoming=incoming)
        arrived += len(arrivals.bulk)
        received += [(stream, charge) for stream, _, charge in arrivals.bulk]
        assert arrived == len(sizes) or received, "nothing is on its way and nothing can be dealt with"
        for _ in range(random.randint(1, max(1, len(received)))):
            if received:
                stream, charge = received.pop(0)
                grant = incoming.dealt_with(stream, charge)
                if grant:
                    outgoing.credited(stream, grant)


def test_more_than_the_window_is_a_fault() -> None:
    incoming = Incoming()
    piece = chunk(BATCHES | FIRST | LAST, bytes(60 * KIB))
    with pytest.raises(PeerFault, match="window"):
        taken(*[piece] * (CHANNEL_WINDOW_BYTES // (60 * KIB) + 1), incoming=incoming)


def test_tiny_messages_use_the_window_by_what_they_cost_to_keep() -> None:
    incoming = Incoming()
    frame = chunk(SYNC | FIRST | LAST, b"x") * 1_000
    full = CHANNEL_WINDOW_BYTES // (1 + CHANNEL_CHUNK_CHARGE_BYTES) // 1_000
    taken(*[frame] * full, incoming=incoming)
    with pytest.raises(PeerFault, match="window"):
        taken(frame, incoming=incoming)


@pytest.mark.parametrize(
    "stream,amount", [(CONSENSUS, 1), (3, 1), (255, 1), (BATCHES, 0), (BATCHES, 101 + 64), (SYNC, 1)]
)
def test_credit_for_what_was_not_sent_is_a_fault(stream: int, amount: int) -> None:
    outgoing = Outgoing()
    outgoing.push(BATCHES, bytes(100))
    all_frames(outgoing)
    with pytest.raises(PeerFault, match="credit"):
        outgoing.credited(stream, amount)
    outgoing.credited(BATCHES, 100 + CHANNEL_CHUNK_CHARGE_BYTES)


# -- Strict -----------------------------------------------------------------------------------------

WRONG = {
    "empty frame": b"",
    "cut head": b"\x0c\x00",
    "cut content": chunk(FIRST | LAST, b"abc", 4),
    "empty piece": chunk(FIRST | LAST, b""),
    "stream 3": chunk(3 | FIRST | LAST, b"x"),
    "no beginning": chunk(LAST, b"x"),
    "beginning inside": chunk(FIRST, b"x") + chunk(FIRST | LAST, b"y"),
    "unknown kind": chunk(0x13, b""),
    "high bits": chunk(0x80 | FIRST | LAST, b"x"),
    "ping with content": chunk(PING, b"x"),
    "credit of 4 bytes": chunk(CREDIT, bytes(4)),
    "credit of 6 bytes": chunk(CREDIT, bytes(6)),
    "behind goodbye": chunk(GOODBYE, encode(Goodbye("stopping", ""))) + chunk(PING, b""),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_frame_that_is_wrong_is_a_fault(name: str) -> None:
    with pytest.raises(PeerFault):
        taken(WRONG[name])


def test_a_goodbye_that_is_no_record_is_refused() -> None:
    with pytest.raises(Malformed):
        taken(chunk(GOODBYE, b"\x93\x01\x02\x03"))


@pytest.mark.parametrize("stream,size", [(CONSENSUS, CONSENSUS_MESSAGE_BYTES_MAX), (SYNC, MESSAGE_BYTES_MAX)])
def test_a_message_that_grows_too_large_is_refused_as_it_grows(stream: int, size: int) -> None:
    piece = 32 * KIB
    frames = [chunk(stream | (FIRST if not at else 0), bytes(piece)) for at in range(0, size, piece)]
    incoming = Incoming()
    taken(*frames, incoming=incoming)
    with pytest.raises(PeerFault, match="of more than"):
        taken(chunk(stream, b"x"), incoming=incoming)


def test_a_message_of_consensus_in_crumbs_is_refused() -> None:
    frames = chunk(CONSENSUS | FIRST, b"x") + chunk(CONSENSUS, b"x") * 64
    with pytest.raises(PeerFault, match="pieces"):
        taken(frames)


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_plaintext_is_taken_or_refused(plaintexts: list[bytes]) -> None:
    incoming, arrivals = Incoming(), Arrivals()
    try:
        for plaintext in plaintexts:
            incoming.take(plaintext, arrivals)
    except (PeerFault, Malformed):
        return
    taken_bytes = sum(map(len, arrivals.consensus)) + sum(len(data) for _, data, _ in arrivals.bulk)
    assert taken_bytes <= sum(map(len, plaintexts))


@pytest.mark.parametrize("size", range(17))
def test_a_frame_too_short_for_a_tag_and_content_is_a_fault(size: int) -> None:
    with pytest.raises(PeerFault):
        Frames().feed(framed(bytes(size)))
    assert Frames().feed(framed(bytes(17))) == [bytes(17)]


# -- Bounds -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", STREAMS)
def test_lines_are_bounded_in_count_and_bytes(stream: int) -> None:
    count_max, bytes_max = (
        (limits.NET_OUT_BULK_MAX, limits.NET_OUT_BULK_BYTES)
        if stream
        else (limits.NET_OUT_CONSENSUS_MAX, limits.NET_OUT_CONSENSUS_BYTES)
    )
    by_count, by_bytes = Outgoing(), Outgoing()
    assert sum(by_count.push(stream, b"x") for _ in range(count_max + 5)) == count_max
    assert by_count.lines[stream].refused == 5
    size = CONSENSUS_MESSAGE_BYTES_MAX
    assert sum(by_bytes.push(stream, bytes(size)) for _ in range(bytes_max // size + 3)) == bytes_max // size
    assert by_bytes.lines[stream].waiting_bytes == bytes_max
    for outgoing in (by_count, by_bytes):
        incoming = Incoming()
        while frames := all_frames(outgoing):
            for which, _, charge in taken(*frames, incoming=incoming).bulk:
                if grant := incoming.dealt_with(which, charge):
                    outgoing.credited(which, grant)
        assert outgoing.lines[stream].waiting_bytes == 0


def test_dropping_bulk_keeps_what_is_partly_sent_and_consensus() -> None:
    outgoing = Outgoing()
    for _ in range(3):
        outgoing.push(SYNC, bytes(MIB))
        outgoing.push(BATCHES, bytes(100))
    outgoing.push(CONSENSUS, b"vote")
    first = outgoing.next_frame()
    assert first is not None
    outgoing.drop_bulk()
    arrivals = taken(first, *all_frames(outgoing))
    assert arrivals.consensus == [b"vote"]
    assert [len(data) for stream, data, _ in arrivals.bulk if stream == SYNC] == [MIB]
    assert outgoing.lines[SYNC].waiting_bytes == outgoing.lines[BATCHES].waiting_bytes == 0


def test_a_ping_is_said_only_if_nothing_else_is() -> None:
    outgoing = Outgoing()
    outgoing.ping()
    outgoing.push(CONSENSUS, b"vote")
    assert len(all_frames(outgoing)) == 1
    outgoing.ping()
    assert all_frames(outgoing) == [chunk(PING, b"")]


def test_a_goodbye_is_said_once_and_last() -> None:
    outgoing = Outgoing()
    outgoing.goodbye("stopping", "w" * 1000)
    outgoing.goodbye("peer_fault", "second")
    frame = outgoing.last_frame()
    assert frame is not None
    goodbye = taken(frame).goodbye
    assert goodbye is not None
    assert (goodbye.code, len(goodbye.words)) == ("stopping", 256)
    assert outgoing.last_frame() is None


def test_no_frame_passes_the_noise_message() -> None:
    outgoing = Outgoing()
    for _ in range(300):
        outgoing.push(CONSENSUS, bytes(999))
    outgoing.grant(BATCHES, 5)
    outgoing.grant(SYNC, 5)
    frames = all_frames(outgoing)
    assert max(map(len, frames)) + 16 <= FRAME_BYTES_MAX
    assert min(map(len, frames[:-1])) > FRAME_PLAIN_BYTES_MAX - 1_100, "frames are filled"
