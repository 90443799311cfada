"""Faults of machines: they stop, lose power, are frozen, or take long."""

from __future__ import annotations

from random import Random

from protocol.sim.events import MS_US
from protocol.sim.faults.aim import Aim, Amount, End, Hits, Kind, World, nodes_of, nothing, one_that_is_up
from protocol.sim.host import Host


def _back(host: Host) -> None:
    host.held_down -= 1
    host.start_again()


def _draw_crash(world: World, generator: Random, lasts_us: int) -> Aim | None:
    aim = one_that_is_up(world, generator, lasts_us)
    return None if aim is None else Aim(nodes=aim.nodes, lasts_us=generator.randint(MS_US, lasts_us))


def _fall(world: World, aim: Aim, words: str, *, in_order: bool) -> End:
    hosts = nodes_of(world, aim)
    for host in hosts:
        host.held_down += 1
        if in_order and host.up:
            host.disk.sync_all()
        host.fall(words)

    def end() -> None:
        for host in hosts:
            _back(host)

    return end


def crash(world: World, aim: Aim) -> End:
    """Machines stop at once, and start again."""
    return _fall(world, aim, "crashes", in_order=False)


def stop(world: World, aim: Aim) -> End:
    """Nodes are stopped in order, so that nothing written is lost, and start again."""
    return _fall(world, aim, "is stopped", in_order=True)


def _draw_power_cut(world: World, generator: Random, lasts_us: int) -> Aim | None:
    if not any(host.up for host in world.hosts):
        return None
    order = [host.index for host in world.hosts]
    generator.shuffle(order)
    return Aim(nodes=tuple(order), lasts_us=generator.randint(MS_US, min(lasts_us, 300 * MS_US)))


def power_cut(world: World, aim: Aim) -> End:
    """All at one instant; they start again one after the other, the last at the end."""
    hosts = nodes_of(world, aim)
    for host in hosts:
        host.held_down += 1
        host.fall("loses power")
    for place, host in enumerate(hosts, 1):
        world.schedule.after(aim.lasts_us * place // len(hosts), _back, host)
    return nothing


def pause(world: World, aim: Aim) -> End | None:
    """The process is frozen with its memory, as by SIGSTOP; its connections outlast it for as long as those of TCP."""
    lives = [(host, host.freeze()) for host in nodes_of(world, aim) if host.up]
    cuts = [
        (host.index, other.index)
        for host, _ in lives
        for other in world.hosts
        if world.network.link(host.index, other.index) is not None
    ]
    if not lives:
        return None
    for one, other in cuts:
        world.network.cut(one, other)
        world.network.cut(other, one)

    def end() -> None:
        for host, life in lives:
            host.thaw(life)
        for one, other in cuts:
            world.network.heal(one, other)
            world.network.heal(other, one)

    return end


def slow_work(world: World, aim: Aim) -> End | None:
    """Checks and execution take so many times longer."""
    hosts = [host for host in nodes_of(world, aim) if host.work_factor == 1]
    for host in hosts:
        host.work_factor = aim.amount

    def end() -> None:
        for host in hosts:
            host.work_factor = 1

    return end if hosts else None


def _draw_slow(world: World, generator: Random, lasts_us: int) -> Aim | None:
    return Aim(nodes=(generator.randrange(len(world.hosts)),), amount=100, lasts_us=lasts_us)


KINDS = {
    "crash": Kind("a machine stops at once and starts again", _draw_crash, crash, Hits.NODES),
    "stop": Kind("a node is stopped in order and started again", _draw_crash, stop, Hits.NODES),
    "power_cut": Kind("all machines lose power at one instant", _draw_power_cut, power_cut, Hits.NODES),
    "pause": Kind("a process is frozen and goes on with its memory", one_that_is_up, pause, Hits.NODES),
    "slow_work": Kind(
        "checks and execution take long on one machine", _draw_slow, slow_work, Hits.NODES, Amount.FACTOR, 100
    ),
}
