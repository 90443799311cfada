"""How messages, bytes and events a block grow with the number of validators: the same quiet load, one run each.

What is counted begins with the second final block. Before it channels are made, validators ask each other what they
remember of them (C-24), and nobody knows yet who hears whom: that is a start's, and no block's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from protocol.sim.events import MS_US
from protocol.sim.faults.driver import FaultPlan
from protocol.sim.run import make_world
from protocol.sim.scenarios import Scenario
from protocol.sim.workload import Load
from protocol.sim.world import World

SIZES = (1, 2, 3, 4, 7, 10, 31, 100)
SECONDS_MS = 2_000
LARGE = 20
"""From here on half of the time suffices: there is much in it."""
STARTED = 2
"""Blocks that are final when the counting begins."""

_QUIET = Scenario(
    "scale",
    "a steady load and no faults",
    load=Load(busy_ms=(500, 500), quiet_ms=(1, 1), pause_ms=(50, 50), envelopes=(2, 2), bad_per_mille=0),
    retry_interval_ms=500,
    relay_delay_ms=500,
    idle_interval_ms=2_000,
)


@dataclass(frozen=True, slots=True)
class Size:
    """One number of validators: what came after the start."""

    members: int
    blocks: int
    simulated_ms: int
    messages: int
    message_bytes: int
    events: int
    cpu_ms: int
    """Of this process, for all nodes together; the only number that differs each time."""

    def a_block(self) -> dict[str, int]:
        """Of each, for a block; messages and bytes are those of all nodes together."""
        blocks = max(self.blocks, 1)
        return {
            "messages": self.messages // blocks,
            "bytes": self.message_bytes // blocks,
            "events": self.events // blocks,
            "ms": self.simulated_ms // blocks,
            "cpu_ms": self.cpu_ms // blocks,
        }


def measure(members: int, seed: int) -> Size:
    """One run. A violated rule is a fault of ours."""
    until_ms = SECONDS_MS if members < LARGE else SECONDS_MS // 2
    world = make_world(replace(_QUIET, members=members, faults=FaultPlan(until_ms=until_ms)), seed)
    begun: list[Size] = []
    world.schedule.after(MS_US, _look, world, begun)
    world.run()
    assert world.bench.violation is None, world.bench.violation
    first, last = begun[0] if begun else _size(world), _size(world)
    return Size(
        members,
        last.blocks - first.blocks,
        last.simulated_ms - first.simulated_ms,
        last.messages - first.messages,
        last.message_bytes - first.message_bytes,
        last.events - first.events,
        last.cpu_ms - first.cpu_ms,
    )


def _look(world: World, begun: list[Size]) -> None:
    """Wait for the second final block."""
    if len(world.bench.chain.headers) >= STARTED:
        begun.append(_size(world))
    else:
        world.schedule.after(MS_US, _look, world, begun)


def _size(world: World) -> Size:
    schedule, network = world.schedule, world.network
    return Size(
        world.scenario.members,
        len(world.bench.chain.headers),
        schedule.now_us // MS_US,
        network.messages,
        network.bytes,
        schedule.carried_out,
        round(time.process_time() * 1000),
    )
