"""Whole nodes: from a posted envelope to a proven receipt, over restarts, failures and an orderly end."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest
import trio

from daemon.observe.notify import Notifier, Watchdog
from daemon.runtime.driver import NodeStopped
from daemon.runtime.edges import Running
from daemon.runtime.parts import Parts
from daemon.runtime.pump import SyncFailed
from daemon.runtime.runtime import NodeRuntime
from daemon.runtime.service import Stage
from daemon.store.directory import StateAccess, Store, open_directory, open_to_read
from daemon.store.errors import StoreFailed
from daemon.store.journal import Journal
from protocol.codec import decode, encode
from protocol.errors import BrokenInvariant, Refused
from protocol.ledger.genesis import network_id
from protocol.ledger.records import Receipt
from protocol.node.interface import Admitted, Refusal
from protocol.node.node import Node
from protocol.proofs.verify import verify_receipt_proof
from tests.runtime.nodes import JOURNAL_ID, Place, Port, Switch, genesis_of, lines


def children(which: str = "") -> list[int]:
    """Process ids of this process's workers."""
    command = ["ps", "-ww", "--ppid", str(os.getpid()), "-o", "pid=,args="]
    listing = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    return [int(line.split()[0]) for line in listing.splitlines() if f"daemon.runtime.workers.{which}" in line]


async def test_a_posted_envelope_becomes_final_and_provable(tmp_path: Path) -> None:
    place = Place(tmp_path / "node", genesis_of())
    async with place.running() as life:
        results = await life.submit(1, 3)
        assert all(isinstance(result, Admitted) for result in results)
        outcome = await life.service.wait_final(results[0].transaction, 20)
        assert outcome.stage is Stage.FINAL
        assert outcome.receipt is not None
        assert decode(Receipt, outcome.receipt).code == "ok"
        proof = await proven(life.running, results[0].transaction)
        assert verify_receipt_proof(encode(place.genesis), proof).ok
        again = await life.service.submit(life.envelopes(1, 1))
        assert isinstance(again[0], Refusal)
        assert again[0].code == "duplicate"
        assert life.service.outcome(bytes(32)).stage is Stage.NOT_SEEN
        metrics = life.service.metrics()
        assert metrics.counters["transactions"] == 3
        assert metrics.gauges["log_size"] == 3
    assert children() == []


async def proven(running: Running, transaction: bytes) -> bytes:
    """A receipt's proof, once a header covers it."""
    while True:
        changed = running.service.progress.changed
        try:
            with running.service.reader() as reader:
                return running.prover.receipt(reader, transaction)
        except Refused as fault:
            if fault.code != "not_covered":
                raise
        await changed.wait()


async def test_after_a_restart_everything_is_there(tmp_path: Path) -> None:
    place = Place(tmp_path / "node", genesis_of())
    async with place.running() as life:
        results = await life.submit(1, 5)
        for result in results:
            assert (await life.service.wait_final(result.transaction, 20)).stage is Stage.FINAL
        height = life.service.status().executed_height
    async with place.running() as life:
        assert life.service.status().final_height >= height
        for result in results:
            assert life.service.outcome(result.transaction).stage is Stage.FINAL
        more = await life.submit(10, 1)
        assert (await life.service.wait_final(more[0].transaction, 20)).stage is Stage.FINAL


async def test_a_deleted_state_is_rebuilt_from_the_segments(tmp_path: Path) -> None:
    """L-26."""
    place = Place(tmp_path / "node", genesis_of())
    async with place.running() as life:
        results = await life.submit(1, 5)
        await life.service.wait_final(results[-1].transaction, 20)
    before = roots(place)
    for file in (place.directory / "state").iterdir():
        file.unlink()
    async with place.running() as life:
        assert life.service.outcome(results[0].transaction).stage is Stage.FINAL
    after = roots(place)
    assert after[: len(before)] == before


def roots(place: Place) -> list[tuple[bytes, bytes]]:
    """All roots of the state on disk."""
    from protocol.ledger.tables import Table

    onlooker = open_to_read(place.directory, network_id(place.genesis))
    try:
        with onlooker.state.reader() as reader:
            return reader.scan(Table.ROOTS, b"", limit=10_000)
    finally:
        onlooker.close()


async def test_four_nodes_agree(tmp_path: Path) -> None:
    genesis, switch = genesis_of(4), Switch()
    places = [Place(tmp_path / f"node{index}", genesis, index) for index in range(4)]
    async with (
        places[0].running(switch) as first,
        places[1].running(switch) as second,
        places[2].running(switch),
        places[3].running(switch) as last,
    ):
        results = await first.submit(1, 20) + await second.submit(100, 20)
        for result in results:
            assert isinstance(result, Admitted)
            assert (await last.service.wait_final(result.transaction, 40)).stage is Stage.FINAL
    found = [roots(place) for place in places]
    shortest = min(len(one) for one in found)
    assert shortest > 1
    assert all(one[:shortest] == found[0][:shortest] for one in found)
    assert children() == []


async def test_streams_end_by_themselves_and_resume_without_gap_or_repeat(tmp_path: Path) -> None:
    place = Place(tmp_path / "node", genesis_of())
    seen: list[tuple[int, bytes]] = []
    async with place.running() as life:
        results = await life.submit(1, 6)
        await life.service.wait_final(results[-1].transaction, 20)
        async for item in life.service.transactions(None):
            seen.append((item.log_index, item.receipt.transaction))
            if len(seen) == 4:
                break
        rest = life.service.transactions(seen[-1][0])
        async with trio.open_nursery() as nursery:

            async def follow() -> None:
                seen.extend([(item.log_index, item.receipt.transaction) async for item in rest])

            nursery.start_soon(follow)
            more = await life.submit(50, 3)
            await life.service.wait_final(more[-1].transaction, 20)
            life.runtime.stop("now")
    assert [index for index, _ in seen] == list(range(9))
    assert {transaction for _, transaction in seen} == {r.transaction for r in results + more}


