"""The host keeps the duties of a node's driver (node.interface, 1 to 6)."""

from __future__ import annotations

import pytest

from protocol.node.interface import (
    Answer,
    Append,
    BlockExecuted,
    CheckSignatures,
    Disconnect,
    Effect,
    Execute,
    Halt,
    Input,
    JournalKind,
    JournalRecord,
    PeerUp,
    Persist,
    Persisted,
    Priority,
    Received,
    Send,
    SignatureItem,
    SignaturesChecked,
    Submit,
    Tick,
)
from protocol.sim.disk import DiskModel
from tests.sim.fakes import ScriptedNode, bench, block, header

PEER = b"p" * 32


def record(name: str) -> JournalRecord:
    return JournalRecord(JournalKind.VOTE, name.encode())


def send(name: str) -> Send:
    return Send((PEER,), Priority.CONSENSUS, name.encode())


def test_duty_1_nothing_of_a_list_leaves_before_all_its_records_are_synced() -> None:
    def answer(given: Input) -> list[Effect]:
        if isinstance(given, PeerUp):
            effects: list[Effect] = [send("early in the list"), Persist(record("vote")), send("vote")]
            return [*effects, Append(1, block(1)), Answer(1, ()), Disconnect(PEER, "enough")]
        return [send("a later list")] if isinstance(given, Received) else []

    def script(node: ScriptedNode) -> None:
        node.answer = answer

    here = bench(script)
    here.host.boot()
    here.diary.entries.clear()
    here.host.peer_up(PEER)
    here.host.receive(PEER, b"")
    assert here.diary.entries == [], "the journal is not synced"
    assert here.host.disk.journal_synced == 0
    here.schedule.run(10_000)
    left = ["said early in the list", "said vote", "appended 1", "answered 1", "disconnected", "said a later list"]
    assert here.diary.entries == left


def test_duty_1_many_lists_share_one_sync_and_duty_2_persisted_counts_them() -> None:
    def script(node: ScriptedNode) -> None:
        node.answer = lambda given: [Persist(record("x"))] if isinstance(given, Received) else []

    here = bench(script)
    here.host.boot()
    for _ in range(5):
        here.host.receive(PEER, b"")
    here.schedule.run(10_000)
    counts = [given.count for given in here.node.inputs if isinstance(given, Persisted)]
    assert counts == [1, 5], "the first sync had one record; the other four shared the second"


def test_duty_1_a_failing_sync_lets_nothing_out_ever() -> None:
    def script(node: ScriptedNode) -> None:
        node.answer = lambda given: [Persist(record("x")), send("x")] if isinstance(given, Received) else []

    here = bench(script)
    here.host.boot()
    here.host.disk.failing = True
    here.host.receive(PEER, b"")
    here.schedule.run(10_000)
    assert not here.host.up
    assert "said x" not in here.diary.entries
    assert not any(isinstance(given, Persisted) for given in here.node.inputs)
    assert not here.diary.failures, "a bad disk is not the node's fault"


def test_duty_3_blocks_are_appended_then_executed_one_after_the_other() -> None:
    def answer(given: Input) -> list[Effect]:
        if not isinstance(given, Submit):
            return []
        return [effect for h in (1, 2, 3) for effect in (Append(h, block(h)), Execute(h, header(h), ()))]

    def script(node: ScriptedNode) -> None:
        node.answer = answer

    here = bench(script)
    here.host.boot()
    here.diary.entries.clear()
    here.host.submit(())
    here.schedule.run(10_000)
    assert here.diary.entries == [f"appended {h}" for h in (1, 2, 3)] + [f"executed {h}" for h in (1, 2, 3)]
    assert [g.executed.height for g in here.node.inputs if isinstance(g, BlockExecuted)] == [1, 2, 3]


def test_duty_4_checks_do_not_wait_for_the_journal() -> None:
    items = (SignatureItem(b"", b"", b"good"), SignatureItem(b"", b"", b"bad"))

    def script(node: ScriptedNode) -> None:
        node.answer = lambda given: (
            [Persist(record("x")), CheckSignatures(9, items)] if isinstance(given, Received) else []
        )

    here = bench(script, DiskModel(sync_us=(1_000_000, 1_000_000)))
    here.host.boot()
    here.host.receive(PEER, b"")
    here.schedule.run(10_000)
    assert here.node.inputs[1:] == [SignaturesChecked(9, (True, False))]


