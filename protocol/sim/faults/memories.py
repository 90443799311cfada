"""Faults of memories (C-24): a disk that is gone, and a machine that is put back to how it was.

Both hit one validator, and only while every other one remembers: more than one at a time is more than a small network
tolerates, and tests of their own say what then happens. So a timetable that names them gives no more than that either.
"""

from __future__ import annotations

from random import Random

from protocol.sim.disk import Disk
from protocol.sim.events import MS_US
from protocol.sim.faults.aim import Aim, End, Hits, Kind, World
from protocol.sim.host import Host


def empty_disk(host: Host) -> Disk:
    """What a machine has that begins anew with its keys alone: a journal that knows that it is not the first."""
    disk = Disk(host.disk.model, *host.around.services.new_tables(host.setup.genesis))
    disk.forgotten = True
    return disk


def put(host: Host, disk: Disk) -> None:
    """Start a machine on another disk; a running one falls first."""
    host.fall("gets another disk")
    host.disk = disk
    host.start_again()


def _all_remember(world: World) -> bool:
    """Whether every validator runs, knows what it signed, and may sign, in the present epoch.

    Who begins again below it does not look for its memory before it has come there (C-24); and who crashed after it was
    restored remembers from then on, but votes only above its floor.
    """
    nodes = [host.node for host in world.hosts[: len(world.powers)]]
    states = [node.status() for node in nodes if node is not None]
    ready = all(status.memory == "known" and status.view > status.vote_floor for status in states)
    return ready and len(states) == len(nodes) and len({status.epoch for status in states}) == 1


def _hit(world: World, aim: Aim) -> Host | None:
    """The validator that is hit, if one can be."""
    hosts = [world.hosts[index] for index in aim.nodes[:1] if index < len(world.powers)]
    return hosts[0] if hosts and _all_remember(world) else None


def lost_disk(world: World, aim: Aim) -> End | None:
    """A validator's disk is gone; at the end it begins again with its keys."""
    host = _hit(world, aim)
    if host is None:
        return None
    host.held_down += 1
    host.fall("loses its disk")
    host.disk = empty_disk(host)

    def end() -> None:
        host.held_down -= 1
        host.start_again()

    return end


def old_image(world: World, aim: Aim) -> End | None:
    """At the end a validator's machine is put back to how it was at the beginning, if all remember then too."""
    host = _hit(world, aim)
    if host is None:
        return None
    image = host.disk.image()

    def end() -> None:
        if _all_remember(world):
            host.count("put_back")
            put(host, image)

    return end


def _draw_lost(world: World, generator: Random, lasts_us: int) -> Aim | None:
    aim = _draw_one(world, generator, lasts_us)
    return None if aim is None else Aim(nodes=aim.nodes, lasts_us=generator.randint(MS_US, lasts_us))


def _draw_one(world: World, generator: Random, lasts_us: int) -> Aim | None:
    index = generator.randrange(len(world.powers))
    return Aim(nodes=(index,), lasts_us=lasts_us) if world.hosts[index].honest and _all_remember(world) else None


KINDS = {
    "lost_disk": Kind("a validator's disk is gone; it begins again with its keys", _draw_lost, lost_disk, Hits.NODES),
    "old_image": Kind("a validator's machine is put back to an older copy of it", _draw_one, old_image, Hits.NODES),
}
