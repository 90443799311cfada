"""L-24: what a list of effects holds back, until when, and that nothing leaves after a failing sync."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon import limits
from daemon.runtime.pump import Halted, Pump, SyncFailed
from protocol.errors import BrokenInvariant
from protocol.node.interface import (
    Append,
    CheckSignatures,
    Effect,
    Execute,
    Halt,
    JournalRecord,
    Note,
    Persist,
    Priority,
    Send,
)


def persist(name: str) -> Persist:
    return Persist(JournalRecord(1, name.encode()))


def patient(name: str) -> Persist:
    return Persist(JournalRecord(1, name.encode()), patient=True)


def send(name: str) -> Send:
    return Send((b"peer",), Priority.CONSENSUS, name.encode())


@dataclass
class World:
    """Hands and disk in one: a list of all that happened, and commits that end when the test says so."""

    log: list[str] = field(default_factory=list)
    durable: set[str] = field(default_factory=set)
    failing: bool = False
    failed: bool = False
    gate: trio.Semaphore | None = None

    def begin(self, effect: Effect) -> None:
        self.log.append(f"begin {type(effect).__name__}")

    def carry_out(self, effect: Effect) -> None:
        words = effect.data.decode() if isinstance(effect, Send) else type(effect).__name__
        self.log.append(f"out {words}")

    async def commit(self, records: Sequence[JournalRecord]) -> None:
        if self.gate is not None:
            await self.gate.acquire()
        if self.failing:
            self.failed = True
            raise OSError("the disk is gone")
        self.durable.update(record.data.decode() for record in records)
        self.log.append("sync " + " ".join(record.data.decode() for record in records))

    def persisted(self, count: int) -> None:
        self.log.append(f"persisted {count}")


def pump_of(world: World) -> Pump:
    return Pump(world, world.commit, world.persisted)


async def test_a_vote_leaves_after_its_sync(nursery: trio.Nursery) -> None:
    """L-24, duty 1."""
    world = World()
    pump = pump_of(world)
    nursery.start_soon(pump.run)
    pump.take([send("vote"), persist("vote")])
    assert world.log == [], "nothing leaves before the sync, wherever in the list the record stands"
    await pump.drained()
    assert world.log == ["sync vote", "out vote", "persisted 1"]


async def test_a_list_without_records_leaves_at_once_while_nothing_waits() -> None:
    world = World()
    pump = pump_of(world)
    pump.take([send("hello")])
    assert world.log == ["out hello"]


async def test_a_later_list_waits_behind_an_earlier_one(nursery: trio.Nursery) -> None:
    """Duty 1: "or of a later list"."""
    world = World(gate=trio.Semaphore(0))
    assert world.gate is not None
    pump = pump_of(world)
    nursery.start_soon(pump.run)
    pump.take([persist("a"), send("a")])
    pump.take([send("b")])
    await trio.testing.wait_all_tasks_blocked()
    assert world.log == []
    world.gate.release()
    await pump.drained()
    assert world.log == ["sync a", "out a", "out b", "persisted 1"]


async def test_a_patient_record_holds_nothing_back_and_goes_with_the_next(nursery: trio.Nursery) -> None:
    """Duty 1: durable before the next impatient one's list leaves, in one sync with it."""
    world = World()
    pump = pump_of(world)
    nursery.start_soon(pump.run)
    pump.take([patient("batch"), send("batch")])
    await trio.testing.wait_all_tasks_blocked()
    assert world.log == ["out batch"]
    pump.take([persist("vote"), send("vote")])
    await pump.drained()
    assert world.log[1:] == ["sync batch vote", "out vote", "persisted 2"]


async def test_an_appended_block_waits_for_patient_records_too(nursery: trio.Nursery) -> None:
    world = World()
    pump = pump_of(world)
    nursery.start_soon(pump.run)
    pump.take([patient("batch")])
    pump.take([Append(1, b""), Execute(1, b"", ())])
    pump.take([send("later")])
    assert world.log == []
    await pump.drained()
    assert world.log == ["sync batch", "out Append", "out Execute", "out later", "persisted 1"]


async def test_patient_records_are_bounded_and_made_durable_at_the_end(nursery: trio.Nursery) -> None:
    world = World()
    pump = pump_of(world)
    nursery.start_soon(pump.run)
    pump.take([patient("x" * limits.PATIENT_BYTES_MAX)])
    await trio.testing.wait_all_tasks_blocked()
    assert [line[:6] for line in world.log] == ["sync x", "persis"]
    pump.take([patient("last")])
    await pump.drained()
    assert world.log[-2:] == ["sync last", "persisted 2"]


async def test_checks_and_notes_start_at_once() -> None:
    """Duty 4: they promise nothing."""
    world = World()
    pump_of(world).take([persist("a"), CheckSignatures(1, ()), Note("n", {}), send("a")])
    assert world.log == ["begin CheckSignatures", "begin Note"]


