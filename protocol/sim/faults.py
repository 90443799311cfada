"""What goes wrong, and when: a schedule drawn from the seed.

A scenario names faults with weights; every so often one is drawn, aimed, begun, and ended again. Each happened
fault is counted, because one that never happened is not tested. Whatever still lasts when the scenario's time
of faults is over ends then: every fault gives back what it took, cut links are healed, machines start again,
clocks and disks are repaired. From that moment on the network owes progress.

A fault is a function `(world, generator, duration_us) -> bool` that begins it and plans its end; False means
that it found nothing to do. Add one here, and its weight to a scenario.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from protocol.sim.events import MS_US, Schedule
from protocol.sim.host import Host
from protocol.sim.network import Network


class World(Protocol):
    """What a fault may touch."""

    schedule: Schedule
    network: Network
    hosts: list[Host]


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Which faults a scenario knows, and how often. Times in ms."""

    weights: tuple[tuple[str, int], ...] = ()
    interval_ms: tuple[int, int] = (50, 900)
    duration_ms: tuple[int, int] = (20, 1_500)
    until_ms: int = 6_000
    """No fault begins or lasts after this."""


Fault = Callable[[World, Random, int], bool]


class FaultDriver:
    """Draws and begins faults; counts them."""

    def __init__(self, world: World, plan: FaultPlan, generator: Random) -> None:
        self.world = world
        self.plan = plan
        self.generator = generator
        self.counts: dict[str, int] = {}
        self.until_us = plan.until_ms * MS_US
        self._names = [name for name, weight in plan.weights for _ in range(weight)]

    def begin(self) -> None:
        """Plan the first fault."""
        if self._names:
            self._next()

    def _next(self) -> None:
        low, high = self.plan.interval_ms
        self.world.schedule.after(self.generator.randint(low, high) * MS_US, self._strike)

    def _strike(self) -> None:
        left_us = self.until_us - self.world.schedule.now_us
        if left_us <= MS_US:
            return
        name = self.generator.choice(self._names)
        low, high = self.plan.duration_ms
        duration_us = min(self.generator.randint(low, high) * MS_US, left_us)
        from protocol.sim.memories import MEMORY_FAULTS

        if (FAULTS | MEMORY_FAULTS)[name](self.world, self.generator, duration_us):
            self.counts[name] = self.counts.get(name, 0) + 1
        self._next()


def _restart(host: Host) -> None:
    if not host.up:
        host.boot()


def crash(world: World, generator: Random, duration_us: int) -> bool:
    """One machine stops and starts again."""
    host = generator.choice(world.hosts)
    if not host.up:
        return False
    host.fall("crashes")
    world.schedule.after(generator.randint(MS_US, duration_us), _restart, host)
    return True


def power_cut(world: World, generator: Random, duration_us: int) -> bool:
    """All machines stop at one instant; each starts again in its own time."""
    if not any(host.up for host in world.hosts):
        return False
    for host in world.hosts:
        host.fall("loses power")
    for host in world.hosts:
        world.schedule.after(generator.randint(MS_US, min(duration_us, 300 * MS_US)), _restart, host)
    return True


def _cut_for(world: World, pairs: list[tuple[int, int]], duration_us: int) -> bool:
    pairs = [pair for pair in pairs if world.network.link(*pair) is not None]
    for source, target in pairs:
        world.network.cut(source, target)
        world.schedule.after(duration_us, world.network.heal, source, target)
    return bool(pairs)


def isolate(world: World, generator: Random, duration_us: int) -> bool:
    """One machine hears nobody and is heard by nobody."""
    one = generator.randrange(len(world.hosts))
    others = [other for other in range(len(world.hosts)) if other != one]
    return _cut_for(world, [(one, o) for o in others] + [(o, one) for o in others], duration_us)


def halves(world: World, generator: Random, duration_us: int) -> bool:
    """A partition in two, anywhere."""
    order = list(range(len(world.hosts)))
    if len(order) < 2:
        return False
    generator.shuffle(order)
    size = generator.randrange(1, len(order))
    left, right = order[:size], order[size:]
    return _cut_for(world, [(a, b) for a in left for b in right] + [(b, a) for a in left for b in right], duration_us)


def one_way(world: World, generator: Random, duration_us: int) -> bool:
    """One machine is not heard any more by some, and still hears them."""
    one = generator.randrange(len(world.hosts))
    others = [other for other in range(len(world.hosts)) if other != one]
    deaf = [other for other in others if generator.randrange(2)]
    return _cut_for(world, [(one, other) for other in deaf], duration_us)


def delay_spike(world: World, generator: Random, duration_us: int) -> bool:
    """Everything takes longer on every link."""
    extra_us = generator.choice((20, 60, 120, 250, 500)) * MS_US
    world.network.extra_us += extra_us

    def end() -> None:
        world.network.extra_us -= extra_us

    world.schedule.after(duration_us, end)
    return True


def loss(world: World, generator: Random, duration_us: int) -> bool:
    """Links lose messages (or break, where they are ordered)."""
    rate = generator.choice((10, 50, 200)) if not world.network.model.ordered else generator.choice((5, 15, 40))
    world.network.lose_per_mille += rate

    def end() -> None:
        world.network.lose_per_mille -= rate

    world.schedule.after(duration_us, end)
    return True


def clock_skew(world: World, generator: Random, duration_us: int) -> bool:
    """One wall clock is wrong: by a little, by seconds, or by a day."""
    host = generator.choice(world.hosts)
    skew_ms = generator.choice((300, 1_500, 5_000, 86_400_000)) * generator.choice((1, -1))
    host.skew_ms += skew_ms

    def end() -> None:
        host.skew_ms -= skew_ms

    world.schedule.after(duration_us, end)
    return True


def slow_disk(world: World, generator: Random, duration_us: int) -> bool:
    """Syncs of one machine take a hundred times longer."""
    host = generator.choice(world.hosts)
    if host.disk.slow_factor != 1:
        return False
    host.disk.slow_factor = 100

    def end() -> None:
        host.disk.slow_factor = 1

    world.schedule.after(duration_us, end)
    return True


def failing_sync(world: World, generator: Random, duration_us: int) -> bool:
    """The next sync of one machine fails: it stops, and is started again on a disk that works."""
    host = generator.choice(world.hosts)
    if not host.up or host.disk.failing:
        return False
    host.disk.failing = True

    def end() -> None:
        host.disk.failing = False
        _restart(host)

    world.schedule.after(duration_us, end)
    return True


def slow_work(world: World, generator: Random, duration_us: int) -> bool:
    """Checks and execution of one machine take a hundred times longer."""
    host = generator.choice(world.hosts)
    if host.work_factor != 1:
        return False
    host.work_factor = 100

    def end() -> None:
        host.work_factor = 1

    world.schedule.after(duration_us, end)
    return True


def disk_full(world: World, generator: Random, duration_us: int) -> bool:
    """One machine's disk is nearly full, and has room again later (L-28)."""
    host = generator.choice(world.hosts)
    if not host.up:
        return False
    host.pressure(full=True)
    world.schedule.after(duration_us, _has_room, host)
    return True


def _has_room(host: Host) -> None:
    host.pressure(full=False)


FAULTS: dict[str, Fault] = {
    "crash": crash,
    "power_cut": power_cut,
    "isolate": isolate,
    "halves": halves,
    "one_way": one_way,
    "delay_spike": delay_spike,
    "loss": loss,
    "clock_skew": clock_skew,
    "slow_disk": slow_disk,
    "failing_sync": failing_sync,
    "slow_work": slow_work,
    "disk_full": disk_full,
}
"""Every fault by the name that scenarios and reports use."""
