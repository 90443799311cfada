"""One channel under Trio (L-30, L-31): order, pressure, silence, faults, ends; and cancellation at every checkpoint."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from random import Random

import pytest
import trio
import trio.testing

from daemon import limits
from daemon.net.connection import Connection, Ending
from daemon.net.frames import CREDIT, HEAD_BYTES, Arrivals, Frames, Incoming, framed
from protocol import errors
from protocol.crypto.noise import CipherState
from protocol.limits import CHANNEL_WINDOW_BYTES, KIB, MESSAGE_BYTES_MAX, MIB
from protocol.node.interface import Priority
from protocol.wire.channel import Side
from tests.net.kit import Bench, CancelAt, Recorder, bench, channel_pair

CONSENSUS, BATCHES, SYNC = Priority
wait = trio.testing.wait_all_tasks_blocked


async def run_both(nursery: trio.Nursery, both: Bench) -> None:
    nursery.start_soon(both.left.run)
    nursery.start_soon(both.right.run)
    await wait()


class Tap:
    """Reads what a connection writes, as its peer would: the frames' plaintexts, in order."""

    def __init__(self, stream: trio.abc.ReceiveStream, receiving: CipherState) -> None:
        self._frames = Frames()
        self._stream = stream
        self._receiving = receiving
        self._whole: list[bytes] = []

    async def frame(self) -> bytes:
        while not self._whole:
            for ciphertext in self._frames.feed(bytes(await self._stream.receive_some(200_000))):
                self._whole.append(self._receiving.decrypt(ciphertext))
        return self._whole.pop(0)


# -- Messages ---------------------------------------------------------------------------------------


async def test_messages_arrive_on_their_streams_in_order(nursery: trio.Nursery) -> None:
    both = bench()
    await run_both(nursery, both)
    random = Random(3)
    sent = [
        (priority, random.randbytes(random.choice([1, 200, 60_000])))
        for priority in random.choices(list(Priority), k=60)
    ]
    for priority, data in sent:
        assert both.left.send(priority, data)
        assert both.right.send(priority, data[::-1])
    await wait()
    for priority in Priority:
        expected = [data for stream, data in sent if stream is priority]
        assert both.at_right.of(priority) == expected
        assert both.at_left.of(priority) == [data[::-1] for data in expected]
    assert both.left.traffic.messages_out == both.right.traffic.messages_in
    assert both.left.traffic.bytes_out == both.right.traffic.bytes_in > 0


async def test_what_was_sent_before_it_ran_is_not_lost(nursery: trio.Nursery) -> None:
    both = bench()
    assert both.left.send(CONSENSUS, b"early")
    await run_both(nursery, both)
    assert both.at_right.of(CONSENSUS) == [b"early"]


async def test_frames_behind_the_verdict_are_taken(nursery: trio.Nursery) -> None:
    """The other side may speak as soon as it has accepted: its first frame may come with its verdict."""
    one, two = channel_pair()
    first = framed(one.sending.encrypt(bytes([0x0C, 0, 2]) + b"hi"))
    streams, recorder = trio.testing.memory_stream_pair(), Recorder()
    channel = type(two)(two.remote, two.role, two.version, two.sending, two.receiving, rest=first)
    nursery.start_soon(Connection(streams[0], channel, recorder).run)
    await wait()
    assert recorder.of(CONSENSUS) == [b"hi"]


async def test_a_vote_passes_a_bulk_transfer_by_order_of_frames(nursery: trio.Nursery) -> None:
    """L-30: not by time: in the frames as written, the vote stands in the next one."""
    one, two = channel_pair()
    near, far = trio.testing.lockstep_stream_pair()
    connection = Connection(near, one, Recorder())
    tap = Tap(far, two.receiving)
    connection.send(SYNC, bytes(MIB))
    nursery.start_soon(connection.run)
    await tap.frame()
    await wait()
    # The next frame is written already, and waits to be taken: what comes now goes into the one behind it.
    connection.send(CONSENSUS, b"vote")
    connection.send(BATCHES, b"batch")
    seen = [await tap.frame(), await tap.frame()]
    assert b"vote" not in seen[0]
    assert seen[1].startswith(bytes([0x0C, 0, 4]) + b"vote" + bytes([0x0D, 0, 5]) + b"batch" + bytes([SYNC]))


