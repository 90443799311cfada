"""A second machine with the first member's keys (C-24): an accident of operations, not a lie.

Both run the honest program. The votes of both count as that member's, so the checker of votes judges whether its key
ever signed what C-10 forbids. The run is over only when one of the two has stopped by itself. (The actor `twins` is the
other thing: an operator who starts both again and again; it is held to nothing.)

How it comes about is the scenario's `twin`, one of `TWINS`.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from protocol.sim.disk import Disk
from protocol.sim.events import MS_US
from protocol.sim.faults.memories import empty_disk
from protocol.sim.host import Host

if TYPE_CHECKING:
    from protocol.sim.world import World

TWINS: Final = {
    "clone": "a copy of the running machine is started beside it",
    "keys": "its keys alone are copied to a machine with an empty disk",
    "at-once": "two new machines with the same keys are started together",
    "old-clone": "a copy from long before is started beside it",
}
"""Kinds of twin, in words."""


class Twin:
    """The second machine of a run."""

    def __init__(self, world: World, host: Host, generator: Random) -> None:
        self.world = world
        self.host = host
        self.generator = generator
        self.kind = world.scenario.twin
        assert self.kind in TWINS, "the form of scenarios knows no other"
        self.started = False
        host.honest = False  # it stops; what it signed is judged as the original's
        host.held_down += 1

    @property
    def original(self) -> Host:
        """Whose keys they are."""
        return self.world.hosts[0]

    def begin(self, until_us: int) -> None:
        """Plan its start; faults happen until then."""
        schedule = self.world.schedule
        if self.kind == "at-once":
            self.original.may_stop = True
            schedule.at(self.generator.randrange(50 * MS_US), self._start, self.host.disk)
            return
        at_us = self.generator.randrange(until_us // 4, until_us * 3 // 4)
        if self.kind == "old-clone":
            schedule.at(at_us // 2, self._copy_for, at_us)
        else:
            schedule.at(at_us, self._start, None)

    def _copy_for(self, at_us: int) -> None:
        self.world.schedule.at(at_us, self._start, self.original.disk.image())

    def _start(self, disk: Disk | None) -> None:
        if disk is None:
            disk = empty_disk(self.original) if self.kind == "keys" else self.original.disk.image()
        self.started = True
        self.host.disk = disk
        self.host.held_down -= 1
        self.host.start_again()

    def end_of_faults(self) -> None:
        """It is not started again; and where it alone is left its operator turns it off, so the original can start."""
        self.host.held_down += 1
        if self.host.up and not self.original.up:
            self.host.fall("is turned off")

    def runs_beside(self) -> bool:
        """Whether both still run, or it is still to come: one has to stop."""
        return not self.started or (self.host.up and self.original.up)
