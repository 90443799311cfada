"""An aim: which nodes a fault hits, how hard, how long. A kind: what a fault is.

Nodes are numbered from 0: validators in the order of the set, then observers. Times are in microseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Protocol

from protocol.sim.events import Schedule
from protocol.sim.host import Host
from protocol.sim.network import Network


@dataclass(frozen=True, slots=True)
class Aim:
    """What one fault hits. `amount` is in the unit of its kind; `lasts_us` is 0 for what does not end."""

    nodes: tuple[int, ...] = ()
    to: tuple[int, ...] = ()
    """The far ends of links, where a fault is of links; empty: everyone else."""
    groups: tuple[tuple[int, ...], ...] = ()
    amount: int = 0
    lasts_us: int = 0


class World(Protocol):
    """What a fault may touch."""

    schedule: Schedule
    network: Network
    hosts: list[Host]

    @property
    def powers(self) -> tuple[int, ...]:
        """Of each validator."""
        ...

    def chain_time_ms(self) -> int:
        """Time of the newest final block (wall clock)."""
        ...


class Amount(Enum):
    """What the amount of a kind is; the value is the key in a scenario file."""

    EXTRA = "extra"
    """Microseconds that are added to a delay."""
    STEP = "step"
    """Microseconds between two changes."""
    BY = "by"
    """Milliseconds, signed, that a clock is wrong by."""
    PER_MILLE = "per_mille"
    """Of 1,000 messages."""
    FACTOR = "factor"
    """Times slower."""
    BLOCK = "block"
    """The height of one."""


class Hits(Enum):
    """Which of an aim's keys a kind looks at."""

    NODES = "nodes"
    """Machines; without any: all."""
    PAIRS = "nodes, to"
    """Links from nodes to others; without `to`: to everyone else."""
    LINKS = "nodes, to, or all"
    """The same; without nodes: every link."""
    GROUPS = "groups"
    """Nodes that hear each other; who is in no group hears everyone."""
    EVERYTHING = ""
    """All links."""


End = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault: what it is in words, how it is drawn, how it begins.

    `draw(world, generator, lasts_us)` gives an aim, or None where there is nothing to hit; `begin(world, aim)` carries
    it out and gives what ends it, or None where nothing happened.
    """

    words: str
    draw: Callable[[World, Random, int], Aim | None]
    begin: Callable[[World, Aim], End | None]
    hits: Hits
    amount: Amount | None = None
    usual: int = 0
    """The amount where none is given."""


def nodes_of(world: World, aim: Aim) -> list[Host]:
    """The machines that are hit; all if none is named."""
    return [world.hosts[index] for index in aim.nodes] or list(world.hosts)


def one_that_is_up(world: World, generator: Random, lasts_us: int) -> Aim | None:
    """Draw any machine on which a node runs."""
    host = generator.choice(world.hosts)
    return Aim(nodes=(host.index,), lasts_us=lasts_us) if host.up else None


def nothing() -> None:
    """The end of a fault that ends by itself."""
