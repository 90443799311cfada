"""One task steps the node: fairness, timers, and a node that is wrong stops before it says anything more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import trio

from daemon import limits
from daemon.runtime.clock import Clock
from daemon.runtime.driver import Driver, NodeStopped, describe
from daemon.runtime.inbox import URGENT_RUN_MAX, Inbox
from daemon.runtime.pump import Pump
from protocol.errors import BrokenInvariant
from protocol.node.interface import (
    Effect,
    Halt,
    Input,
    JournalRecord,
    Now,
    PeerUp,
    Persist,
    Pressure,
    Priority,
    Received,
    Send,
    Tick,
)


class FakeNode:
    """Answers each input as `answer` says, and records what came when."""

    def __init__(self, answer: Callable[[Input], Sequence[Effect]] = lambda item: []) -> None:
        self.wake_at_ms: int | None = None
        self.answer = answer
        self.seen: list[tuple[Input, int]] = []

    def start(self, now: Now) -> Sequence[Effect]:
        return []

    def step(self, item: Input, now: Now) -> Sequence[Effect]:
        self.seen.append((item, now.monotonic_ms))
        if isinstance(item, Tick):
            self.wake_at_ms = None
        return self.answer(item)


class Hands:
    def __init__(self) -> None:
        self.out: list[Effect] = []

    def begin(self, effect: Effect) -> None:
        self.out.append(effect)

    def carry_out(self, effect: Effect) -> None:
        self.out.append(effect)


class Bench:
    def __init__(self, node: FakeNode) -> None:
        self.node = node
        self.hands = Hands()
        self.inbox = Inbox()
        self.pump = Pump(self.hands, self.commit, lambda count: None)
        self.clock = Clock(lambda: int(trio.current_time() * 1e9), lambda: 10**18)
        self.driver = Driver(node, self.clock, self.inbox, self.pump)

    async def commit(self, records: Sequence[JournalRecord]) -> None:
        await trio.lowlevel.checkpoint()


def send(name: bytes) -> Send:
    return Send((b"p",), Priority.CONSENSUS, name)


async def test_an_input_is_stepped_and_its_effects_leave(nursery: trio.Nursery) -> None:
    bench = Bench(FakeNode(lambda item: [send(b"x")]))
    nursery.start_soon(bench.driver.run)
    bench.inbox.put_nowait(PeerUp(b"p"))
    await trio.testing.wait_all_tasks_blocked()
    assert bench.hands.out == [send(b"x")]


async def test_a_tick_comes_when_it_is_due_and_not_before(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """Duty 5."""
    node = FakeNode()
    bench = Bench(node)
    due_ms = bench.clock.now().monotonic_ms + 2_500
    node.wake_at_ms = due_ms
    nursery.start_soon(bench.driver.run)
    await trio.sleep(2.4)
    assert node.seen == []
    await trio.sleep(0.2)
    assert [type(item) for item, _ in node.seen] == [Tick]
    assert due_ms <= node.seen[0][1] <= due_ms + 2


async def test_an_earlier_timer_set_by_a_step_counts(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    node = FakeNode()
    bench = Bench(node)
    node.wake_at_ms = bench.clock.now().monotonic_ms + 60_000

    def sooner(item: Input) -> Sequence[Effect]:
        if isinstance(item, PeerUp):
            node.wake_at_ms = bench.clock.now().monotonic_ms + 100
        return []

    node.answer = sooner
    nursery.start_soon(bench.driver.run)
    bench.inbox.put_nowait(PeerUp(b"p"))
    await trio.sleep(0.2)
    assert [type(item) for item, _ in node.seen] == [PeerUp, Tick]


async def test_a_timer_that_is_always_due_starves_no_input(nursery: trio.Nursery) -> None:
    node = FakeNode()
    bench = Bench(node)

    def always(item: Input) -> Sequence[Effect]:
        node.wake_at_ms = 0 if len(node.seen) < 20 else None
        return []

    node.answer = always
    node.wake_at_ms = 0
    for _ in range(5):
        bench.inbox.put_nowait(PeerUp(b"p"))
    nursery.start_soon(bench.driver.run)
    await trio.testing.wait_all_tasks_blocked()
    kinds = [type(item) for item, _ in node.seen]
    assert kinds[:7] == [Tick, *[PeerUp] * 5, Tick], "one tick, then whatever waits"


@pytest.mark.parametrize("fault", [BrokenInvariant("two notarizes"), KeyError("x"), AssertionError(), RecursionError()])
async def test_a_step_that_raises_stops_everything_that_waits(fault: Exception) -> None:
    """Rule 6: the node stops before it signs, writes or sends anything more."""

    def answer(item: Input) -> Sequence[Effect]:
        if isinstance(item, PeerUp):
            return [Persist(JournalRecord(1, b"v")), send(b"v")]
        raise fault

    bench = Bench(FakeNode(answer))
    bench.inbox.put_nowait(PeerUp(b"p"))
    bench.inbox.put_nowait(Received(b"p", b"secret content"))
    with pytest.raises(NodeStopped) as stopped:
        await bench.driver.run()
    assert stopped.value.code == "broken_invariant"
    assert stopped.value.doing["input"] == "Received"
    assert "secret" not in str(stopped.value.doing)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.pump.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert bench.hands.out == []


async def test_behind_a_failed_commit_nothing_is_stepped(nursery: trio.Nursery) -> None:
    """L-24: the failed disk is what is told, not what a further step would have met."""
    bench = Bench(FakeNode(lambda item: [send(b"x")]))
    nursery.start_soon(bench.driver.run)
    await trio.testing.wait_all_tasks_blocked()
    bench.inbox.put_nowait(PeerUp(b"p"))
    bench.pump.stop()
    await trio.testing.wait_all_tasks_blocked()
    assert bench.node.seen == []
    assert bench.hands.out == []


async def test_halt_stops_with_the_nodes_own_code() -> None:
    """L-22, duty 6."""
    bench = Bench(FakeNode(lambda item: [send(b"no"), Halt("state_differs", "roots differ at 7")]))
    bench.inbox.put_nowait(PeerUp(b"p"))
    with pytest.raises(NodeStopped) as stopped:
        await bench.driver.run()
    assert (stopped.value.code, stopped.value.words) == ("state_differs", "roots differ at 7")
    assert bench.hands.out == []


async def test_urgent_goes_before_bulk_and_bulk_is_not_starved() -> None:
    inbox = Inbox()
    inbox.put_nowait(Received(b"p", b"bulk"), urgent=False)
    for _ in range(2 * URGENT_RUN_MAX):
        inbox.put_nowait(Pressure(False))
    order = []
    while (item := inbox.pop()) is not None:
        order.append(type(item))
    assert order.index(Received) == URGENT_RUN_MAX
    assert len(order) == 2 * URGENT_RUN_MAX + 1


async def test_a_peer_waits_while_its_line_is_full(nursery: trio.Nursery) -> None:
    """L-30: every queue is bounded; bulk does not take the room of votes."""
    inbox = Inbox()
    big = Received(b"p", bytes(limits.INBOX_BULK_BYTES_MAX))
    await inbox.put(big, urgent=False)
    nursery.start_soon(lambda: inbox.put(Received(b"p", b"more"), urgent=False))
    await trio.testing.wait_all_tasks_blocked()
    assert len(inbox) == 1
    await inbox.put(Received(b"p", b"vote"), urgent=True)
    assert inbox.pop() == Received(b"p", b"vote")
    assert inbox.pop() == big
    await trio.testing.wait_all_tasks_blocked()
    assert inbox.pop() == Received(b"p", b"more")
    assert inbox.pop() is None


def test_a_description_holds_no_content() -> None:
    facts = describe(Received(b"\x01" * 32, b"marker"))
    assert facts["input"] == "Received"
    assert "marker" not in str(facts)
    assert str(facts["data"]).startswith("6 bytes, sha256 ")
