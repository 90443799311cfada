"""Nodes that join by a snapshot in simulated networks, those that prune, and the checkers that look on (L-7, L-20)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from protocol.apps.evidence.records import Evidence
from protocol.codec import decode, encode, kind_of
from protocol.ledger.added import AddedPage, is_page
from protocol.ledger.closings import closings
from protocol.ledger.genesis import Parameters
from protocol.ledger.index import read_base
from protocol.ledger.records import Header
from protocol.ledger.tables import Reader
from protocol.sim.checkers.joiner_bounds import JOINER_BOUNDS
from protocol.sim.faults.aim import Aim
from protocol.sim.faults.driver import FaultPlan
from protocol.sim.run import make_world, report_of, run
from protocol.sim.scenarios import Scenario
from protocol.sim.snapshots import MemorySnapshots
from protocol.sim.tables import sizes
from protocol.sim.timetable import At
from protocol.sim.world import World
from protocol.snapshot import installing, keeping, offers, pieces, window
from protocol.snapshot.keeping import Blocks
from protocol.snapshot.offers import Offered
from protocol.wire.snapshot import SnapshotOffer, TriePairs
from tests.sim.named import SCENARIOS
from tests.snapshot.world import World as JoinersWorld
from tests.snapshot.world import history

SECOND_US = 1_000_000
JOINS = SCENARIOS["joins-by-snapshot"]
ACROSS = SCENARIOS["snapshot-across-changes"]
LATE = At("crash", Aim(nodes=(2,), lasts_us=5 * SECOND_US // 2), time_us=0)
SMALL = replace(
    JOINS,
    members=2,
    observers=1,
    envelope_ttl_max_ms=1_000,
    load=replace(JOINS.load, lifetime_ms=700),
    storage=replace(JOINS.storage, by_snapshot=(2,), pruned=()),
    faults=FaultPlan(until_ms=3_000),
    timetable=(LATE,),
)
"""Two members who are never disturbed, and an observer that is set up later."""


def seen(scenario: Scenario, seed: int = 1) -> World:
    world = make_world(scenario, seed)
    world.run()
    return world


def words_of(world: World, rule: str) -> str:
    """What was seen, which has to be of this rule."""
    violation = world.bench.violation
    assert violation is not None
    assert violation.rule == rule, violation
    return violation.words


# -- Runs -------------------------------------------------------------------------------------------


def test_a_late_node_has_the_state_and_the_newest_blocks_and_goes_on() -> None:
    world = seen(SMALL)
    report = report_of(world, 1)
    assert report.ok, report.text()
    assert report.done == {"snapshot_joined": 1}
    assert report.missing == ()
    first, late = world.hosts[0].disk, world.hosts[2].disk
    base = read_base(late.tables)
    assert base is not None
    assert 1 < base.first_height == late.blocks.first <= base.height < late.blocks.last == first.blocks.last
    assert first.blocks.first == 1
    assert late.executed.first == base.height


def test_joining_goes_on_after_crashes_in_its_middle() -> None:
    """By the timetable joiners crash while they gather, and a peer that serves them does."""
    report = run(JOINS, 100)
    assert report.ok, report.text()
    assert report.done["snapshot_joined"] == 2, report.text()
    assert report.hosts["snapshot_accepted"] >= 2
    hit = [happened for happened in report.happened if happened.fault == "crash" and happened.aim.nodes == (4,)]
    assert len(hit) >= 3, "it was not there yet, and fell twice while it gathered"


def test_a_source_that_dropped_the_snapshot_in_silence_is_not_waited_for() -> None:
    """In seed 9000117 a joiner is cut off while it gathers, and three newer ones are made meanwhile."""
    report = run(JOINS, 9_000_117)
    assert report.ok, report.text()
    assert report.done["snapshot_joined"] == 2, report.text()
    assert report.hosts["snapshot_given_up"] == 1


@pytest.mark.parametrize("seed", [2])
def test_joined_nodes_follow_the_validators_through_further_epochs(seed: int) -> None:
    """C-21 to C-23: ends of epochs before the snapshot are kept beside, those after it happen on the new node."""
    world = seen(ACROSS, seed)
    report = report_of(world, seed)
    assert report.ok, report.text()
    assert report.done["snapshot_joined"] == 2, report.text()
    assert report.clients["epochs"] >= 3
    for host in world.hosts[5:]:
        base = read_base(host.disk.tables)
        assert base is not None
        ended = closings(host.disk.tables)
        assert len(ended) == report.clients["epochs"] - 1
        assert [epoch for epoch in host.disk.ended if epoch > len(ended)] == []
        assert any(closing.height > base.height for closing in ended), "some ended after it had joined"


def test_a_run_in_which_nobody_could_join_is_told_as_missing() -> None:
    """As of a fault that never happened: the run is whole, and says nothing about snapshots."""
    slots = replace(SMALL.storage, snapshot_interval_ms=10**9)
    report = run(replace(SMALL, storage=slots), 1)
    assert report.ok, report.text()
    assert report.done == {}
    assert report.missing == ("snapshot_joined",)
    assert "never happened: snapshot_joined" in report.text()
    assert report.hosts["snapshot_not_offered"] == 1, "it began with the first block"


def test_a_disk_that_was_lost_is_filled_by_a_snapshot_and_its_validator_remembers_nothing() -> None:
    """C-24: the state comes from a snapshot, what was signed from the others."""
    lost = At("lost_disk", Aim(nodes=(3,), lasts_us=SECOND_US // 5), time_us=3 * SECOND_US)
    scenario = replace(
        JOINS,
        observers=0,
        storage=replace(JOINS.storage, by_snapshot=(3,), pruned=()),
        faults=FaultPlan(until_ms=4_500),
        timetable=(lost,),
        own_disk_suffices=False,
    )
    world = seen(scenario)
    report = report_of(world, 1)
    assert report.ok, report.text()
    assert report.faults == {"lost_disk": 1}
    assert report.done == {"snapshot_joined": 1}, report.text()
    assert report.hosts["memory_known"] == 1, report.text()
    assert world.hosts[3].disk.blocks.first > 1


def test_old_blocks_go_where_nobody_needs_them() -> None:
    world = seen(replace(SMALL, storage=replace(SMALL.storage, pruned=(1,)), faults=FaultPlan(until_ms=5_000)))
    report = report_of(world, 1)
    assert report.ok, report.text()
    assert report.done["pruned"] > 0
    assert world.hosts[1].disk.blocks.first > 1


# -- Planted bugs -------------------------------------------------------------------------------------


def tampered(data: bytes) -> bytes:
    """Pairs, with another digest where there is evidence of a client's."""
    if kind_of(data) != kind_of(encode(TriePairs(()))):
        return data
    pairs = decode(TriePairs, data).pairs
    return encode(TriePairs(tuple([replace(p, value=other(p.value)) if is_page(p.key) else p for p in pairs])))


