"""Memories that are lost, older than they should be, or there twice (C-24): faults, and second machines with one key.

`lost_disk` and `old_image` are faults like those of `faults`. At most one member at a time is without a memory here:
more than that is more than the network tolerates (four members), and tests of their own say what then happens.

A *twin* is a second machine with the first member's keys. The votes of both count as that member's, so the checker of
votes judges whether its key ever signed what C-10 forbids. The run is over only when the twin has stopped by itself.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from protocol.sim.disk import Disk
from protocol.sim.events import MS_US, stream
from protocol.sim.host import Host

if TYPE_CHECKING:
    from protocol.sim.faults import Fault, World
    from protocol.sim.surroundings import Surroundings
    from protocol.sim.world import World as WholeWorld

TWINS: Final = ("clone", "keys", "at-once", "old-clone")
"""A copy of the running machine; its keys on an empty disk; two new machines with the same keys, started together; a
copy from long before."""


def empty_disk(host: Host) -> Disk:
    """What a machine has that begins anew with its keys alone: a journal that knows that it is not the first."""
    disk = Disk(host.disk.model, *host.around.services.new_tables(host.setup.genesis))
    disk.forgotten = True
    return disk


def put(host: Host, disk: Disk) -> None:
    """Start a machine on another disk; a running one falls first."""
    host.fall("gets another disk")
    host.disk = disk
    host.boot()


def _all_known(world: World) -> bool:
    validators = [host for host in world.hosts if host.member is not None]
    return all(host.node is not None and host.node.status().memory == "known" for host in validators)


def lost_disk(world: World, generator: Random, duration_us: int) -> bool:
    """One member's disk is gone; it begins again with its keys."""
    host = generator.choice(world.hosts)
    if host.member is None or not _all_known(world):
        return False
    host.fall("loses its disk")
    host.disk = empty_disk(host)
    world.schedule.after(generator.randint(MS_US, duration_us), _boot, host)
    return True


def old_image(world: World, generator: Random, duration_us: int) -> bool:
    """One member's machine is put back to how it was."""
    host = generator.choice(world.hosts)
    if host.member is None or not _all_known(world):
        return False
    image = host.disk.image()

    def back() -> None:
        if _all_known(world):
            put(host, image)

    world.schedule.after(duration_us, back)
    return True


def _boot(host: Host) -> None:
    if not host.up:
        host.boot()


MEMORY_FAULTS: Final[dict[str, Fault]] = {"lost_disk": lost_disk, "old_image": old_image}
"""Beside `faults.FAULTS`."""


class Twins:
    """The second machine of a run, if its scenario has one."""

    def __init__(self, world: WholeWorld, generator: Random) -> None:
        self.world = world
        self.generator = generator
        self.kind = world.scenario.twin
        self.twin: Host | None = None
        self.started = False

    @property
    def original(self) -> Host:
        """Whose keys they are."""
        return self.world.hosts[0]

    def make(self, index: int, around: Surroundings) -> Host:
        """The second machine, off."""
        original = self.original
        disk = Disk(original.disk.model, *around.services.new_tables(original.setup.genesis))
        self.twin = Host(index, original.setup, disk, around, stream(self.generator.randrange(1 << 32), "twin"))
        self.twin.honest = False  # it stops; what it signed is judged as the original's
        return self.twin

    def begin(self, until_us: int) -> None:
        """Plan its start."""
        if self.twin is None:
            return
        schedule = self.world.schedule
        if self.kind == "at-once":
            self.original.may_stop = True
            schedule.at(self.generator.randrange(50 * MS_US), self._start, self.twin.disk)
            return
        at_us = self.generator.randrange(until_us // 4, until_us * 3 // 4)
        if self.kind == "old-clone":
            schedule.at(at_us // 2, self._copy_for, at_us)
        else:
            schedule.at(at_us, self._start, None)

    def _copy_for(self, at_us: int) -> None:
        self.world.schedule.at(at_us, self._start, self.original.disk.image())

    def _start(self, disk: Disk | None) -> None:
        assert self.twin is not None
        if disk is None:
            disk = empty_disk(self.original) if self.kind == "keys" else self.original.disk.image()
        self.started = True
        self.twin.disk = disk
        self.twin.boot()

    def end_of_faults(self) -> None:
        """Where the twin alone is left the operator turns it off, and starts the original."""
        if self.twin is not None and self.twin.up and not self.original.up:
            self.twin.fall("is turned off")

    def running(self) -> bool:
        """Whether both still run: one has to stop."""
        return self.twin is not None and (not self.started or (self.twin.up and self.original.up))
