"""The fault proxy: each condition does what it says, no more, and is counted (testing.md, "Real processes")."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from random import Random

import pytest
import trio
import trio.testing

from daemon.lab.proxy import CLEAR, HELD_BYTES, Condition, Direction, Proxy, carry

Stream = trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]


class Line:
    """One direction between two memory streams. `near` is written to, `far` read from."""

    def __init__(self, condition: Condition, seed: int = 1) -> None:
        self.direction = Direction(Random(seed))
        self.direction.become(condition)
        self.near, self.source = trio.testing.memory_stream_pair()
        self.sink, self.far = trio.testing.memory_stream_pair()

    async def run(self) -> None:
        await carry(self.source, self.sink, self.direction)

    async def arrived(self, data: bytes) -> float:
        """Send something; how many seconds until all of it is there."""
        began = trio.current_time()
        await self.near.send_all(data)
        got = b""
        while len(got) < len(data):
            got += await self.far.receive_some()
        assert got == data
        return trio.current_time() - began


@asynccontextmanager
async def line(condition: Condition, seed: int = 1) -> AsyncIterator[Line]:
    here = Line(condition, seed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        yield here
        nursery.cancel_scope.cancel()


async def test_a_clear_line_passes_all_and_its_end(autojump_clock: trio.testing.MockClock) -> None:
    here = Line(CLEAR)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        assert await here.arrived(b"some words") == 0
        await here.near.send_eof()
        assert await here.far.receive_some() == b""
    assert (here.direction.counted.bytes_passed, here.direction.counted.delayed) == (10, 0)


async def test_a_fixed_delay_is_of_the_way_and_not_of_the_bytes(autojump_clock: trio.testing.MockClock) -> None:
    """Chunks follow one another through it: what is sent in a row arrives in a row."""
    async with line(Condition(delay_seconds=0.5)) as here:
        assert await here.arrived(b"one") == pytest.approx(0.5)
        began = trio.current_time()
        for _ in range(3):
            await here.near.send_all(b"x" * 1000)
            await trio.testing.wait_all_tasks_blocked()
        assert len(await here.far.receive_some(3000)) == 1000
        assert trio.current_time() - began == pytest.approx(0.5)


async def test_a_long_tail_is_often_short_seldom_long_and_never_endless() -> None:
    direction = Direction(Random(3))
    direction.become(Condition(delay_seconds=0.01, tail_seconds=0.1))
    drawn = sorted(direction.wait_seconds() for _ in range(4000))
    assert drawn[0] >= 0.01
    assert drawn[len(drawn) // 2] < 0.06, "half of them wait less than half the mean"
    assert 1 < drawn[-1] <= 0.01 + 40 * 0.1
    assert 0.06 < sum(drawn) / len(drawn) < 0.14


async def test_a_shorter_delay_overtakes_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with line(Condition(delay_seconds=2.0)) as here:
        await here.near.send_all(b"first ")
        await trio.testing.wait_all_tasks_blocked()
        here.direction.become(CLEAR)
        await here.near.send_all(b"second")
        got = b""
        while len(got) < 12:
            got += await here.far.receive_some()
        assert got == b"first second"


async def test_loss_is_a_stall(autojump_clock: trio.testing.MockClock) -> None:
    async with line(Condition(stall_chance=1.0, stall_seconds=0.3)) as here:
        assert await here.arrived(b"lost, and sent again") == pytest.approx(0.3)
        assert here.direction.counted.stalled == 1


async def test_throttling(autojump_clock: trio.testing.MockClock) -> None:
    async with line(Condition(bytes_per_second=1000)) as here:
        assert await here.arrived(bytes(5000)) == pytest.approx(5.0)


async def test_blocked_holds_and_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    """A one-way cut: the other direction knows nothing of it."""
    async with line(Condition(blocked=True)) as here:
        await here.near.send_all(b"waits")
        with trio.move_on_after(1000) as scope:
            await here.far.receive_some()
        assert scope.cancelled_caught
        here.direction.become(CLEAR)
        assert await here.far.receive_some() == b"waits"


async def test_what_waits_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    """Past the bound nothing more is read, and the sender is told by its own stream."""
    async with line(Condition(blocked=True)) as here:
        for _ in range(3):
            await here.near.send_all(bytes(HELD_BYTES))
        await trio.testing.wait_all_tasks_blocked()
        taken = 3 * HELD_BYTES - await left(here.source)
        assert HELD_BYTES <= taken <= HELD_BYTES + 16_384


async def left(stream: Stream) -> int:
    """Bytes that were sent and not read."""
    size = 0
    with trio.move_on_after(0.1):
        while data := await stream.receive_some():
            size += len(data)
    return size


async def test_one_bit_of_a_chunk_is_turned_over(autojump_clock: trio.testing.MockClock) -> None:
    async with line(Condition(corrupt_chance=1.0)) as here:
        await here.near.send_all(bytes(100))
        got = await here.far.receive_some()
        assert sum(octet.bit_count() for octet in got) == 1
        assert (len(got), here.direction.counted.corrupted) == (100, 1)


def test_chance_is_the_seeds() -> None:
    """The same seed, the same faults; each direction draws its own."""
    condition = Condition(tail_seconds=1.0, stall_chance=0.5)

    def drawn(proxy: Proxy, sender: str, receiver: str) -> list[float]:
        direction = proxy.direction(sender, receiver)
        direction.become(condition)
        return [direction.wait_seconds() for _ in range(20)]

    assert drawn(Proxy(1), "a", "b") == drawn(Proxy(1), "a", "b")
    assert drawn(Proxy(1), "a", "b") != drawn(Proxy(1), "b", "a")
    assert drawn(Proxy(1), "a", "b") != drawn(Proxy(2), "a", "b")


@pytest.mark.parametrize(
    "make",
    [
        partial(Condition, delay_seconds=-1),
        partial(Condition, tail_seconds=float("inf")),
        partial(Condition, stall_chance=1.1),
        partial(Condition, corrupt_chance=-0.1),
        partial(Condition, bytes_per_second=0),
    ],
)
def test_conditions_that_cannot_be(make: Callable[[], Condition]) -> None:
    with pytest.raises(ValueError, match=r"at least"):
        make()


# -- Real sockets -------------------------------------------------------------------------------------


async def echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def test_both_ways_between_two_nodes() -> None:
    """Each direction is named by who says it; a cut breaks what stands, and nothing is taken until it is healed."""
    proxy = Proxy(5)
    out, back = proxy.direction("a", "b"), proxy.direction("b", "a")
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            target = await nursery.start(partial(trio.serve_tcp, echo, 0, host="127.0.0.1"))
            port = await nursery.start(proxy.listen, "a", "b", target[0].socket.getsockname()[:2])
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"hello"
            while back.counted.bytes_passed < 5:  # noqa: ASYNC110 - it counts what it has passed, a moment later
                await trio.sleep(0.01)
            assert (out.counted.bytes_passed, back.counted.bytes_passed) == (5, 5)
            back.become(Condition(blocked=True))
            await stream.send_all(b"heard, not answered")
            while out.counted.bytes_passed < 5 + 19:  # noqa: ASYNC110 - a counter rings no bell
                await trio.sleep(0.01)
            assert back.counted.bytes_passed == 5
            out.become(Condition(cut=True))
            assert await ended(stream)
            refused = await trio.open_tcp_stream("127.0.0.1", port)
            assert await ended(refused)
            assert (out.counted.cut, out.counted.refused, out.counted.connections) == (1, 1, 1)
            out.become(CLEAR)
            back.become(CLEAR)
            async with await trio.open_tcp_stream("127.0.0.1", port) as again:
                await again.send_all(b"healed")
                assert await again.receive_some() == b"healed"
            nursery.cancel_scope.cancel()


async def test_a_target_that_is_gone_ends_the_connection() -> None:
    proxy = Proxy(5)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            gone = await trio.open_tcp_listeners(0, host="127.0.0.1")
            target = gone[0].socket.getsockname()[:2]
            await gone[0].aclose()
            port = await nursery.start(proxy.listen, "a", "b", target)
            assert await ended(await trio.open_tcp_stream("127.0.0.1", port))
            nursery.cancel_scope.cancel()


async def ended(stream: trio.SocketStream) -> bool:
    """Whether the other side ends or breaks the connection."""
    async with stream:
        try:
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            return True
    return True