def other(value: bytes) -> bytes:
    records = [
        replace(one, value=encode(replace(decode(Evidence, one.value), digest=b"!" * 32)))
        for one in decode(AddedPage, value).records
    ]
    return encode(AddedPage(tuple(records)))


def with_tampered_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """All peers answer with values that are not the state's, and the joiner looks at no hash."""
    whole = MemorySnapshots.piece

    def piece(source: MemorySnapshots, height: int, prefix: bytes) -> bytes | None:
        data = whole(source, height, prefix)
        return None if data is None else tampered(data)

    monkeypatch.setattr(MemorySnapshots, "piece", piece)
    monkeypatch.setattr(pieces, "check", lambda prefix, hashed, data: pieces.children_of(prefix, data))


def test_a_joiner_that_does_not_check_pieces_notices_it_when_it_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    with_tampered_pieces(monkeypatch)
    words = words_of(seen(SMALL), "soundness")
    assert "is damaged" in words or "another root" in words


def test_snapshots_pairs_that_are_checked_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """And if that was not looked at either, the checker computes the root of all pairs by its definition."""
    with_tampered_pieces(monkeypatch)

    def believed(get: object, put_pairs: object, put_nodes: object) -> bytes:
        def walk(prefix: bytes) -> None:
            data = get(prefix)  # type: ignore[operator]
            for below in pieces.children_of(prefix, data):
                walk(below.prefix)
            if not pieces.children_of(prefix, data):
                put_pairs(pieces.read_pairs(prefix, data))  # type: ignore[operator]

        walk(b"")
        return AnyRoot()

    monkeypatch.setattr(pieces, "raise_trie", believed)
    assert "are not the state of height" in words_of(seen(SMALL), "snapshots")


