"""Checkers must catch what they are for: each rule taken out breaks a world within 150 seeds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol.consensus import core as core_module
from protocol.consensus import voting
from protocol.consensus.statements import Proposal, VoteKind
from tests.consensus.harness import World

SEEDS = 150


def stormy(seed: int) -> World:
    """Delays around the timeouts, cuts, and restarts: where a missing rule shows."""
    world = World(4, seed, loss=0.15, delay=(1, 260))
    world.start()
    for _ in range(10):
        one, other = world.random.sample(range(4), 2)
        world.cut = {(one, other)} if world.random.random() < 0.5 else set()
        world.run(world.now + world.random.randint(50, 700))
    return world


def first_failure(world_of: Callable[[int], World]) -> int | None:
    for seed in range(SEEDS):
        world = world_of(seed)
        try:
            world.check_votes()
            world.check_agreement()
        except AssertionError:
            return seed
    return None


def test_without_c10_the_checkers_fire(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(own: core_module.Own, kind: VoteKind, proposal: Proposal | None) -> bool:
        if kind is VoteKind.NOTARIZE:
            return own.notarized is None and proposal is not None
        return (own.nullified if kind is VoteKind.NULLIFY else own.finalized) is None

    monkeypatch.setattr(voting, "permits", careless)
    assert first_failure(stormy) is not None


def test_without_the_nullifications_of_c4_and_c6_the_checkers_fire(monkeypatch: pytest.MonkeyPatch) -> None:
    def any_parent(core: core_module.Core) -> tuple[int | None, list[int]]:
        return core.final_view, []

    def nothing_lacks(core: core_module.Core, proposal: Proposal) -> list[int]:
        return [] if core.payload_at(proposal.parent_view) is not None else [proposal.parent_view]

    monkeypatch.setattr(core_module.Core, "parent_to_lead", any_parent)
    monkeypatch.setattr(core_module.Core, "lacks", nothing_lacks)
    assert first_failure(stormy) is not None


def test_without_certificates_in_the_journal_power_cuts_are_not_survived() -> None:
    """Views nullified since the last final one can't be bridged when nobody remembers their certificates."""
    assert [stuck_after_power_cut(seed, journal_certificates=True) for seed in range(10)] == [False] * 10
    assert any(stuck_after_power_cut(seed, journal_certificates=False) for seed in range(SEEDS))


def stuck_after_power_cut(seed: int, *, journal_certificates: bool) -> bool:
    world = World(4, seed, loss=0.2, delay=(1, 220))
    world.journal_certificates = journal_certificates
    world.start()
    world.run(1000 + seed * 7)
    for index in range(4):
        world.crash(index)
    world.loss, world.delay = 0.0, (1, 20)
    for index in range(4):
        world.restart(index)
    before = max(world.final_views())
    world.run(world.now + 60 * 100)
    return min(world.final_views()) <= before
