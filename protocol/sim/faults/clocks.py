"""Faults of wall clocks. Time is used for progress only: no clock may cost more than time."""

from __future__ import annotations

from random import Random

from protocol.sim.events import MS_US
from protocol.sim.faults.aim import Aim, Amount, End, Hits, Kind, World, nodes_of
from protocol.sim.host import Host

DAY_MS = 86_400_000
YEAR_MS = 365 * DAY_MS
LOOK_US = 10 * MS_US


def clock_skew(world: World, aim: Aim) -> End:
    """Wall clocks are wrong by so much."""
    hosts = nodes_of(world, aim)
    for host in hosts:
        host.skew_ms += aim.amount

    def end() -> None:
        for host in hosts:
            host.skew_ms -= aim.amount

    return end


def quorum_ahead(world: World, aim: Aim) -> End:
    """A quorum's clocks run ahead until one block has that time; then all clocks are right again.

    From then on the chain is ahead of every clock, for as long as the clocks were.
    """
    begin_ms = world.chain_time_ms()
    ended = [False]
    end_skew = clock_skew(world, aim)

    def end() -> None:
        if not ended[0]:
            ended[0] = True
            end_skew()

    def look() -> None:
        if world.chain_time_ms() >= begin_ms + aim.amount // 2:
            end()
        elif not ended[0]:
            world.schedule.after(LOOK_US, look)

    look()
    return end


def _draw_skew(world: World, generator: Random, lasts_us: int) -> Aim:
    host: Host = generator.choice(world.hosts)
    skew_ms = generator.choice((300, 1_500, 5_000, DAY_MS)) * generator.choice((1, -1))
    return Aim(nodes=(host.index,), amount=skew_ms, lasts_us=lasts_us)


def _draw_quorum(world: World, generator: Random, lasts_us: int) -> Aim | None:
    if not world.chain_time_ms() or world.chain_time_ms() > world.hosts[0].now().wall_ms + YEAR_MS // 2:
        return None  # nothing is final yet, or a former one was a year ahead already
    order = list(range(len(world.powers)))
    generator.shuffle(order)
    quorum, power, nodes = 2 * sum(world.powers) // 3 + 1, 0, []
    for index in order:
        if power < quorum:
            nodes.append(index)
            power += world.powers[index]
    return Aim(nodes=tuple(nodes), amount=YEAR_MS, lasts_us=lasts_us)


KINDS = {
    "clock_skew": Kind("a wall clock is wrong", _draw_skew, clock_skew, Hits.NODES, Amount.BY, DAY_MS),
    "quorum_ahead": Kind(
        "a quorum's clocks are ahead for one block", _draw_quorum, quorum_ahead, Hits.NODES, Amount.BY, YEAR_MS
    ),
}
