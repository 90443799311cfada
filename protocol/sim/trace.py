"""A trace of a run, for a picture of it: views, leaders and final heights of each node over time, when it ran, and
which faults lasted when.

A trace looks at each node after each of its steps and keeps what has changed. It changes nothing: a run with a trace
is the run without. It is bounded: of a node that changes more often than `POINTS_MAX` times the later changes are left
out, and said so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.sim.events import MS_US
from protocol.sim.faults.driver import Happened
from protocol.sim.host import Host
from protocol.sim.world import World

POINTS_MAX = 20_000


@dataclass(slots=True)
class Lane:
    """One node. Times in ms from the start of the run."""

    index: int
    honest: bool
    validator: bool
    views: list[tuple[int, tuple[int, int], int]] = field(default_factory=list)
    """(time, (epoch, view), its leader), at each change."""
    heights: list[tuple[int, int]] = field(default_factory=list)
    """(time, final height), at each change."""
    lives: list[tuple[int, int | None]] = field(default_factory=list)
    """(from, to) of each life; None: still runs at the end."""
    cut_short: bool = False


@dataclass(slots=True)
class Trace:
    """All lanes, and what went wrong."""

    lanes: list[Lane]
    happened: list[Happened]
    end_ms: int = 0
    calm_ms: int | None = None
    """When the last fault was over."""
    done_ms: int | None = None
    """When nothing was owed any more."""
    nullified: list[tuple[int, int]] = field(default_factory=list)
    """(epoch, view)."""


class Tracer:
    """Looks at all nodes of a world while it runs: attach, run, then `trace`."""

    def __init__(self, world: World) -> None:
        self.world = world
        validators = len(world.powers)
        self.lanes = [Lane(host.index, host.honest, host.index < validators) for host in world.hosts]
        self._lives = [0] * len(world.hosts)
        for host in world.hosts:
            host.looker = self.look

    def look(self, host: Host) -> None:
        """Keep what has changed at this node."""
        node, lane, now_ms = host.node, self.lanes[host.index], host.around.schedule.now_us // MS_US
        if node is None:
            return
        status = node.status()
        if len(lane.views) >= POINTS_MAX or len(lane.heights) >= POINTS_MAX:
            lane.cut_short = True
            return
        if not lane.views or lane.views[-1][1] != (status.epoch, status.view) or self._lives[host.index] != host.life:
            lane.views.append((now_ms, (status.epoch, status.view), self.world.leader_of(status)))
        if not lane.heights or lane.heights[-1][1] != status.final_height:
            lane.heights.append((now_ms, status.final_height))
        self._lives[host.index] = host.life

    def trace(self) -> Trace:
        """What was seen."""
        world = self.world
        end_ms = world.schedule.now_us // MS_US
        for lane, host in zip(self.lanes, world.hosts, strict=True):
            lane.lives = [
                (begin_us // MS_US, None if end_us is None else end_us // MS_US) for begin_us, end_us in host.lives
            ]
        return Trace(
            self.lanes,
            world.faults.happened,
            end_ms,
            None if world.calm_us is None else world.calm_us // MS_US,
            None if world.done_us is None else world.done_us // MS_US,
            sorted(world.bench.facts.nullified),
        )
