"""Opening on a stream: in time, with last words, and cancelled anywhere without anything left behind."""

from __future__ import annotations

import math

import pytest
import trio
import trio.testing

from daemon import limits
from daemon.net.opening import Opening, OpeningFailed
from daemon.net.preamble import Preamble
from daemon.net.session import open_channel
from protocol import errors
from protocol.wire.channel import Side
from tests.net.kit import HIGH, LOW, CancelAt, identity, opening


def both() -> tuple[Opening, Opening]:
    return opening(identity(LOW), Side.INITIATOR), opening(identity(HIGH), Side.RESPONDER)


async def test_two_ends_open_a_channel(nursery: trio.Nursery) -> None:
    left, right = both()
    near, far = trio.testing.lockstep_stream_pair()
    nursery.start_soon(open_channel, far, right)
    channel = await open_channel(near, left)
    assert channel.remote.node_key == HIGH.public
    await trio.testing.wait_all_tasks_blocked()
    assert right.channel is not None


@pytest.mark.parametrize("said", [0, 1, 30])
async def test_who_says_too_little_is_given_up_in_time(said: int, autojump_clock: trio.testing.MockClock) -> None:
    left, right = both()
    near, far = trio.testing.memory_stream_pair()
    await far.send_all(left.take()[:said])
    with pytest.raises(OpeningFailed, match="no preamble came within 10 s") as failed:
        await open_channel(near, right)
    assert failed.value.code == errors.HANDSHAKE_TIMEOUT
    assert trio.current_time() == pytest.approx(limits.NET_HANDSHAKE_SECONDS)


async def test_a_trickle_does_not_stretch_the_time(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    left, right = both()
    near, far = trio.testing.memory_stream_pair()

    async def trickle() -> None:
        for octet in left.take():
            await far.send_all(bytes([octet]))
            await trio.sleep(1)

    nursery.start_soon(trickle)
    with pytest.raises(OpeningFailed) as failed:
        await open_channel(near, right)
    assert failed.value.code == errors.HANDSHAKE_TIMEOUT
    assert trio.current_time() == pytest.approx(limits.NET_HANDSHAKE_SECONDS)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("forcefully", [True, False])
async def test_an_end_in_the_middle_is_said_in_words(nursery: trio.Nursery, forcefully: bool) -> None:
    left, right = both()
    near, far = trio.testing.memory_stream_pair()
    await far.send_all(left.take())
    if forcefully:
        await far.aclose()
    else:
        await far.send_eof()
    with pytest.raises(OpeningFailed, match="answer was due"):
        await open_channel(near, right)


async def test_last_words_arrive_though_the_other_side_said_more(nursery: trio.Nursery) -> None:
    """On real sockets: closing on unread bytes would send a reset, and take the words back."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    far = await trio.open_tcp_stream(*listener.socket.getsockname()[:2])
    await far.send_all(Preamble(1, 1, bytes(32)).encode() + bytes(10_000))
    await far.send_eof()
    _, right = both()
    async with listener, await listener.accept() as near, far:
        with pytest.raises(OpeningFailed) as failed:
            await open_channel(near, right)
        await trio.aclose_forcefully(near)
        said = b""
        while data := await far.receive_some():
            said += data
    assert failed.value.code == errors.OTHER_NETWORK
    assert b"networks differ" in said


async def test_the_pause_is_asked_once_and_only_behind_a_good_preamble(autojump_clock: trio.testing.MockClock) -> None:
    left, right = both()
    near, far = trio.testing.memory_stream_pair()
    asked = []

    def pause() -> float:
        asked.append(right.awaits)
        return 3.0

    async with trio.open_nursery() as nursery:
        nursery.start_soon(open_channel, near, left)
        channel = await open_channel(far, right, pause=pause)
    assert channel.remote.node_key == LOW.public
    assert len(asked) == 1
    assert trio.current_time() == pytest.approx(3.0)
    near, far = trio.testing.memory_stream_pair()
    _, right = both()
    await near.send_all(b"GET / HTTP/1.1\r\n")
    await near.send_eof()
    with pytest.raises(OpeningFailed):
        await open_channel(far, right, pause=pause)
    assert len(asked) == 1


def cancelled_at(step: float) -> tuple[int, bool]:
    scope = trio.CancelScope()
    instrument = CancelAt(step, scope)

    async def main() -> None:
        left, right = both()
        near, far = trio.testing.lockstep_stream_pair()
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(open_channel, near, left)
                nursery.start_soon(open_channel, far, right)
        if not scope.cancelled_caught:
            assert left.channel is not None
            assert right.channel is not None

    trio.run(main, instruments=[instrument])
    return instrument.steps, scope.cancelled_caught


def test_cancellation_at_every_checkpoint_raises_nothing_else() -> None:
    """A cancelled opening is cancelled: it is not taken for a fault of the other side, nor for time running out."""
    steps, cut = cancelled_at(math.inf)
    assert not cut
    assert sum(cancelled_at(step)[1] for step in range(steps)) > steps // 3