async def test_a_node_that_stops_refuses_with_its_code(tmp_path: Path) -> None:
    place = Place(tmp_path / "node", genesis_of())
    async with place.running() as life:
        life.service.stop("maintenance")
        (result,) = await life.submit(1, 1)
        assert result.code == "stopping"


async def test_kill_9_of_either_worker_is_survived(tmp_path: Path) -> None:
    place = Place(tmp_path / "node", genesis_of())
    async with place.running() as life:
        for number in range(4):
            (worker,) = children("verify" if number % 2 else "execute")
            os.kill(worker, signal.SIGKILL)
            results = await life.submit(10 * number, 5)
            for result in results:
                assert isinstance(result, Admitted), result
                assert (await life.service.wait_final(result.transaction, 20)).stage is Stage.FINAL
    assert children() == []


async def test_when_a_sync_fails_no_vote_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L-24: the node ends, and what it sent after the failure is nothing.

    Alone in its network it votes: one that waits for the others' answers (C-24) has nothing that needs a sync.
    """
    genesis, switch = genesis_of(1), Switch()
    place = Place(tmp_path / "node", genesis)
    sent_before = -1

    async def scenario() -> None:
        nonlocal sent_before
        async with place.running(switch) as life:

            def fail(self: Journal) -> int:
                nonlocal sent_before
                sent_before = len(life.port.sent)
                raise StoreFailed("planted")

            monkeypatch.setattr(Journal, "sync", fail)
            await life.submit(1, 1)
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await scenario()
    assert caught.group_contains(SyncFailed)
    assert children() == []
    monkeypatch.undo()
    store = open_directory(place.directory, network_id(genesis), JOURNAL_ID, state=StateAccess.NONE)
    store.close()


async def test_a_broken_invariant_stops_the_node_and_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path / "node", genesis_of())

    def broken(self: Node, given: object, now: object) -> list[object]:
        raise BrokenInvariant("planted")

    async def scenario() -> None:
        async with place.running() as life:
            monkeypatch.setattr(Node, "step", broken)
            await life.submit(1, 1)
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await scenario()
    assert caught.group_contains(NodeStopped, match="planted")
    assert children() == []


async def test_two_nodes_on_one_directory_are_refused(tmp_path: Path) -> None:
    """L-27."""
    place = Place(tmp_path / "node", genesis_of())

    async def second() -> None:
        async with place.running():
            raise AssertionError("it runs")

    async with place.running():
        with pytest.raises(ExceptionGroup) as caught:
            await second()
        assert caught.group_contains(Exception, match="another papilio runs")


async def test_the_end_may_be_asked_for_while_a_long_start_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it a service manager would wait for hours of replay, or kill it."""
    place = Place(tmp_path / "node", genesis_of())
    begun = trio.Event()

    async def long_replay(*_: object) -> int:
        begun.set()
        await trio.sleep_forever()
        raise AssertionError("it ends before")

    with monkeypatch.context() as patch:
        patch.setattr("daemon.runtime.runtime.replay", long_replay)
        runtime = NodeRuntime(place.setup(), Port(Switch(), place.node_key), (), lines())
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(runtime.run)
                await begun.wait()
                assert len(children("execute")) == 1
                runtime.stop("SIGTERM")
    assert children() == []
    async with place.running() as life:
        assert isinstance((await life.submit(1, 1))[0], Admitted)


async def test_the_watchdog_sees_a_disk_that_hangs_although_timers_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path / "node", genesis_of())
    hang, hangs = threading.Event(), threading.Event()
    sync = Journal.sync

    def hanging(journal: Journal) -> int:
        if hang.is_set():
            hangs.set()
            while hang.is_set():
                threading.Event().wait(0.01)
        return sync(journal)

    monkeypatch.setattr(Journal, "sync", hanging)
    found: list[Parts] = []
    bring_up = NodeRuntime._bring_up

    async def kept(runtime: NodeRuntime, nursery: trio.Nursery, store: Store, network: bytes) -> Parts:
        found.append(await bring_up(runtime, nursery, store, network))
        return found[0]

    monkeypatch.setattr(NodeRuntime, "_bring_up", kept)
    async with place.running() as life:
        parts = found[0]
        watchdog = Watchdog(Notifier({}), parts.stages)
        assert watchdog.look()
        hang.set()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(life.submit, 1, 1)
                await trio.to_thread.run_sync(hangs.wait)
                watchdog.look()
                before = parts.driver.steps
                while parts.driver.steps == before:
                    await trio.lowlevel.checkpoint()
                assert not watchdog.look(), "the loop turns, and nothing becomes durable"
                hang.clear()
        finally:
            hang.clear()
        while not watchdog.look():  # what became durable has still to be stepped; the test has a time limit
            await trio.lowlevel.checkpoint()


async def test_a_proof_asks_the_node_for_one_value_and_walks_over_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proofs are made in threads: a whole status would read what the loop is changing."""

    def status(_node: Node) -> object:
        raise AssertionError("a status walks over peers")

    place = Place(tmp_path / "node", genesis_of())
    async with place.running() as life:
        (result,) = await life.submit(1, 1)
        await life.service.wait_final(result.transaction, 20)
        with monkeypatch.context() as patch:
            patch.setattr(Node, "status", status)
            assert verify_receipt_proof(encode(place.genesis), await proven(life.running, result.transaction)).ok