# -- Pressure ---------------------------------------------------------------------------------------


async def test_a_receiver_without_room_for_bulk_still_gets_votes(nursery: trio.Nursery) -> None:
    """L-30: bulk that nobody takes stands at the sender, and votes do not stand behind it."""
    both = bench()
    await run_both(nursery, both)
    both.at_right.shut(BATCHES, SYNC)
    while both.left.send(SYNC, bytes(MESSAGE_BYTES_MAX)):
        await wait()
    while both.left.send(BATCHES, bytes(MESSAGE_BYTES_MAX)):
        await wait()
    for number in range(1_000):
        assert both.left.send(CONSENSUS, number.to_bytes(2, "big"))
    await wait()
    assert len(both.at_right.of(CONSENSUS)) == 1_000
    assert held_bytes(both.right) <= 2 * CHANNEL_WINDOW_BYTES
    both.at_right.open()
    await wait()
    assert both.left.waiting_bytes == [0, 0, 0]
    assert both.left.traffic.messages_out == both.right.traffic.messages_in
    assert both.left.traffic.messages_left_out == [0, 1, 1]


async def test_one_bulk_stream_does_not_stand_behind_the_other(nursery: trio.Nursery) -> None:
    both = bench()
    await run_both(nursery, both)
    both.at_right.shut(SYNC)
    for _ in range(4):
        both.left.send(SYNC, bytes(MESSAGE_BYTES_MAX))
    for _ in range(4):
        both.left.send(BATCHES, bytes(MESSAGE_BYTES_MAX))
    await wait()
    assert len(both.at_right.of(BATCHES)) == 4
    assert both.at_right.of(SYNC) == []


def held_bytes(connection: Connection) -> int:
    waiting = sum(len(data) for dealing in connection._dealing.values() for data, _ in dealing.waiting)
    under_way = sum(assembly.size for assembly in connection._incoming._assemblies)
    return waiting + under_way


async def test_a_receiver_without_room_for_votes_stops_reading(nursery: trio.Nursery) -> None:
    """Then TCP tells the peer; here nothing piles up."""
    one, two = channel_pair()
    streams = trio.testing.memory_stream_pair()
    recorder = Recorder()
    recorder.shut(CONSENSUS)
    connection = Connection(streams[0], one, recorder)
    nursery.start_soon(connection.run)
    await streams[1].send_all(framed(two.sending.encrypt(bytes([0x0C, 0, 4]) + b"vote")))
    await wait()
    for _ in range(10):
        await streams[1].send_all(framed(two.sending.encrypt(bytes([0x0C, 0xEA, 0x60]) + bytes(60_000))))
    await wait()
    assert connection.traffic.frames_in == 1
    recorder.open()
    await wait()
    assert connection.traffic.frames_in == 11


async def test_a_peer_that_takes_nothing_loses_bulk_first_and_the_channel_last(nursery: trio.Nursery) -> None:
    """L-30: a slow peer loses bulk first and is disconnected last."""
    one, _ = channel_pair()
    near, _far = trio.testing.lockstep_stream_pair()
    connection = Connection(near, one, Recorder())
    nursery.start_soon(connection.run)
    await wait()
    while connection.send(SYNC, bytes(MESSAGE_BYTES_MAX)):
        pass
    assert connection.traffic.messages_left_out == [0, 0, 1]
    assert code_of(connection) is None
    while connection.send(BATCHES, bytes(MESSAGE_BYTES_MAX)):
        pass
    assert connection.traffic.messages_left_out == [0, 1, 1]
    assert code_of(connection) is None
    votes = 0
    while connection.send(CONSENSUS, bytes(200)):
        votes += 1
    assert votes == limits.NET_OUT_CONSENSUS_MAX
    assert code_of(connection) == errors.SLOW_PEER
    assert not connection.send(CONSENSUS, b"more")


def code_of(connection: Connection) -> str | None:
    return None if connection.ending is None else connection.ending.code


