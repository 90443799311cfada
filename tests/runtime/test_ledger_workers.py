"""The real workers, as processes: they say and store what a dictionary in this process says (L-7, L-13, L-22, L-26)."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from daemon import limits
from daemon.runtime.workers.executor import Executor
from daemon.runtime.workers.kinds import CheckKind, ExecuteNeeds, Urgency, VerifyNeeds
from daemon.runtime.workers.overlay import Overlay
from daemon.runtime.workers.results import unpack_batch_verdict, unpack_verdicts
from daemon.runtime.workers.verifiers import Verifiers
from daemon.store.tables import StateStore
from protocol.codec import decode, encode
from protocol.crypto.contexts import Context
from protocol.crypto.signing import signing_message
from protocol.errors import DIVERGED, BrokenInvariant
from protocol.ledger.index import read_head, read_roots
from protocol.ledger.memory import MemoryTables
from protocol.ledger.records import Header
from protocol.ledger.tables import Table, Writes
from protocol.node.interface import Admitted, BatchAccepted, BlockExecuted, Execute, Fate, Refusal
from tests.ledger.world import World, key
from tests.runtime.ledgers import batch, envelope, executes, many, real_world


class Bench:
    """An execute worker on a directory, and its results."""

    def __init__(
        self, world: World, directory: Path, read_again: Callable[[int], Awaitable[Execute]] | None = None
    ) -> None:
        self.world = world
        self.directory = directory
        self.results: list[BlockExecuted] = []
        self.losses: list[str] = []
        self.on_result: Callable[[int], None] = lambda height: None
        needs = ExecuteNeeds(encode(world.genesis), str(directory))
        self.executor = Executor(needs, done=self.done, read_again=read_again or self.never, lost=self.losses.append)

    def done(self, result: BlockExecuted, time_ms: int) -> None:
        self.results.append(result)
        self.on_result(result.executed.height)

    async def never(self, height: int) -> Execute:
        raise AssertionError(height)

    async def execute(self, blocks: list[Execute]) -> None:
        """One life of the executor with these blocks."""
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.executor.run)
                for block in blocks:
                    self.executor.put(block)
                await self.executor.drained()
                nursery.cancel_scope.cancel()

    def stored(self) -> dict[Table, list[tuple[bytes, bytes]]]:
        store = StateStore.open(self.directory, self.world.network_id, writer=False)
        try:
            with store.reader() as reader:
                return {table: reader.scan(table, b"", limit=100_000) for table in Table}
        finally:
            store.close()


def in_memory(world: World) -> dict[Table, list[tuple[bytes, bytes]]]:
    return {table: world.tables.scan(table, b"", limit=100_000) for table in Table}


def chain(blocks: int = 6, each: int = 5) -> World:
    """A world with blocks of envelopes, some of them skipped: sent twice, too late, or empty blocks."""
    world = real_world()
    for number in range(blocks):
        fresh = many(world, 100 * number, each)
        late = envelope(world.network_id, 9_000 + number, world.time_ms)
        again = many(world, 100 * (number - 1), 1) if number else []
        if number % 3 == 2:
            world.run()
        else:
            world.block(batch(world, [*fresh, late, *again]), batch(world, many(world, 5_000 + 10 * number, 2), 1))
    return world


async def test_the_worker_stores_what_execution_in_memory_gives(tmp_path: Path) -> None:
    world = chain()
    bench = Bench(world, tmp_path / "state")
    await bench.execute(executes(world))
    assert [result.executed for result in bench.results] == world.executed[1:]
    assert bench.stored() == in_memory(world)


async def test_blocks_executed_before_are_answered_from_the_store(tmp_path: Path) -> None:
    """The worker died between commit and answer, or the state is ahead of the segments after a power cut."""
    world = chain()
    first = Bench(world, tmp_path / "state")
    await first.execute(executes(world))
    second = Bench(world, tmp_path / "state")
    await second.execute(executes(world)[2:])
    assert second.results == first.results[2:], "with the outcomes of skipped ones, too"
    assert any(outcome.fate is Fate.SKIPPED for result in second.results for outcome in result.outcomes)


async def test_another_block_than_the_one_executed_stops_the_node(tmp_path: Path) -> None:
    world, other = chain(), chain(each=4)
    await Bench(world, tmp_path / "state").execute(executes(world))
    bench = Bench(other, tmp_path / "state")
    with pytest.raises(ExceptionGroup) as caught:
        await bench.execute(executes(other)[:1])
    assert caught.group_contains(BrokenInvariant, match="another block")
    assert bench.results == []


@pytest.mark.parametrize("at", [1, 3, 5])
async def test_kill_9_of_the_worker_reaches_the_same_state(tmp_path: Path, at: int) -> None:
    """L-26: after any crash, the same roots."""
    world = chain(blocks=8)
    bench = Bench(world, tmp_path / "state")
    blocks = executes(world)

    def kill(height: int) -> None:
        if height == at:
            bench.executor.put(blocks[height])
            bench.executor.put(blocks[height + 1])
            assert bench.executor.link is not None
            os.kill(bench.executor.link.process_id, signal.SIGKILL)
        elif height < at or at + 2 <= height < len(blocks):
            bench.executor.put(blocks[height])

    bench.on_result = kill
    await bench.execute(blocks[:1])
    assert len(bench.losses) == 1
    assert [result.executed for result in bench.results] == world.executed[1:]
    assert bench.stored() == in_memory(world)


async def test_a_header_with_other_results_stops_the_node(tmp_path: Path) -> None:
    """L-22."""
    world = chain(blocks=3)
    blocks = executes(world)
    header = decode(Header, blocks[2].header)
    wrong = replace(header, executed=replace(header.executed, state_root=bytes(32)))
    bench = Bench(world, tmp_path / "state")
    with pytest.raises(ExceptionGroup) as caught:
        await bench.execute([*blocks[:2], Execute(3, encode(wrong), ())])
    assert caught.group_contains(BrokenInvariant)
    fault = caught.value.exceptions[0]
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    assert isinstance(fault, BrokenInvariant)
    assert fault.code == DIVERGED


async def test_blocks_beyond_the_bound_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: content that waits too long is dropped and read from the segments."""
    monkeypatch.setattr(limits, "EXECUTE_WAITING_BYTES", 1)
    world = chain()
    blocks = {block.height: block for block in executes(world)}
    asked: list[int] = []

    async def read_again(height: int) -> Execute:
        await trio.lowlevel.checkpoint()
        asked.append(height)
        return blocks[height]

    bench = Bench(world, tmp_path / "state", read_again)
    await bench.execute(list(blocks.values()))
    assert asked == list(blocks)[1:]
    assert [result.executed for result in bench.results] == world.executed[1:]