class AnyRoot(bytes):
    """Equal to every root."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = bytes.__hash__


def test_snapshots_an_offer_that_nothing_proves(monkeypatch: pytest.MonkeyPatch) -> None:
    """C-22: a finalization that nobody signed, taken over by a joiner that does not look at it."""
    whole = MemorySnapshots.offers

    def forged(source: MemorySnapshots) -> Sequence[SnapshotOffer]:
        return [_with_forged_signatures(offer) for offer in whole(source)]

    monkeypatch.setattr(MemorySnapshots, "offers", forged)
    monkeypatch.setattr(offers, "verify_header", lambda *arguments: None)
    assert "came with a finalization that does not prove it" in words_of(seen(SMALL), "snapshots")


def _with_forged_signatures(offer: SnapshotOffer) -> SnapshotOffer:
    assert offer.finalization is not None
    signatures = tuple(bytes(64) for _ in offer.finalization.signatures)
    return replace(offer, finalization=replace(offer.finalization, signatures=signatures))


def test_snapshots_envelopes_that_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-7: they could become final a second time, which the next blocks alone would hardly show."""
    monkeypatch.setattr(installing.Installing, "_remember", lambda *arguments: None)
    assert "what is remembered of envelopes" in words_of(seen(SMALL), "snapshots")


def test_snapshots_a_window_that_is_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-7, L-11: blocks by their heights alone, and not by their time."""

    def is_needed(offered: Offered, parameters: Parameters, state_time_ms: int | None, header: Header) -> bool:
        return state_time_ms is None or header.height >= offered.height - 1

    monkeypatch.setattr("protocol.snapshot.gathering.is_needed", is_needed)
    assert window.is_needed is not is_needed
    words_of(seen(SMALL), "snapshots")


def test_snapshots_a_pruning_that_takes_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_arguments: Reader | Blocks | Parameters | Iterable[int]) -> list[tuple[int, str]]:
        return []

    monkeypatch.setattr(keeping, "_needed", nothing)
    scenario = replace(SMALL, storage=replace(SMALL.storage, pruned=(1,), by_snapshot=()), timetable=())
    assert "blocks begin at" in words_of(seen(scenario), "snapshots")


# -- Bounds -------------------------------------------------------------------------------------------


def test_every_table_of_a_joiner_has_a_bound() -> None:
    """Whoever adds a table says in `JOINER_BOUNDS` how large it may get; a line there is of a table that there is."""
    there = history()
    world = JoinersWorld(there, {bytes([65 + index]) * 32: there.answer for index in range(3)})
    found: set[str] = set()
    step = world.joining.step

    def looked(*arguments: object) -> object:
        effects = step(*arguments)  # type: ignore[arg-type]
        found.update(sizes(world.joining))
        return effects

    world.joining.step = looked  # type: ignore[assignment,method-assign]
    world.connect()
    world.run()
    assert world.joining.complete
    found -= {"_staged._staged", "gathering.staged._staged"}  # the disk
    assert not found - set(JOINER_BOUNDS), "tables without a bound"
    assert set(JOINER_BOUNDS) - found <= {"peers[].blocks.parts[]", "peers[].blocks.pending[].batches"}