def test_duty_5_a_tick_comes_when_its_time_has_come_and_not_before() -> None:
    here = bench(lambda node: None)
    here.host.boot()
    wake = here.host.now().monotonic_ms + 50
    here.node.wake = wake
    here.host.receive(PEER, b"")

    def asleep(given: Input) -> list[Effect]:
        if isinstance(given, Tick):
            assert here.host.now().monotonic_ms >= wake
            here.node.wake = None
        return []

    here.node.answer = asleep
    here.schedule.run(49_000)
    assert Tick() not in here.node.inputs
    here.schedule.run(52_000)
    assert here.node.inputs.count(Tick()) == 1


@pytest.mark.parametrize("how", ["halt", "exception"])
def test_duty_6_after_a_halt_or_an_exception_nothing_is_stepped_or_sent(how: str) -> None:
    def answer(given: Input) -> list[Effect]:
        if how == "exception":
            raise KeyError("no such thing")
        return [send("last words"), Halt("broken_invariant", "stop"), send("after")]

    def script(node: ScriptedNode) -> None:
        node.answer = answer

    here = bench(script)
    here.host.boot()
    here.host.receive(PEER, b"")
    here.host.receive(PEER, b"")
    here.schedule.run(10_000)
    assert len(here.node.inputs) == 1
    assert not any(entry.startswith("said") for entry in here.diary.entries)
    assert len(here.diary.failures) == 1
    assert not here.host.up


def test_a_crash_loses_what_was_planned_and_the_next_life_finds_the_disk() -> None:
    def script(node: ScriptedNode) -> None:
        node.answer = lambda given: [Persist(record("x")), send("x")] if isinstance(given, Received) else []

    here = bench(script, DiskModel(keep_nothing_per_mille=1000))
    here.host.boot()
    here.host.receive(PEER, b"")
    here.schedule.run(5_000)
    here.host.receive(PEER, b"")
    here.host.fall("crashes")
    here.schedule.run(10_000)
    assert here.diary.entries.count("said x") == 1, "the second never left"
    here.host.boot()
    assert here.node.recovered.journal == (record("x"),)
    assert here.node.recovered.executed[0].height == 0


def test_the_journal_is_rotated_behind_synced_segments_and_what_came_meanwhile_stays() -> None:
    """L-24."""
    live = [JournalRecord(JournalKind.VOTE_FLOOR, b"floor")]

    def answer(given: Input) -> list[Effect]:
        if isinstance(given, Submit):
            return [Persist(record(f"old {index}")) for index in range(4)]
        if isinstance(given, Persisted) and given.count == 4:
            return [Append(1, block(1))]
        return [Persist(record("new")), send("new")] if isinstance(given, Received) else []

    def script(node: ScriptedNode) -> None:
        node.answer, node.live = answer, live

    here = bench(script, DiskModel(rotate_records=4, maintenance_us=(5_000, 5_000), sync_us=(500, 500)))
    here.host.boot()
    here.host.submit(())
    here.schedule.run(6_100)
    assert here.host.disk.blocks_synced == 1, "segments were synced for maintenance; the rotation has begun"
    here.host.receive(PEER, b"")
    here.schedule.run(20_000)
    assert here.host.counters["rotations"] == 1
    assert here.host.disk.journal == [*live, record("new")]
    assert "said new" in here.diary.entries


def test_blocks_that_the_state_lacks_are_executed_before_the_node_starts() -> None:
    """L-26."""

    def answer(given: Input) -> list[Effect]:
        return [Append(1, block(1)), Append(2, block(2))] if isinstance(given, Submit) else []

    def script(node: ScriptedNode) -> None:
        node.answer = answer

    here = bench(script)
    here.host.boot()
    here.host.submit(())
    here.host.disk.segments_synced(2, 0)
    here.host.fall("crashes")
    here.host.boot()
    assert [result.height for result in here.node.recovered.executed] == [0, 1, 2]
    assert len(here.node.recovered.blocks) == 2