# -- Verification -----------------------------------------------------------------------------------


class Checks:
    """Verify workers on the state of a world, and questions to them."""

    def __init__(self, world: World, directory: Path) -> None:
        needs = VerifyNeeds(encode(world.genesis), str(directory), "m0")
        self.verifiers = Verifiers(1, needs, lost=self.lost)

    def lost(self, words: str) -> None:
        raise AssertionError(words)

    async def ask(self, kind: CheckKind, content: Any) -> Any:
        answered = trio.Event()
        answers: list[Any] = []

        def take(answer: Any) -> None:
            answers.append(answer)
            answered.set()

        self.verifiers.ask(Urgency.BULK, kind, content, take)
        with trio.fail_after(30):
            await answered.wait()
        return answers[0]


def future_ms() -> int:
    """A time that the machine's clock, which admission counts from, has not reached."""
    return 4_000_000_000_000


async def test_verdicts_of_the_verify_worker(tmp_path: Path) -> None:
    world = chain()
    await Bench(world, tmp_path / "state").execute(executes(world))
    checks = Checks(world, tmp_path / "state")
    good = envelope(world.network_id, 77_000, future_ms())
    forged = good[:-1] + bytes([good[-1] ^ 1])
    known = many(world, 0, 1)[0]
    whole = batch(world, many(world, 50_000, 40))
    spoilt = batch(world, [*many(world, 50_000, 40), forged])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(checks.verifiers.run)
        raw = await checks.ask(CheckKind.ENVELOPES, [good, forged, b"garbage", b"", known])
        batches = [await checks.ask(CheckKind.BATCH, data) for data in (whole, spoilt, b"garbage", whole[:-1])]
        signature = key(1).sign(Context.ENVELOPE, world.network_id, b"message")
        item = [key(1).public, signing_message(Context.ENVELOPE, world.network_id, b"message"), signature]
        flags = await checks.ask(CheckKind.SIGNATURES, [item, [item[0], b"other", item[2]], [b"", b"", b""]] * 50)
        nursery.cancel_scope.cancel()
    verdicts = unpack_verdicts(raw)
    assert [_code(verdict) for verdict in verdicts[1:4]] == ["bad_signature", "malformed", "malformed"]
    assert [verdict.transaction for verdict in verdicts[1:4]] == [None] * 3, "nothing to remember (L-9)"
    assert _code(verdicts[0]) == "too_far_ahead", "signatures good, judged at the state and the clock"
    assert verdicts[0].transaction is not None
    assert _code(verdicts[4]) in ("duplicate", "expired")
    found = [unpack_batch_verdict(one) for one in batches]
    assert isinstance(found[0], BatchAccepted)
    assert (len(found[0].transactions), found[0].author) == (40, key(300).public)
    assert [_code(verdict) for verdict in found[1:]] == ["bad_signature", "malformed", "malformed"]
    assert isinstance(found[1], Refusal)
    assert "envelopes[40]" in found[1].words
    assert flags == b"\x01\x00\x00" * 50


