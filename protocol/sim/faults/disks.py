"""Faults of disks: slow, failing, full, unreadable, damaged. What a crash does to a disk stands in `disk`."""

from __future__ import annotations

from random import Random

from protocol.sim.faults.aim import Aim, Amount, End, Hits, Kind, World, nodes_of, nothing, one_that_is_up
from protocol.sim.host import Host


def slow_disk(world: World, aim: Aim) -> End | None:
    """Syncs take so many times longer."""
    hosts = [host for host in nodes_of(world, aim) if host.disk.slow_factor == 1]
    for host in hosts:
        host.disk.slow_factor = aim.amount

    def end() -> None:
        for host in hosts:
            host.disk.slow_factor = 1

    return end if hosts else None


def failing_sync(world: World, aim: Aim) -> End | None:
    """The next sync fails: the node stops, and is started again on a disk that works."""
    hosts = [host for host in nodes_of(world, aim) if host.up and not host.disk.failing]
    for host in hosts:
        host.disk.failing = True

    def end() -> None:
        for host in hosts:
            host.disk.failing = False
            host.start_again()

    return end if hosts else None


def disk_full(world: World, aim: Aim) -> End:
    """Disks are nearly full, and have room again later (L-28)."""
    hosts = nodes_of(world, aim)
    for host in hosts:
        host.fill(1)

    def end() -> None:
        for host in hosts:
            host.fill(-1)

    return end


def read_error(world: World, aim: Aim) -> End:
    """No block can be read: the node has nothing to give to those who ask."""
    hosts = nodes_of(world, aim)
    for host in hosts:
        host.disk.unreadable += 1

    def end() -> None:
        for host in hosts:
            host.disk.unreadable -= 1

    return end


def damaged_segment(world: World, aim: Aim) -> End | None:
    """A bit flips in one old block: found when it is read, never served, and not repaired by itself.

    Only where every other node has a whole copy, so that no block is lost for all.
    """
    height = aim.amount
    whole = all(height not in host.disk.damaged for host in world.hosts)
    hit = [host for host in nodes_of(world, aim)[:1] if _has_synced(host, height)]
    for host in hit if whole else ():
        host.disk.damaged[height] = None
        host.count("damaged")
    return nothing if hit and whole else None


def _draw_one(world: World, generator: Random, lasts_us: int) -> Aim:
    return Aim(nodes=(generator.randrange(len(world.hosts)),), lasts_us=lasts_us)


def _draw_slow(world: World, generator: Random, lasts_us: int) -> Aim:
    return Aim(nodes=(generator.randrange(len(world.hosts)),), amount=100, lasts_us=lasts_us)


def _has_synced(host: Host, height: int) -> bool:
    return host.disk.blocks.at(height) is not None and height <= host.disk.executed_synced


def _draw_damage(world: World, generator: Random, lasts_us: int) -> Aim | None:
    del lasts_us  # nobody repairs it
    host = generator.choice(world.hosts)
    if len(world.hosts) < 4 or host.disk.executed_synced < 1:
        return None
    height = generator.randint(1, host.disk.executed_synced)
    return Aim(nodes=(host.index,), amount=height)


KINDS = {
    "slow_disk": Kind("syncs take long on one machine", _draw_slow, slow_disk, Hits.NODES, Amount.FACTOR, 100),
    "failing_sync": Kind("a sync fails, and the node stops", one_that_is_up, failing_sync, Hits.NODES),
    "disk_full": Kind("a disk is full, and has room again", one_that_is_up, disk_full, Hits.NODES),
    "read_error": Kind("a machine cannot read its blocks", _draw_one, read_error, Hits.NODES),
    "damaged_segment": Kind("a bit flips in an old block", _draw_damage, damaged_segment, Hits.NODES, Amount.BLOCK, 1),
}
