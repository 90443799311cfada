"""Whole runs of the machine under faults: agreement, votes, progress."""

from __future__ import annotations

import pytest

from tests.consensus.harness import World

QUIET_MS = 4000


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_a_quiet_network_finalizes_and_nullifies_nothing(count: int) -> None:
    world = World(count, seed=count)
    world.start()
    world.run(3000)
    assert min(world.final_views()) > 20
    assert not any(member.machine.core.nullifications for member in world.members)
    world.check_votes()
    world.check_agreement()


@pytest.mark.parametrize("seed", range(30))
def test_loss_and_long_delays_never_fork_and_end(seed: int) -> None:
    world = World(4, seed, loss=0.2, delay=(1, 250))
    world.start()
    world.run(8000)
    world.loss, world.delay = 0.0, (1, 20)
    before = max(world.final_views())
    world.run(8000 + 44 * 100)
    assert min(world.final_views()) > before
    world.check_votes()
    world.check_agreement()


@pytest.mark.parametrize("seed", range(30))
def test_crashes_and_power_cuts_lose_nothing(seed: int) -> None:
    """C-10, L-24: restarts replay what was signed; the network goes on."""
    world = World(4, seed, delay=(1, 60))
    world.start()
    for _ in range(12):
        world.run(world.now + world.random.randint(20, 400))
        victims = list(range(4)) if world.random.random() < 0.4 else [world.random.randrange(4)]
        for victim in victims:
            world.crash(victim)
        world.run(world.now + world.random.randint(0, 300))
        for victim in victims:
            world.restart(victim)
    world.delay = (1, 20)
    before = max(world.final_views())
    world.run(world.now + 44 * 100)
    assert min(world.final_views()) > before
    world.check_votes()
    world.check_agreement()


@pytest.mark.parametrize("seed", range(20))
def test_partitions_heal(seed: int) -> None:
    world = World(4, seed, delay=(1, 40))
    world.start()
    for _ in range(8):
        one, other = world.random.sample(range(4), 2)
        world.cut = {(one, other), (other, one)} | (
            {(a, b) for a in (0, 1) for b in (2, 3)} if world.random.random() < 0.5 else set()
        )
        world.run(world.now + world.random.randint(50, 1500))
    world.cut = set()
    before = max(world.final_views())
    world.run(world.now + 60 * 100)
    assert min(world.final_views()) > before
    world.check_votes()
    world.check_agreement()


def test_one_dead_of_four_stops_nothing() -> None:
    """C-13: after its first silent turns a dead leader is not waited for."""
    world = World(4, seed=5)
    world.start()
    world.run(1000)
    world.crash(2)
    world.run(3000)
    before = min(view for index, view in enumerate(world.final_views()) if index != 2)
    start = world.now
    world.run(start + 2000)
    after = min(view for index, view in enumerate(world.final_views()) if index != 2)
    assert after - before > 20, "the dead leader's turns cost nothing"


def test_two_dead_of_four_stop_and_one_back_goes_on() -> None:
    world = World(4, seed=6)
    world.start()
    world.run(1000)
    world.crash(1)
    world.crash(2)
    world.run(3000)
    stuck = world.final_views()[0]
    world.run(60_000)
    assert world.final_views()[0] <= stuck + 1
    world.restart(1)
    world.run(60_000 + 44 * 100)
    assert world.final_views()[0] > stuck + 1
    world.check_votes()
    world.check_agreement()