def _code(verdict: Admitted | Refusal | BatchAccepted) -> str:
    return verdict.code if isinstance(verdict, Refusal) else "ok"


# -- Overlay ----------------------------------------------------------------------------------------

KEYS = st.sampled_from([b"a", b"aa", b"ab", b"b", b"ba", b"\xff"])
CHANGES = st.lists(st.dictionaries(KEYS, st.none() | st.binary(max_size=2), max_size=6), max_size=5)


@given(CHANGES, CHANGES, KEYS, KEYS, st.integers(0, 8))
def test_an_overlay_reads_like_the_store_after_the_commit(
    below: list[dict[bytes, bytes | None]],
    above: list[dict[bytes, bytes | None]],
    prefix: bytes,
    start: bytes,
    limit: int,
) -> None:
    base, whole = MemoryTables(), MemoryTables()
    for change in below:
        base.apply(_writes(change))
        whole.apply(_writes(change))
    overlay = Overlay(base)
    for change in above:
        overlay.apply(_writes(change))
        whole.apply(_writes(change))
    for wanted in ((prefix, start, limit), (b"", b"", limit), (prefix[:1], b"", 100)):
        assert overlay.scan(Table.STATE, *wanted) == whole.scan(Table.STATE, *wanted)
    for change in [*below, *above]:
        for name in change:
            assert overlay.get(Table.STATE, name) == whole.get(Table.STATE, name)
    for name in (bytes([letter] * 16) for letter in b"ab"):
        assert list(overlay.named(Table.SEEN, name)) == list(whole.named(Table.SEEN, name))


def _writes(change: dict[bytes, bytes | None]) -> Writes:
    """Values, and for each a row in a table of names: `ab` is the row b under the name a."""
    values: Writes = {(Table.STATE, name): value for name, value in change.items()}
    rows = {
        (Table.SEEN, name[:1] * 16 + name[-1:] * 13): None if value is None else b"" for name, value in change.items()
    }
    return values | rows


def test_the_chain_of_these_tests_has_receipts_and_skips() -> None:
    """Or the tests above would prove little."""
    world = chain()
    assert read_head(world.tables).executed.log_size > 20
    roots = read_roots(world.tables, 3)
    assert roots is not None
