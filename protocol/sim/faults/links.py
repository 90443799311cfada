"""Faults of links: cuts in all shapes, delays, losses, corrupted frames.

A cut is one-way and counted (`network`), so faults that overlap do not heal each other.
"""

from __future__ import annotations

from random import Random

from protocol.sim.events import MS_US
from protocol.sim.faults.aim import Aim, Amount, End, Hits, Kind, World
from protocol.sim.network import Link

Pair = tuple[int, int]


def pairs_of(world: World, aim: Aim) -> list[Pair]:
    """(from, to) of the ways that lead from the aim's nodes to others."""
    others = aim.to or tuple(range(len(world.hosts)))
    return [(one, other) for one in aim.nodes for other in others if world.network.link(one, other) is not None]


def _cut(world: World, pairs: list[Pair]) -> End | None:
    pairs = [pair for pair in dict.fromkeys(pairs) if world.network.link(*pair) is not None]
    for source, target in pairs:
        world.network.cut(source, target)

    def end() -> None:
        for source, target in pairs:
            world.network.heal(source, target)

    return end if pairs else None


def _both(pairs: list[Pair]) -> list[Pair]:
    return [*pairs, *((target, source) for source, target in pairs)]


def cut(world: World, aim: Aim) -> End | None:
    """Nothing passes between the nodes and those at the far ends."""
    return _cut(world, _both(pairs_of(world, aim)))


def one_way(world: World, aim: Aim) -> End | None:
    """The nodes are not heard any more by those at the far ends, and still hear them."""
    return _cut(world, pairs_of(world, aim))


def partition(world: World, aim: Aim) -> End | None:
    """Nothing passes between groups; a node that is in none is a bridge: it hears and is heard by all."""
    return _cut(world, _between(aim.groups))


def _between(groups: tuple[tuple[int, ...], ...]) -> list[Pair]:
    return _both(
        [(a, b) for place, group in enumerate(groups) for a in group for other in groups[place + 1 :] for b in other]
    )


def shifting(world: World, aim: Aim) -> End | None:
    """A partition in two halves that is another one after each step: the nodes' order goes round by one."""
    order, step_us = list(aim.nodes or range(len(world.hosts))), max(aim.amount, MS_US)
    if len(order) < 2:
        return None
    state: list[End | None] = [None]
    over = [False]

    def change(place: int) -> None:
        if over[0]:
            return
        if state[0] is not None:
            state[0]()
        turned = order[place:] + order[:place]
        half = len(turned) // 2
        state[0] = _cut(world, _between((tuple(turned[:half]), tuple(turned[half:]))))
        world.schedule.after(step_us, change, (place + 1) % len(order))

    def end() -> None:
        over[0] = True
        if state[0] is not None:
            state[0]()

    change(0)
    return end


def delay(world: World, aim: Aim) -> End:
    """Everything takes longer: on these links, or on all if no node is named."""
    network, extra_us = world.network, aim.amount
    found = [network.link(*pair) for pair in pairs_of(world, aim)] if aim.nodes else list(network.links.values())
    links: dict[Pair, Link] = {(link.low, link.high): link for link in found if link is not None}
    for link in links.values():
        link.extra_us += extra_us

    def end() -> None:
        for link in links.values():
            link.extra_us -= extra_us

    return end


def long_tail(world: World, aim: Aim) -> End:
    """One message in ten takes longer: up to the amount, most of them much less."""
    network = world.network
    network.tail_extra_us += aim.amount

    def end() -> None:
        network.tail_extra_us -= aim.amount

    return end


def loss(world: World, aim: Aim) -> End:
    """Links lose messages, or break where they are ordered."""
    network = world.network
    network.lose_per_mille += aim.amount

    def end() -> None:
        network.lose_per_mille -= aim.amount

    return end


def corrupt(world: World, aim: Aim) -> End:
    """Frames arrive corrupted."""
    network = world.network
    network.corrupt_per_mille += aim.amount

    def end() -> None:
        network.corrupt_per_mille -= aim.amount

    return end


# -- Drawing ----------------------------------------------------------------------------------------


def _order(world: World, generator: Random) -> list[int]:
    order = [host.index for host in world.hosts]
    generator.shuffle(order)
    return order


def _draw_one(world: World, generator: Random, lasts_us: int) -> Aim:
    return Aim(nodes=(generator.randrange(len(world.hosts)),), lasts_us=lasts_us)


