"""A history over several epochs, as a simulated network with real signatures left it: audited, checked, mended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from daemon.audit.audit import Wishes, audit
from daemon.audit.places import find_place
from daemon.store.directory import create
from daemon.store.files import OsFiles
from daemon.store.segments import Segments
from daemon.upkeep import state
from daemon.upkeep.check import Subject, check_directory
from daemon.upkeep.findings import Part, untold
from daemon.upkeep.judging import Judge, NotFinal
from daemon.upkeep.repair import repair_directory
from protocol.codec import decode, encode
from protocol.ledger.closings import Closing, closings
from protocol.ledger.genesis import Genesis, network_id
from protocol.ledger.records import Block
from protocol.sim.faults.driver import FaultPlan
from protocol.sim.run import make_world
from protocol.sim.world import World
from tests.sim.named import SCENARIOS

SHORT = replace(
    SCENARIOS["changes-in-quiet"], faults=FaultPlan(until_ms=1_600), observers=1, members=4, real_signatures=True
)


@pytest.fixture(scope="module")
def world() -> World:
    """Its first node has at least one ended epoch on its disk."""
    made = make_world(SHORT, 3)
    made.run()
    assert made.bench.violation is None, made.bench.violation
    assert made.bench.chain.epoch >= 2
    return made


def blocks_of(world: World) -> list[bytes]:
    return [stored.data for stored in world.hosts[0].disk.blocks]


def ended(world: World) -> list[Closing]:
    return closings(world.hosts[0].disk.tables)


def directory_of(path: Path, genesis: Genesis, blocks: list[bytes]) -> Path:
    create(path, network_id(genesis), bytes(16))
    segments = Segments.open(path / "segments", OsFiles(), network_id(genesis), segment_bytes=20_000)
    for height, data in enumerate(blocks, 1):
        segments.append(height, data)
    segments.sync()
    segments.close()
    made = state.Made(path / "state", genesis, Path())
    state.rebuild(made, lambda height: blocks[height - 1], len(blocks), untold)
    return path


def test_the_audit_follows_epochs(world: World, tmp_path: Path) -> None:
    """C-21, C-22: closing blocks, their successors, the sets that the state named."""
    path = directory_of(tmp_path / "data", world.genesis, blocks_of(world))
    report = audit(Wishes(world.genesis, find_place(path), scratch=tmp_path))
    assert report.differences == []
    assert report.epochs == len(ended(world)) + 1


def test_check_and_repair_follow_epochs(world: World, tmp_path: Path) -> None:
    """L-25: a lost state is made anew, and then tells the sets by which the certificates are judged."""
    path = directory_of(tmp_path / "data", world.genesis, blocks_of(world))
    subject = Subject(path, world.genesis)
    report = check_directory(subject, scratch=tmp_path)
    assert [finding for finding in report.damage if finding.part is not Part.JOURNAL] == []
    (path / "state" / "data.mdb").write_bytes(b"nothing")
    repaired = repair_directory(subject, [], tell=untold)
    assert [finding for finding in repaired.after.damage if finding.part is not Part.JOURNAL] == []


def test_certificates_of_an_epoch_are_judged_by_its_own_set(world: World) -> None:
    """C-22: by no other, and by none where it is not known."""
    blocks, chain = blocks_of(world), ended(world)
    closing = chain[0]
    certified = [at for at, data in enumerate(blocks, 1) if decode(Block, data).finalization is not None]
    later = next(height for height in certified if height > closing.height)
    data = blocks[later - 1]
    assert Judge(world.genesis, chain).judge(later, data).certified
    assert not Judge(world.genesis).judge(later, data).certified, "its set is not known"
    others = (*closing.validators.validators[:-1], replace(closing.validators.validators[-1], power=7))
    wrong = closing._replace(validators=replace(closing.validators, validators=others))
    with pytest.raises(NotFinal, match="not by the validators of epoch 2"):
        Judge(world.genesis, [wrong, *chain[1:]]).judge(later, data)


def test_a_closing_block_needs_its_certificate_and_is_the_one_that_was_told(world: World) -> None:
    """C-21."""
    blocks, chain = blocks_of(world), ended(world)
    closing = chain[0]
    bare = encode(replace(decode(Block, blocks[closing.height - 1]), finalization=None))
    with pytest.raises(NotFinal, match="no certificate of its own"):
        Judge(world.genesis, chain).judge(closing.height, bare)
    with pytest.raises(NotFinal, match="another block closed epoch 1"):
        Judge(world.genesis, [closing._replace(hash=bytes(32))]).judge(closing.height, blocks[closing.height - 1])
