"""A checker that never fired is not trusted: for each, a planted bug that it catches (testing.md).

The bugs are planted from outside, by replacing a function for one test or by a switch of the simulated disk; the
product has no switch for them. `first` runs seeds until the checker in question fires and says at which; a bug has to
be found within 150.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from protocol.codec import encode
from protocol.consensus import counting, voting
from protocol.consensus.core import Core
from protocol.consensus.statements import Proposal
from protocol.crypto import log
from protocol.dissemination import wants
from protocol.ledger import blocks
from protocol.ledger.envelope import ParsedEnvelope
from protocol.ledger.execution import BlockWork
from protocol.ledger.index import Seen
from protocol.ledger.records import Receipt
from protocol.ledger.tables import Table
from protocol.node import ordering
from protocol.node.interface import BlockExecuted, Effect, Input, Now
from protocol.node.node import Node
from protocol.proofs import finality
from protocol.sim.disk import Disk, Lost
from protocol.sim.ledger_services import LedgerServices
from protocol.sim.run import make_world, report_of
from protocol.sim.world import World
from tests.sim.named import SCENARIOS

SEEDS = 150


def first(
    scenario: str,
    rules: frozenset[str],
    *,
    deaf: frozenset[str] = frozenset(),
    plant: Callable[[World], None] | None = None,
) -> World:
    """The first run in which one of `rules` is violated. Those in `deaf` are left out, so that others must see it."""
    for seed in range(SEEDS):
        world = make_world(SCENARIOS[scenario], seed)
        world.bench.leave_out(deaf)
        if plant is not None:
            plant(world)
        world.run()
        violation = world.bench.violation
        if violation is not None and violation.rule in rules:
            text = report_of(world, seed).text()
            assert violation.words in text
            assert f"papilio sim run {scenario} --seed {seed}" in text, "the one command that repeats it"
            assert "node 3" in text, "last lines of each node"
            return world
    pytest.fail(f"{SEEDS} seeds of {scenario} and none violated {sorted(rules)}")


def without_c10(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every vote is permitted, whatever was signed before."""
    monkeypatch.setattr(voting, "permits", lambda own, kind, proposal: True)