def _draw_link(world: World, generator: Random, lasts_us: int) -> Aim | None:
    if not world.network.links:
        return None
    low, high = generator.choice(list(world.network.links))
    return Aim(nodes=(low,), to=(high,), lasts_us=lasts_us)


def _draw_halves(world: World, generator: Random, lasts_us: int) -> Aim | None:
    order = _order(world, generator)
    if len(order) < 2:
        return None
    size = generator.randrange(1, len(order))
    return Aim(groups=(tuple(order[:size]), tuple(order[size:])), lasts_us=lasts_us)


def _draw_bridge(world: World, generator: Random, lasts_us: int) -> Aim | None:
    order = _order(world, generator)[1:]
    if len(order) < 2:
        return None
    half = len(order) // 2
    return Aim(groups=(tuple(order[:half]), tuple(order[half:])), lasts_us=lasts_us)


def _draw_shifting(world: World, generator: Random, lasts_us: int) -> Aim:
    step_us = generator.choice((100, 300, 700)) * MS_US
    return Aim(nodes=tuple(_order(world, generator)), amount=step_us, lasts_us=lasts_us)


def _draw_one_way(world: World, generator: Random, lasts_us: int) -> Aim | None:
    one = generator.randrange(len(world.hosts))
    deaf = tuple(other.index for other in world.hosts if other.index != one and generator.randrange(2))
    return Aim(nodes=(one,), to=deaf, lasts_us=lasts_us) if deaf else None


def _draw_spike(world: World, generator: Random, lasts_us: int) -> Aim:
    del world
    return Aim(amount=generator.choice((20, 60, 120, 250, 500)) * MS_US, lasts_us=lasts_us)


def _draw_slow_link(world: World, generator: Random, lasts_us: int) -> Aim | None:
    aim = _draw_link(world, generator, lasts_us)
    extra_us = generator.choice((50, 150, 400)) * MS_US
    return None if aim is None else Aim(nodes=aim.nodes, to=aim.to, amount=extra_us, lasts_us=lasts_us)


def _draw_tail(world: World, generator: Random, lasts_us: int) -> Aim:
    del world
    return Aim(amount=generator.choice((200, 1_000, 4_000)) * MS_US, lasts_us=lasts_us)


def _draw_loss(world: World, generator: Random, lasts_us: int) -> Aim:
    choices = (5, 15, 40) if world.network.model.ordered else (10, 50, 200)
    return Aim(amount=generator.choice(choices), lasts_us=lasts_us)


KINDS = {
    "isolate": Kind("a node hears nobody and is heard by nobody", _draw_one, cut, Hits.PAIRS),
    "cut": Kind("a link is cut both ways", _draw_link, cut, Hits.PAIRS),
    "one_way": Kind("a node is not heard any more, and still hears", _draw_one_way, one_way, Hits.PAIRS),
    "halves": Kind("the network falls in two", _draw_halves, partition, Hits.GROUPS),
    "partition": Kind("the network falls in parts", _draw_halves, partition, Hits.GROUPS),
    "bridge": Kind("two halves hear each other through one node only", _draw_bridge, partition, Hits.GROUPS),
    "shifting": Kind(
        "halves that are others after each step", _draw_shifting, shifting, Hits.NODES, Amount.STEP, 1_000 * MS_US
    ),
    "delay_spike": Kind(
        "everything takes longer on every link", _draw_spike, delay, Hits.LINKS, Amount.EXTRA, 120 * MS_US
    ),
    "slow_link": Kind("everything takes longer on one link", _draw_slow_link, delay, Hits.LINKS, Amount.EXTRA, 150_000),
    "long_tail": Kind(
        "one message in ten takes up to so much longer, most of them much less",
        _draw_tail,
        long_tail,
        Hits.EVERYTHING,
        Amount.EXTRA,
        1_000 * MS_US,
    ),
    "loss": Kind(
        "messages are lost (where links are ordered: connections break)",
        _draw_loss,
        loss,
        Hits.EVERYTHING,
        Amount.PER_MILLE,
        15,
    ),
    "corrupt": Kind(
        "frames arrive corrupted, and end their connection",
        _draw_loss,
        corrupt,
        Hits.EVERYTHING,
        Amount.PER_MILLE,
        15,
    ),
}
