"""What clients are told: outcomes are never ambiguous (L-9), streams have no gap, nothing grows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from daemon import limits
from daemon.runtime.service import NodeService, Stage
from daemon.store.tables import StateStore
from protocol.ledger.envelope import parse_envelope
from protocol.ledger.genesis_state import genesis_state
from protocol.ledger.records import transaction_id
from protocol.node.interface import Admitted, Answer, BlockExecuted, Fate, Input, Outcome, Refusal, Submit
from protocol.node.setup import NodeStatus
from tests.ledger.world import World
from tests.runtime.ledgers import batch, envelope, many, real_world


class FakeNode:
    """Says what a test wants said of what is not final."""

    def __init__(self) -> None:
        self.pending: set[bytes] = set()
        self.refusals: dict[bytes, tuple[str, str]] = {}

    def is_pending(self, transaction: bytes) -> bool:
        return transaction in self.pending

    def refusal(self, transaction: bytes) -> tuple[str, str] | None:
        return self.refusals.get(transaction)

    def status(self) -> NodeStatus:
        return NodeStatus()


class Bench:
    """A service over a store that a world's blocks are committed to one by one."""

    def __init__(self, directory: Path) -> None:
        self.world: World = real_world()
        self.store = StateStore.open(directory, self.world.network_id, writer=True)
        self.store.commit([genesis_state(self.world.genesis, self.world.rules).writes], 0)
        self.node = FakeNode()
        self.inputs: list[Input] = []
        self.service = NodeService(self.world.genesis, self.node, self.store, self, self.inputs.append)

    def read(self, height: int) -> bytes | None:
        return None

    def block(self, *envelopes: bytes, step_ms: int = 100) -> None:
        """Execute a block of these and tell the service."""
        done = (
            self.world.block(batch(self.world, envelopes), step_ms=step_ms)
            if envelopes
            else self.world.run(step_ms=step_ms)
        )
        self.store.commit([done.writes], done.height)
        outcomes = tuple(
            Outcome(o.transaction, o.account, o.id, Fate.FINAL if o.final else Fate.SKIPPED, o.code, o.log_index)
            for o in done.outcomes
        )
        self.service.executed(BlockExecuted(done.executed, outcomes))

    def transaction(self, data: bytes) -> bytes:
        return parse_envelope(data, self.world.network_id).transaction


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "state")
    yield made
    made.store.close()


def test_each_of_the_five_outcomes(bench: Bench) -> None:
    final, late = many(bench.world, 1, 1)[0], envelope(bench.world.network_id, 2, bench.world.time_ms + 50)
    name, until = bench.transaction(final), bench.world.time_ms + 50
    assert bench.service.outcome(name).stage is Stage.NOT_SEEN
    bench.node.refusals[name] = ("expired", "too late")
    refused = bench.service.outcome(name)
    assert refused.stage is Stage.REFUSED
    assert refused.refusal == Refusal("expired", "too late", name)
    bench.node.pending.add(name)
    assert bench.service.outcome(name).stage is Stage.PENDING, "it waits, whatever was said of it once"
    bench.block(final, late)
    found = bench.service.outcome(name)
    assert (found.stage, found.height, found.position, found.log_index) == (Stage.FINAL, 1, 0, 0)
    skipped = bench.transaction(late)
    assert bench.service.outcome(skipped).stage is Stage.NOT_SEEN, "without its time nobody can say that it expired"
    assert bench.service.outcome(skipped, until).stage is Stage.EXPIRED
    assert bench.service.outcome(skipped, bench.world.time_ms + 1).stage is Stage.NOT_SEEN


async def test_a_waiter_is_woken_by_the_very_block(bench: Bench, nursery: trio.Nursery) -> None:
    wanted, other = many(bench.world, 1, 2)
    name = bench.transaction(wanted)
    bench.node.pending.add(name)
    stages: list[Stage] = []

    async def wait() -> None:
        stages.append((await bench.service.wait_final(name, 1_000)).stage)

    nursery.start_soon(wait)
    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    bench.block(other)
    await trio.testing.wait_all_tasks_blocked()
    assert stages == []
    bench.block(wanted)
    await trio.testing.wait_all_tasks_blocked()
    assert stages == [Stage.FINAL, Stage.FINAL]
    assert bench.service._waiters == {}