async def test_lists_that_come_during_a_sync_share_the_next_one(nursery: trio.Nursery) -> None:
    """L-24: one fsync serves all that waits."""
    world = World(gate=trio.Semaphore(0))
    assert world.gate is not None
    pump = pump_of(world)
    nursery.start_soon(pump.run)
    pump.take([persist("a"), send("a")])
    await trio.testing.wait_all_tasks_blocked()
    for name in "bcd":
        pump.take([persist(name), send(name)])
    world.gate.release()
    await trio.testing.wait_all_tasks_blocked()
    assert world.log == ["sync a", "out a", "persisted 1"]
    world.gate.release()
    await pump.drained()
    assert world.log[3:] == ["sync b c d", "out b", "out c", "out d", "persisted 4"]
    assert pump.commits == 2


async def test_appends_and_executions_keep_their_order(nursery: trio.Nursery) -> None:
    """Duty 3."""
    world = World()
    pump = pump_of(world)
    nursery.start_soon(pump.run)
    pump.take([persist("a"), Append(1, b""), Execute(1, b"", ()), send("a"), Append(2, b""), Execute(2, b"", ())])
    await pump.drained()
    assert world.log[1:-1] == ["out Append", "out Execute", "out a", "out Append", "out Execute"]


async def test_after_a_failed_sync_nothing_leaves_ever() -> None:
    """L-24: a failed sync stops the node, and no vote leaves."""
    world = World(gate=trio.Semaphore(0))
    assert world.gate is not None
    pump = pump_of(world)
    gate = world.gate

    async def scenario() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump.run)
            pump.take([persist("good"), send("good")])
            gate.release()
            await trio.testing.wait_all_tasks_blocked()
            pump.take([persist("bad"), send("bad")])
            await trio.testing.wait_all_tasks_blocked()
            pump.take([send("later")])
            world.failing = True
            gate.release()

    with pytest.raises(ExceptionGroup) as caught:
        await scenario()
    assert caught.group_contains(SyncFailed)
    assert world.log == ["sync good", "out good", "persisted 1"]
    with pytest.raises(BrokenInvariant):
        pump.take([send("even later")])
    assert world.log[-1] == "persisted 1", "nothing changed"


async def test_after_halt_nothing_leaves(nursery: trio.Nursery) -> None:
    """Duty 6: neither the list's own effects, nor what waited for a sync."""
    world = World(gate=trio.Semaphore(0))
    assert world.gate is not None
    pump = pump_of(world)
    nursery.start_soon(pump.run)
    pump.take([persist("waiting"), send("waiting")])
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(Halted):
        pump.take([persist("x"), send("x"), Halt("broken_invariant", "words")])
    world.gate.release()
    await trio.testing.wait_all_tasks_blocked()
    assert world.log == ["sync waiting"], "the sync under way ends, and nothing follows it"


STEPS = ("list", "list+record", "release", "run")


@given(st.lists(st.sampled_from(STEPS), max_size=24), st.integers(0, 24))
@settings(max_examples=150, deadline=None)
def test_durable_before_sent_in_every_interleaving(steps: list[str], fail_at: int) -> None:
    """L-24: at every moment what has left has all records of its list and of every list before it on disk."""
    trio.run(_interleave, steps, fail_at)


def test_durable_before_sent_in_all_short_interleavings() -> None:
    """The same, exhaustively for runs of five steps, without a failure and with one at each place."""
    for steps in itertools.product(STEPS, repeat=5):
        trio.run(_interleave, list(steps), len(steps))
        trio.run(_interleave, list(steps), steps.count("release") // 2)


async def _interleave(steps: list[str], fail_at: int) -> None:
    world = CheckedWorld(gate=trio.Semaphore(0))
    assert world.gate is not None
    pump = pump_of(world)
    releases = 0
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump.run)
            for number, step in enumerate(steps):
                if step.startswith("list"):
                    world.needed[number] = set(world.emitted)
                    if step == "list+record":
                        world.emitted.add(str(number))
                        world.needed[number].add(str(number))
                        pump.take([send(str(number)), persist(str(number))])
                    else:
                        pump.take([send(str(number))])
                elif step == "release":
                    world.failing = releases >= fail_at
                    releases += 1
                    world.gate.release()
                else:
                    await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    except* SyncFailed:
        assert world.failed
    except* BrokenInvariant:
        assert world.failed, "only a stopped pump refuses a list"
    assert world.sent == sorted(world.sent), "lists leave in order"


@dataclass
class CheckedWorld(World):
    """Checks each thing that leaves against what is durable at that moment."""

    emitted: set[str] = field(default_factory=set)
    needed: dict[int, set[str]] = field(default_factory=dict)
    sent: list[int] = field(default_factory=list)

    def carry_out(self, effect: Effect) -> None:
        assert isinstance(effect, Send)
        number = int(effect.data)
        assert self.needed[number] <= self.durable, "sent before durable"
        assert not self.failed, "sent after a failed sync"
        self.sent.append(number)