def without_nullifications(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaders and voters (C-4, C-6) look at the parent's notarization and at nothing between."""

    def parent_to_lead(core: Core) -> tuple[int | None, list[int]]:
        held = [view for view in core.notarizations if view < core.view]
        return max(held, default=core.final_view), []

    def lacks(core: Core, proposal: Proposal) -> list[int]:
        return [] if core.payload_at(proposal.parent_view) is not None else [proposal.parent_view]

    monkeypatch.setattr(Core, "parent_to_lead", parent_to_lead)
    monkeypatch.setattr(Core, "lacks", lacks)


def forget_certificates(world: World) -> None:
    """Certificates do not survive in the journal."""
    for host in world.hosts:
        host.disk.forget_certificates = True


def test_votes_c10_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    without_c10(monkeypatch)
    first("slow-links", frozenset({"votes"}))


@pytest.mark.long
def test_agreement_c10_taken_out_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    without_c10(monkeypatch)
    first("slow-links", frozenset({"agreement"}), deaf=frozenset({"votes", "soundness"}))


def test_agreement_nullifications_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The forked node notices it itself and halts (L-22); without that, the checker sees two blocks at one height."""
    without_nullifications(monkeypatch)
    seen = first("stale-leader", frozenset({"agreement", "soundness"}))
    assert seen.bench.violation is not None
    assert "fork" in seen.bench.violation.words or seen.bench.violation.rule == "agreement"


@pytest.mark.long  # `tests/consensus/test_planted.py` has the same bug in less time
def test_agreement_nullifications_taken_out_and_nobody_halts(monkeypatch: pytest.MonkeyPatch) -> None:
    without_nullifications(monkeypatch)
    first("stale-leader", frozenset({"agreement"}), deaf=frozenset({"soundness"}))


def test_liveness_certificates_left_out_of_the_journal() -> None:
    """A height that was acknowledged and is gone is seen earlier, and would end nearly every run."""
    first("power-cuts", frozenset({"liveness"}), deaf=frozenset({"durability"}), plant=forget_certificates)


def test_durability_disks_that_lose_what_they_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everyone loses everything at a power cut: what was acknowledged before is gone from all disks."""

    def plant(world: World) -> None:
        pristine = world.hosts[0].disk.tables.copy()

        def crash(disk: Disk, generator: Random) -> Lost:
            disk.journal.clear()
            disk.blocks.cut_above(0)
            disk.executed.cut_above(0)
            disk.journal_synced = disk.blocks_synced = disk.executed_synced = 0
            disk.rotating, disk.tables = None, pristine.copy()
            return Lost()

        monkeypatch.setattr(Disk, "crash", crash)

    first("power-cuts", frozenset({"durability"}), deaf=frozenset({"agreement", "votes", "liveness"}), plant=plant)


def test_soundness_workers_that_do_not_check_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    def plant(world: World) -> None:
        services = world.hosts[0].around.services
        assert isinstance(services, LedgerServices)
        monkeypatch.setattr(services, "verify", lambda public, message, signature: True)

    seen = first("quiet", frozenset({"soundness"}), plant=plant)
    assert seen.bench.violation is not None
    assert "bad signature" in seen.bench.violation.words


def test_soundness_a_node_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Node.step

    def step(node: Node, given: Input, now: Now) -> list[Effect]:
        if isinstance(given, BlockExecuted) and given.executed.height == 5:
            raise IndexError("planted")
        return whole(node, given, now)

    monkeypatch.setattr(Node, "step", step)
    seen = first("quiet", frozenset({"soundness"}))
    assert seen.bench.violation is not None
    assert "IndexError in" in seen.bench.violation.words


# -- Validity ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["expired", "duplicate"])
def test_validity_envelopes_run_that_are_to_be_skipped(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """L-7: all nodes agree on the wrong result, so agreement has nothing to say."""
    whole = BlockWork._reason_to_skip

    def careless(work: BlockWork, envelope: ParsedEnvelope, seen: Seen | None) -> str | None:
        found = whole(work, envelope, seen)
        return None if found == code else found

    monkeypatch.setattr(BlockWork, "_reason_to_skip", careless)
    first("bad-batcher", frozenset({"validity"}), deaf=frozenset({"durability"}))


def test_validity_state_that_nobody_is_charged_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-12: it shows in the state root and nowhere else."""
    monkeypatch.setattr(BlockWork, "_charge", lambda work: None)
    seen = first("quiet", frozenset({"validity"}))
    assert seen.bench.violation is not None
    assert "another state root than independently" in seen.bench.violation.words


def test_validity_receipts_stored_with_other_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-21: the leaf of the log is right, the receipt that a client would get is not."""
    whole = BlockWork._record

    def record(work: BlockWork, envelope: ParsedEnvelope, name: bytes, receipt: Receipt, position: int) -> None:
        whole(work, envelope, name, receipt, position)
        key = next(key for table, key in reversed(work._writes) if table is Table.RECEIPT)
        work._writes[Table.RECEIPT, key] = encode(replace(receipt, words="planted"))

    monkeypatch.setattr(BlockWork, "_record", record)
    seen = first("quiet", frozenset({"validity"}), deaf=frozenset({"proofs"}))
    assert seen.bench.violation is not None
    assert "stored with other bytes" in seen.bench.violation.words


def test_validity_references_that_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-18: a batch referenced twice in one block."""
    monkeypatch.setattr(blocks, "_wrong_references", lambda header, around: "")
    seen = first("bad-batcher", frozenset({"validity"}))
    assert seen.bench.violation is not None
    assert "final block at height" in seen.bench.violation.words


def test_validity_signatures_that_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-13: an envelope with a bad signature in a final block."""

    def plant(world: World) -> None:
        services = world.hosts[0].around.services
        assert isinstance(services, LedgerServices)
        monkeypatch.setattr(services, "verify", lambda public, message, signature: True)

    seen = first("quiet", frozenset({"validity"}), deaf=frozenset({"soundness"}), plant=plant)
    assert seen.bench.violation is not None
    assert "bad signature" in seen.bench.violation.words


# -- Bounds -----------------------------------------------------------------------------------------


def test_bounds_batches_that_stay_until_they_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-13: what a proposal made others fetch is kept; a leader fills their memory turn by turn."""
    monkeypatch.setattr(ordering, "shed", lambda body: None)
    seen = first("hoarder", frozenset({"bounds"}))
    assert seen.bench.violation is not None
    assert seen.bench.violation.words.startswith("batches.count_of[]")


def test_bounds_votes_of_any_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """C-18."""
    monkeypatch.setattr(counting, "in_reach", lambda core, view: True)
    seen = first("flooder", frozenset({"bounds"}))
    assert seen.bench.violation is not None
    assert "machine.core.keeper.views is" in seen.bench.violation.words


def test_bounds_wants_without_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-15, L-31: whatever is announced is wanted."""
    monkeypatch.setattr(wants, "WANTS_MAX", 10**6)
    seen = first("flooder", frozenset({"bounds"}))
    assert seen.bench.violation is not None
    assert "batch_wants.missing is" in seen.bench.violation.words


# -- Proofs -----------------------------------------------------------------------------------------


def test_proofs_a_verifier_that_checks_no_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-21: some altered byte is in a signature."""
    monkeypatch.setattr(finality, "verify_message", lambda public, message, signature: True)
    seen = first("real-signatures", frozenset({"proofs"}))
    assert seen.bench.violation is not None
    assert "the product's verifier believes the proof of receipt" in seen.bench.violation.words


def test_proofs_a_verifier_that_does_not_look_into_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-21: a liar's receipt passes."""
    monkeypatch.setattr(log, "verify_inclusion", lambda *arguments: True)
    seen = first("false-executor", frozenset({"proofs"}))
    assert seen.bench.violation is not None
    assert "the product's verifier believes" in seen.bench.violation.words


def test_proofs_paths_that_lead_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-21: true receipts that can't be proven."""
    whole = log.inclusion_proof
    monkeypatch.setattr(log, "inclusion_proof", lambda get, index, size: whole(get, index, size)[::-1])
    seen = first("quiet", frozenset({"proofs"}))
    assert seen.bench.violation is not None
    assert "an independent verifier refuses the true proof" in seen.bench.violation.words