async def test_a_flooding_peer_is_held_in_bounded_memory(nursery: trio.Nursery) -> None:
    """L-31: it sends more than its windows and keeps on: the channel ends, and nothing has piled up."""
    one, two = channel_pair()
    streams = trio.testing.memory_stream_pair()
    recorder = Recorder()
    recorder.shut(BATCHES)
    connection = Connection(streams[0], one, recorder)
    nursery.start_soon(connection.run)
    most = 0
    for _ in range(2 * CHANNEL_WINDOW_BYTES // 60_000):
        await streams[1].send_all(framed(two.sending.encrypt(bytes([0x0D, 0xEA, 0x60]) + bytes(60_000))))
        await wait()
        most = max(most, held_bytes(connection))
    assert connection.ending == Ending(errors.PEER_FAULT, "more on stream 1 than its window allows")
    assert most <= CHANNEL_WINDOW_BYTES


async def test_more_than_the_budget_is_read_more_slowly(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """L-31: a budget of bytes; TCP tells the peer, it is not disconnected."""
    both = bench(receive_bytes_per_second=1 * MIB)
    nursery.start_soon(both.left.run)
    nursery.start_soon(both.right.run)
    began = trio.current_time()
    total = limits.NET_RECEIVE_BURST_BYTES + 40 * MIB
    sent = 0
    while sent < total:
        if both.left.send(SYNC, bytes(MESSAGE_BYTES_MAX)):
            sent += MESSAGE_BYTES_MAX
        else:
            await trio.sleep(0.5)
    await both.at_right.until(lambda: sum(map(len, both.at_right.of(SYNC))) == total)
    assert 38 <= trio.current_time() - began <= 60
    assert both.left.ending is None
    assert both.right.ending is None


# -- Time -------------------------------------------------------------------------------------------


async def test_an_idle_channel_lives_on_keepalives(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    both = bench()
    nursery.start_soon(both.left.run)
    nursery.start_soon(both.right.run)
    await trio.sleep(3_600)
    assert both.left.ending is both.right.ending is None
    pings = both.left.traffic.frames_out
    assert 3_600 / (limits.NET_KEEPALIVE_SECONDS + 2) <= pings <= 3_600 / limits.NET_KEEPALIVE_SECONDS
    assert both.at_right.messages == []


async def test_a_silent_peer_is_given_up(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    """L-14, L-31: bytes that never become a frame are silence too."""
    one, two = channel_pair()
    streams = trio.testing.memory_stream_pair()
    connection = Connection(streams[0], one, Recorder())
    nursery.start_soon(connection.run)
    frame = framed(two.sending.encrypt(bytes([0x0C, 0, 200]) + bytes(200)))
    for position in range(len(frame) - 1):
        await streams[1].send_all(frame[position : position + 1])
        await trio.sleep(0.25)
        if connection.ending is not None:
            break
    assert connection.ending is not None
    assert connection.ending.code == errors.SILENT_PEER
    assert trio.current_time() < 2 * limits.NET_SILENCE_SECONDS


async def test_our_own_business_is_not_the_peers_silence(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    both = bench()
    nursery.start_soon(both.left.run)
    nursery.start_soon(both.right.run)
    both.at_right.shut(CONSENSUS)
    both.left.send(CONSENSUS, b"vote")
    await trio.sleep(10 * limits.NET_SILENCE_SECONDS)
    assert both.right.ending is None
    both.at_right.open()
    await trio.sleep(10 * limits.NET_SILENCE_SECONDS)
    assert both.right.ending is both.left.ending is None


async def test_a_peer_that_does_not_take_one_frame_is_given_up(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    one, two = channel_pair()
    near, far = trio.testing.lockstep_stream_pair()
    connection = Connection(near, one, Recorder())

    async def talk_and_never_listen() -> None:
        while connection.ending is None:
            with contextlib.suppress(trio.BrokenResourceError):
                await far.send_all(framed(two.sending.encrypt(bytes([0x11, 0, 0]))))
            await trio.sleep(1)

    connection.send(CONSENSUS, b"vote")
    nursery.start_soon(talk_and_never_listen)
    ending = await connection.run()
    assert ending.code == errors.SLOW_PEER
    assert limits.NET_STALL_SECONDS < trio.current_time() <= limits.NET_STALL_SECONDS + 2


# -- Faults -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [0, 1, 2, 30, -1])
async def test_a_flipped_bit_ends_the_channel_in_words(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, position: int
) -> None:
    one, two = channel_pair()
    streams = trio.testing.memory_stream_pair()
    recorder, left = Recorder(), Connection(streams[0], one, Recorder())
    right = Connection(streams[1], two, recorder)
    passed = streams[0].send_stream

    async def flipped(data: bytes) -> None:
        changed = bytearray(data)
        changed[position] ^= 1
        await original(bytes(changed))

    original, passed.send_all = passed.send_all, flipped  # type: ignore[method-assign, assignment]
    left.send(CONSENSUS, b"a vote of some length, so that a length changed by a bit is never whole" * 5)
    nursery.start_soon(left.run)
    ending = await right.run()
    assert recorder.messages == []
    if position == 0:  # the length: 256 bytes more or less
        assert ending.code in (errors.SILENT_PEER, errors.PEER_FAULT)
    elif position == 1 and ending.code == errors.SILENT_PEER:
        assert "nothing was heard" in ending.words
    else:
        words = "a frame does not decrypt: it was altered, repeated or left out on the way"
        assert ending == Ending(errors.PEER_FAULT, words)
        await wait()
        assert left.ending == Ending(errors.PEER_FAULT, words, by_peer=True)


@pytest.mark.parametrize("replayed", [True, False])
async def test_a_frame_repeated_or_left_out_ends_the_channel(nursery: trio.Nursery, replayed: bool) -> None:
    one, two = channel_pair()
    streams = trio.testing.memory_stream_pair()
    recorder = Recorder()
    connection = Connection(streams[1], two, recorder)
    nursery.start_soon(connection.run)
    frames = [framed(one.sending.encrypt(bytes([0x0C, 0, 1]) + bytes([number]))) for number in range(3)]
    await streams[0].send_all(frames[0] + (frames[0] if replayed else frames[2]))
    await wait()
    assert recorder.messages == []
    assert connection.ending is not None
    assert connection.ending.code == errors.PEER_FAULT


async def test_what_came_before_a_fault_in_the_same_read_is_not_believed_more_than_the_fault(
    nursery: trio.Nursery,
) -> None:
    """A read with a bad frame is passed over whole: the peer is at fault, and what it says is worth nothing."""
    one, two = channel_pair()
    streams = trio.testing.memory_stream_pair()
    recorder = Recorder()
    nursery.start_soon(Connection(streams[1], two, recorder).run)
    good = framed(one.sending.encrypt(bytes([0x0C, 0, 1]) + b"x"))
    bad = framed(one.sending.encrypt(bytes([0x13, 0, 0])))
    await streams[0].send_all(good + bad)
    await wait()
    assert recorder.messages == []


async def test_random_frames_under_good_ciphers_never_do_more_than_end_the_channel() -> None:
    """A peer that holds a good key and sends anything."""
    random = Random(5)
    for _ in range(150):
        one, two = channel_pair()
        streams = trio.testing.memory_stream_pair()
        connection = Connection(streams[1], two, Recorder())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.run)
            for _ in range(5):
                kind = random.choice([0x0C, 0x0D, 0x0E, 0x04, 0x05, 0x08, 0x10, 0x11, 0x12, 0x13])
                content = random.randbytes(random.choice([0, 5, 5, 40]))
                await streams[0].send_all(framed(one.sending.encrypt(bytes([kind, 0, len(content)]) + content)))
            await wait()
            assert connection.ending is None or connection.ending.code in errors.CODES
            nursery.cancel_scope.cancel()


# -- Ends -------------------------------------------------------------------------------------------


async def test_closing_lets_votes_out_and_says_why(nursery: trio.Nursery) -> None:
    both = bench()
    await run_both(nursery, both)
    for number in range(500):
        both.left.send(CONSENSUS, number.to_bytes(2, "big"))
    both.left.send(SYNC, bytes(100))
    both.left.close(errors.STOPPING, "this node is shutting down")
    assert not both.left.send(CONSENSUS, b"late")
    await wait()
    assert both.left.ending == Ending(errors.STOPPING, "this node is shutting down")
    assert both.right.ending == Ending(errors.STOPPING, "this node is shutting down", by_peer=True)
    assert len(both.at_right.of(CONSENSUS)) == 500
    assert both.at_right.of(SYNC) == []


async def test_both_may_close_at_once(nursery: trio.Nursery) -> None:
    both = bench()
    await run_both(nursery, both)
    both.left.close(errors.STOPPING, "left")
    both.right.close(errors.STOPPING, "right")
    await wait()
    assert both.left.ending == Ending(errors.STOPPING, "left")
    assert both.right.ending == Ending(errors.STOPPING, "right")
    assert nursery.child_tasks == frozenset()


async def test_closing_a_channel_whose_peer_takes_nothing_ends_in_time(autojump_clock: trio.testing.MockClock) -> None:
    one, _ = channel_pair()
    near, _far = trio.testing.lockstep_stream_pair()
    connection = Connection(near, one, Recorder())
    connection.send(CONSENSUS, b"vote")
    connection.close(errors.STOPPING, "end")
    await connection.run()
    assert trio.current_time() == pytest.approx(limits.NET_GOODBYE_SECONDS)


async def test_a_lost_connection_is_called_so(nursery: trio.Nursery) -> None:
    both = bench()
    nursery.start_soon(both.left.run)
    await wait()
    await trio.aclose_forcefully(both.streams[1])
    await wait()
    assert both.left.ending is not None
    assert both.left.ending.code == errors.CONNECTION_LOST


async def test_words_of_a_goodbye_are_made_printable_and_codes_known(nursery: trio.Nursery) -> None:
    both = bench()
    both.right._outgoing.goodbye("a_code_of_the_future", "two\nlines")
    both.right._closing = True
    await run_both(nursery, both)
    assert both.left.ending == Ending(errors.PEER_FAULT, "two?lines", by_peer=True)


async def test_a_receiver_that_fails_fails_the_node() -> None:
    """Our own bug is not the peer's fault: it is not swallowed (rule 6)."""

    class Broken(Recorder):
        async def message(self, peer: bytes, priority: Priority, data: bytes) -> None:
            raise ZeroDivisionError

    both = bench()
    both.right._receiver = Broken()
    both.left.send(CONSENSUS, b"vote")
    with pytest.RaisesGroup(pytest.RaisesExc(ZeroDivisionError), flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(both.left.run)
            nursery.start_soon(both.right.run)


# -- Cancellation -----------------------------------------------------------------------------------


async def a_whole_life(task_done: Callable[[Bench], None]) -> None:
    """Messages of all streams, pressure, credit, keepalives, and an orderly end."""
    both = bench()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(both.left.run)
            nursery.start_soon(both.right.run)
            both.at_right.shut(BATCHES)
            both.left.send(BATCHES, bytes(CHANNEL_WINDOW_BYTES // 4))
            both.right.send(CONSENSUS, bytes(300))
            both.left.send(SYNC, bytes(70 * KIB))
            await trio.sleep(1)
            both.at_right.open()
            await trio.sleep(2 * limits.NET_KEEPALIVE_SECONDS)
            both.left.close(errors.STOPPING, "end")
    finally:
        task_done(both)


def life_cancelled_at(step: float) -> tuple[int, bool]:
    """Runs it, cancelled before that step of any task, and looks at what is left; steps taken, whether it was cut."""
    benches: list[Bench] = []
    scope = trio.CancelScope()
    instrument = CancelAt(step, scope)

    async def main() -> None:
        with scope:
            await a_whole_life(benches.append)
        [both] = benches
        for end, stream in ((both.left, both.streams[0]), (both.right, both.streams[1])):
            assert end.ending is not None
            assert not end.send(CONSENSUS, b"late")
            with pytest.raises(trio.ClosedResourceError):
                await stream.send_all(b"late")

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0), instruments=[instrument])
    return instrument.steps, scope.cancelled_caught


def test_cancellation_at_every_checkpoint_leaves_nothing_behind() -> None:
    """Whatever task was about to run: all tasks end (Trio sees to it or hangs), both streams are closed, both ends say
    how they ended, and nothing is raised but the cancellation."""
    steps, cut = life_cancelled_at(math.inf)
    assert not cut
    assert steps > 100
    assert sum(life_cancelled_at(step)[1] for step in range(steps)) > steps // 2


def test_the_sides_are_two() -> None:
    """The frame table above writes kinds as numbers: FIRST and LAST on each stream, credit, ping."""
    assert [0x0C | stream for stream in Priority] == [0x0C, 0x0D, 0x0E]
    assert (CREDIT, HEAD_BYTES, Side(1 - Side.INITIATOR)) == (0x10, 3, Side.RESPONDER)
    arrivals = Arrivals()
    Incoming().take(bytes([0x0C, 0, 4]) + b"vote", arrivals)
    assert arrivals.consensus == [b"vote"]
