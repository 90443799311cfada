"""Who votes changes while everything goes on: agreement, votes, durability, liveness over epochs (C-21 to C-23)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.node import envelopes, epochs, memory
from protocol.node.body import Body, Journaled, Roster
from protocol.sim.faults.driver import FaultPlan
from protocol.sim.run import make_world, run
from tests.sim.named import SCENARIOS

SHORT = replace(SCENARIOS["changes"], faults=replace(SCENARIOS["changes"].faults, until_ms=3_500))
QUIET = replace(SCENARIOS["changes-in-quiet"], faults=FaultPlan(until_ms=1_800))
HOSTILE = SCENARIOS["revenant"]


@pytest.mark.parametrize("seed", [pytest.param(14, marks=pytest.mark.long), 15])
def test_epochs_follow_each_other_under_faults(seed: int) -> None:
    """Both once restarted with fewer final blocks than acknowledged: the next epoch waited for its state."""
    report = run(SHORT, seed)
    assert report.ok, report.text()
    assert report.clients["epochs"] >= 2, report.text()
    assert report.restarts


def test_in_quiet_a_change_costs_no_view_and_old_keys_are_erased() -> None:
    world = make_world(QUIET, 3)
    world.run()
    assert world.bench.violation is None, world.bench.violation
    assert world.bench.chain.epoch >= 3
    assert not [view for epoch, view in world.bench.facts.nullified if epoch > 1]
    present = set(world.bench.facts.voters[world.bench.chain.epoch].keys)
    for host in world.hosts:
        held = {key.public for key in (host.setup.voting_key, *host.setup.more_voting_keys) if key is not None}
        assert not held & host.erased
        assert not host.erased & present


def test_keys_kept_after_their_epoch_do_no_harm() -> None:
    """C-23: a removed node that goes on voting, and whoever stole a key before it was replaced."""
    world = make_world(HOSTILE, 7)
    world.run()
    assert world.bench.violation is None, world.bench.violation
    assert world.bench.chain.epoch >= 2
    last = world.hosts[5]
    assert not last.honest
    assert not last.erased, "it gives nothing up"


@pytest.mark.long
def test_votes_are_told_apart_by_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: a node that takes messages of every epoch for the present one's is found out."""
    monkeypatch.setattr(epochs, "epoch_of", lambda _message: None)
    reports = [run(SHORT, seed) for seed in (12, 13)]
    assert any(not report.ok for report in reports)


def test_who_lost_its_memory_finds_it_again_over_epochs() -> None:
    """C-24 across epochs: seed 1 loses five disks while four epochs follow each other."""
    report = run(SCENARIOS["changes-without-memory"], 1)
    assert report.ok, report.text()
    assert report.faults["lost_disk"] >= 3
    assert report.clients["epochs"] >= 3
    assert report.hosts["memory_known"] >= 3
    assert report.hosts["amnesiac"] > report.hosts["memory_restored"], "some were amnesiac again in the next epoch"


def test_a_restart_below_an_epochs_begin_is_no_loss_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """C-24: seed 65 crashes a validator whose segments end in the epoch before the one that its journal knows.

    It took what others had seen of it in the later epoch for a hole in its memory, because it compared that with the
    epoch's first view in place of the one that its journal led to. With disks lost elsewhere that was one too many.
    """
    known: list[int] = []

    def next_epoch(body: Body, former: Roster, remembered: Journaled) -> None:
        if remembered.votes:
            known.append(body.epoch)
        beginning(body, former, remembered)

    beginning = memory.next_epoch
    monkeypatch.setattr(memory, "next_epoch", next_epoch)
    report = run(SCENARIOS["changes-without-memory"], 65)
    assert report.ok, report.text()
    assert known, "it voted in the epoch that it enters again"


def test_what_a_removed_validator_still_had_waiting_becomes_final(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-16: seed 2000002 removes a validator that has taken an envelope in and not sealed it.

    Only what came while a node sealed nothing was passed on, so this waited until it expired.
    """
    passed: list[bytes] = []

    def pass_on(body: Body, transactions: list[bytes]) -> None:
        if body.epoch and not envelopes.authors(body):
            passed.extend(transaction for transaction in transactions if transaction not in body.relays)
        passing_on(body, transactions)

    passing_on = envelopes.pass_on
    monkeypatch.setattr(envelopes, "pass_on", pass_on)
    report = run(SCENARIOS["changes-byzantine"], 2_000_002)
    assert report.ok, report.text()
    assert report.clients["changes remove"] >= 1
    assert passed, "it had something waiting"


def test_one_disk_at_a_time_is_lost_over_epochs_too() -> None:
    """Seed 3000107 had a second one lost while the first was still below the epoch: two of six, for ever."""
    report = run(SCENARIOS["changes-without-memory"], 3_000_107)
    assert report.ok, report.text()
    assert report.faults["lost_disk"] >= 2


@pytest.mark.parametrize(("topology", "seed"), [("ring", 6), ("star", 1)])
def test_observers_that_alone_join_validators_pass_batches_on(topology: str, seed: int) -> None:
    """L-14: members are voted out and their nodes stay: they are the only way between the validators that are left."""
    quiet = replace(SCENARIOS["changes-in-quiet"], topology=topology)
    report = run(quiet, seed)
    assert report.ok, report.text()
    assert report.clients["epochs"] >= 3


def test_members_vote_nobody_out_without_whom_liars_are_too_many() -> None:
    """Seed 4000008 came to two liars of six: more than anything is promised for."""
    report = run(SCENARIOS["changes-byzantine"], 4_000_008)
    assert report.ok, report.text()
    assert report.clients["epochs"] >= 2


def test_who_is_joined_to_the_others_by_observers_only_ends_its_asking() -> None:
    """C-24: in seed 5000016 two validators crash whose only channel leads to a centre that was voted out.

    A start waits three Δ with a channel to a validator, which they never had: they asked for ever, two of five.
    """
    report = run(SCENARIOS["changes-in-a-star"], 5_000_016)
    assert report.ok, report.text()
    assert report.faults["crash"] >= 2


def test_a_batch_that_was_lost_on_its_way_to_an_observer_is_fetched_by_it() -> None:
    """L-14, L-15: in seed 5000017 links break while the centre is an observer.

    Batches were announced to validators only: nobody but its author ever had such a one, and each view of a leader that
    had some failed.
    """
    report = run(SCENARIOS["changes-in-a-star"], 5_000_017)
    assert report.ok, report.text()
    assert report.faults["cut"] >= 1