async def test_a_time_out_is_not_an_outcome_and_leaves_nothing(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    bench.node.pending.add(b"\x01" * 32)
    assert (await bench.service.wait_final(b"\x01" * 32, 5)).stage is Stage.PENDING
    assert (await bench.service.wait_final(b"\x02" * 32, 5)).stage is Stage.NOT_SEEN
    assert bench.service._waiters == {}


async def test_a_waiter_hears_of_expiry(bench: Bench, nursery: trio.Nursery) -> None:
    until = bench.world.time_ms + 150
    name = transaction_id(b"nobody sealed it")
    stages: list[Stage] = []

    async def wait() -> None:
        stages.append((await bench.service.wait_final(name, 1_000, until)).stage)

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    bench.block()
    await trio.testing.wait_all_tasks_blocked()
    assert stages == []
    bench.block()
    await trio.testing.wait_all_tasks_blocked()
    assert stages == [Stage.EXPIRED]


async def test_posts_are_answered_each_by_its_own_answer(bench: Bench, nursery: trio.Nursery) -> None:
    results: dict[bytes, list[Admitted | Refusal]] = {}

    async def post(data: bytes) -> None:
        results[data] = await bench.service.submit([data])

    for data in (b"a", b"b"):
        nursery.start_soon(post, data)
    await trio.testing.wait_all_tasks_blocked()
    for item in reversed(bench.inputs):
        assert isinstance(item, Submit)
        bench.service.answered(Answer(item.ticket, (Refusal("malformed", item.envelopes[0].decode()),)))
    await trio.testing.wait_all_tasks_blocked()
    assert {data: result[0].words for data, result in results.items() if isinstance(result[0], Refusal)} == {
        b"a": "a",
        b"b": "b",
    }
    assert bench.service.posts_waiting == 0


async def test_too_many_posts_are_refused_at_once(bench: Bench, nursery: trio.Nursery) -> None:
    for _ in range(limits.SUBMITS_WAITING_MAX):
        nursery.start_soon(bench.service.submit, [b"x"])
    await trio.testing.wait_all_tasks_blocked()
    (result,) = await bench.service.submit([b"y"])
    assert isinstance(result, Refusal)
    assert result.code == "pool_full"
    assert len(bench.inputs) == limits.SUBMITS_WAITING_MAX
    nursery.cancel_scope.cancel()


async def test_posts_are_refused_at_once_while_the_disk_takes_no_writes(bench: Bench) -> None:
    """L-28: the node's own answer would wait behind the write."""
    full = True
    service = NodeService(
        bench.world.genesis, bench.node, bench.store, bench, bench.inputs.append, disk_full=lambda: full
    )
    found = await service.submit(many(bench.world, 1, 1))
    assert [type(result) is Refusal and result.code for result in found] == ["disk_full"]
    assert bench.inputs == []


async def test_at_the_end_everything_ends(bench: Bench, nursery: trio.Nursery) -> None:
    ended: list[str] = []

    async def post() -> None:
        results = await bench.service.submit([b"a", b"b"])
        ended.extend(result.code for result in results if isinstance(result, Refusal))

    async def wait() -> None:
        ended.append((await bench.service.wait_final(b"\x01" * 32, 1_000)).stage.value)

    async def follow() -> None:
        ended.extend([str(item.log_index) async for item in bench.service.transactions(None)])
        ended.append("stream")

    async def blocks() -> None:
        ended.extend([f"height {roots.executed.height}" async for roots in bench.service.blocks(0)])

    bench.block(*many(bench.world, 1, 2))
    for task in (post, wait, follow, blocks):
        nursery.start_soon(task)
    await trio.testing.wait_all_tasks_blocked()
    bench.service.stop("maintenance")
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(ended) == ["0", "1", "height 1", "not_seen", "stream"], "posts may still be answered"
    bench.service.abandon()
    await trio.testing.wait_all_tasks_blocked()
    assert ended.count("stopping") == 2
    (result,) = await bench.service.submit([b"c"])
    assert isinstance(result, Refusal)
    assert result.code == "stopping"


async def test_a_stream_resumes_anywhere_without_gap_or_repeat(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EVENTS_READ_MAX", 3)
    for number in range(4):
        bench.block(*many(bench.world, 10 * number, 5))
    bench.service.stop("the end of this test")
    everything = [item async for item in bench.service.transactions(None)]
    assert [item.log_index for item in everything] == list(range(20))
    for after in (0, 4, 18, 19, 25):
        rest = [item async for item in bench.service.transactions(after)]
        assert rest == everything[after + 1 :]
