"""Links between simulated machines.

A link is a pair of hosts that may speak to each other; a topology says which pairs there are. While both hosts
are up and the link is not cut a connection stands: `PeerUp` at both ends, and messages flow.

Two kinds of link (`LinkModel.ordered`):
* ordered, like the product's channel over TCP: the messages of one priority arrive in order or not at all. Loss
  is a connection that breaks: what is on its way is lost, both ends see `PeerDown`, and connect again later.
  Across a cut messages are held, as TCP would send them again; if the cut outlasts `give_up_us` the connection
  breaks and they are lost.
* loose, like the specification's model of consensus: each message for itself is delayed, lost, doubled or
  overtaken. Only block sync stays in order and whole, because an answer of it is a stream over one channel;
  that it breaks is what ordered links try.

Hosts may have one node key (twins). A peer keeps one channel for each key: a newer connection takes the place of the
older one, as in the product, and the peer is told so (`PeerDown.replaced`). What is sent to the key goes to the one
that is connected; twins have no link with each other (the product refuses it at the door).

A cut is one-way; a partition is many of them. Cuts are counted, so faults that overlap do not heal each other.
Delays are drawn from `base` to `base + jitter`, now and then with a long tail; spikes add to everything, a slow link
to its own. A corrupt frame is refused by the channel's cipher, which ends the connection (on loose links: the message
is lost).

Deliberately absent: bandwidth.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from protocol.node.interface import Priority
from protocol.sim.events import MS_US, Schedule, chance
from protocol.sim.host import Host

Pairs = frozenset[tuple[int, int]]
"""Links of a topology: (lower, higher) index."""


@dataclass(frozen=True, slots=True)
class LinkModel:
    """How links behave. Times in microseconds, chances per 1,000 messages."""

    ordered: bool = True
    base_us: int = 1_000
    jitter_us: int = 4_000
    tail_per_mille: int = 5
    tail_us: int = 60_000
    lose_per_mille: int = 0
    """Ordered: the connection breaks; loose: the message is lost."""
    double_per_mille: int = 0
    """Loose only."""
    reconnect_us: tuple[int, int] = (20_000, 200_000)
    give_up_us: int = 1_500_000
    corrupt_per_mille: int = 0
    """Of frames; each ends its connection."""


def mesh(count: int) -> Pairs:
    """Everyone with everyone."""
    return frozenset((low, high) for high in range(count) for low in range(high))


def ring(count: int) -> Pairs:
    """Everyone with two neighbours."""
    return frozenset((min(i, (i + 1) % count), max(i, (i + 1) % count)) for i in range(count) if count > 1)


def star(count: int) -> Pairs:
    """Everyone with the first."""
    return frozenset((0, other) for other in range(1, count))


def sites(count: int) -> Pairs:
    """Two halves, each a mesh, joined by one link."""
    half = count // 2
    inside = {(low, high) for low, high in mesh(count) if (low < half) == (high < half)}
    return frozenset(inside | {(half - 1, half)})


def with_twin(pairs: Pairs, original: int, twin: int) -> Pairs:
    """These links, and those of `twin`, which has the neighbours of `original` but not the original itself."""
    others = [low if high == original else high for low, high in pairs if original in (low, high)]
    return pairs | {(min(other, twin), max(other, twin)) for other in others}


TOPOLOGIES = {"mesh": mesh, "ring": ring, "star": star, "sites": sites}


@dataclass(slots=True)
class Direction:
    """One way of a link."""

    cuts: int = 0
    held: list[tuple[Priority, bytes]] = field(default_factory=list)
    arrival_us: list[int] = field(default_factory=lambda: [0] * len(Priority))
    """When the newest message of each priority arrives: nothing of it comes earlier than that."""


@dataclass(slots=True)
class Link:
    """A pair of hosts, with the two ways between them."""

    low: int
    high: int
    connected: bool = False
    generation: int = 0
    """Grows when the connection breaks: what was on its way in a former one never arrives."""
    connecting: bool = False
    extra_us: int = 0
    """Added to every delay of this link."""
    ways: tuple[Direction, Direction] = field(default_factory=lambda: (Direction(), Direction()))

    def way_from(self, source: int) -> Direction:
        """The direction that starts at `source`."""
        return self.ways[0] if source == self.low else self.ways[1]

    @property
    def cut(self) -> bool:
        """Whether any way is cut: no new connection can be made."""
        return self.ways[0].cuts > 0 or self.ways[1].cuts > 0


class Network:
    """All links of a run."""

    def __init__(self, schedule: Schedule, model: LinkModel, pairs: Pairs, generator: Random) -> None:
        self.schedule = schedule
        self.model = model
        self.generator = generator
        self.hosts: list[Host] = []
        self.extra_us = 0
        """Added to every delay while a spike lasts."""
        self.tail_extra_us = 0
        """One message in ten takes up to so much longer while a fault lasts: this over a number from 1 to 30."""
        self.lose_per_mille = model.lose_per_mille
        self.corrupt_per_mille = model.corrupt_per_mille
        self.double_per_mille = model.double_per_mille
        self.messages = 0
        self.bytes = 0
        self.counts: dict[str, int] = {}
        self.links = {pair: Link(*pair) for pair in sorted(pairs)}
        self._by_host: dict[int, list[Link]] = {}
        for (low, high), link in self.links.items():
            self._by_host.setdefault(low, []).append(link)
            self._by_host.setdefault(high, []).append(link)
        self._index: dict[bytes, list[int]] = {}
        """Node key -> the hosts that have it."""
        self._names: list[bytes] = []

    def attach(self, hosts: list[Host]) -> None:
        """The machines at the ends, in order of their index."""
        self.hosts = hosts
        self._names = [host.setup.node_key for host in hosts]
        self._index = {}
        for index, name in enumerate(self._names):
            self._index.setdefault(name, []).append(index)

    def link(self, one: int, other: int) -> Link | None:
        """The link between two hosts, or None."""
        return self.links.get((one, other) if one < other else (other, one))

    def links_of(self, index: int) -> list[Link]:
        """All links of one host."""
        return self._by_host.get(index, [])

    # -- Messages -----------------------------------------------------------------------------------

    def send(self, source: int, to: tuple[bytes, ...], priority: Priority, data: bytes) -> None:
        """Carry one message from `source` to each of `to`; those without a connection are passed over."""
        for name in to:
            target, link = self._standing(source, name)
            if link is None:
                continue
            self.messages += 1
            self.bytes += len(data)
            self._carry(link, source, target, priority, data)

    def _standing(self, source: int, name: bytes) -> tuple[int, Link | None]:
        """The machine of this name that `source` has a connection with, and the link; at most one."""
        for target in self._index.get(name, ()):
            link = self.link(source, target)
            if link is not None and link.connected:
                return target, link
        return -1, None

    def _carry(self, link: Link, source: int, target: int, priority: Priority, data: bytes) -> None:
        way = link.way_from(source)
        if way.cuts:
            if self.model.ordered:
                way.held.append((priority, data))
            else:
                self._count("cut_off")
            return
        loose = not self.model.ordered and priority is not Priority.SYNC
        if (loose or self.model.ordered) and chance(self.generator, self.lose_per_mille):
            self._count("lost")
            if not loose:
                self._break(link)
            return
        if self.corrupt_per_mille and self._corrupt(link, loose=loose):
            return
        self._deliver_later(link, way, target, priority, data)
        if loose and chance(self.generator, self.double_per_mille):
            self._count("doubled")
            self._deliver_later(link, way, target, priority, data)

    def _corrupt(self, link: Link, *, loose: bool) -> bool:
        if not chance(self.generator, self.corrupt_per_mille):
            return False
        self._count("corrupted")
        if not loose:
            self._break(link)
        return True

    def _deliver_later(self, link: Link, way: Direction, target: int, priority: Priority, data: bytes) -> None:
        arrival_us = self.schedule.now_us + self._delay_us(link)
        if self.model.ordered or priority is Priority.SYNC:
            arrival_us = max(arrival_us, way.arrival_us[priority])
        elif arrival_us < way.arrival_us[priority]:
            self._count("overtaken")
        way.arrival_us[priority] = arrival_us
        self.schedule.at(arrival_us, self._arrive, link, link.generation, target, data)

    def _delay_us(self, link: Link) -> int:
        model, generator = self.model, self.generator
        delay_us = model.base_us + generator.randrange(model.jitter_us + 1) + self.extra_us + link.extra_us
        if chance(generator, model.tail_per_mille):
            delay_us += generator.randrange(model.tail_us)
        if self.tail_extra_us and chance(generator, 100):
            delay_us += self.tail_extra_us // generator.randint(1, 30)
        return delay_us

    def _arrive(self, link: Link, generation: int, target: int, data: bytes) -> None:
        if generation == link.generation:
            source = link.low if target == link.high else link.high
            self.hosts[target].receive(self._names[source], data)

    # -- Connections --------------------------------------------------------------------------------

    def host_up(self, index: int) -> None:
        """Connect a host to those it can reach."""
        for link in self.links_of(index):
            self._connect_later(link)

    def host_down(self, index: int) -> None:
        """All connections of a host are gone."""
        for link in self.links_of(index):
            self._break(link)

    def disconnect(self, index: int, peer: bytes) -> None:
        """Close one connection; it is made again after the usual while."""
        link = self._standing(index, peer)[1]
        if link is not None:
            self._break(link)

    def _connect_later(self, link: Link) -> None:
        if not link.connecting and not link.connected:
            link.connecting = True
            low, high = self.model.reconnect_us
            self.schedule.after(self.generator.randint(low, high), self._connect, link)

    def _connect(self, link: Link) -> None:
        link.connecting = False
        both = (self.hosts[link.low], self.hosts[link.high])
        if not self._may_connect(link):
            return  # whoever comes up or heals asks again
        self._replace(link.low, link.high)
        self._replace(link.high, link.low)
        if not self._may_connect(link):
            return  # one stopped when it was told
        link.connected = True
        generation = link.generation
        for way in link.ways:
            way.held.clear()
        both[0].peer_up(self._names[link.high])
        if generation == link.generation:
            both[1].peer_up(self._names[link.low])

    def _may_connect(self, link: Link) -> bool:
        return not link.connected and not link.cut and self.hosts[link.low].up and self.hosts[link.high].up

    def _replace(self, end: int, newcomer: int) -> None:
        """Where `end` has a connection with another machine of that name, the newcomer takes its place."""
        other, link = self._standing(end, self._names[newcomer])
        if link is None or other == newcomer:
            return
        self._break(link)
        link.generation += 1  # `end` is told at once, in place of later
        self._count("replaced")
        self.hosts[end].peer_down(self._names[newcomer], replaced=True)
        self.schedule.after(self.generator.randrange(1, 50 * MS_US), self._tell_down, link, link.generation, other, end)

    def _break(self, link: Link) -> None:
        link.generation += 1
        for way in link.ways:
            way.held.clear()
            way.arrival_us = [0] * len(Priority)
        if not link.connected:
            return
        link.connected = False
        self._count("broken")
        for end, other in ((link.low, link.high), (link.high, link.low)):
            # Not within this call: it may come from inside a step of one of the two.
            self.schedule.after(
                self.generator.randrange(1, 50 * MS_US), self._tell_down, link, link.generation, end, other
            )
        self._connect_later(link)

    def _tell_down(self, link: Link, generation: int, end: int, other: int) -> None:
        if generation == link.generation and not link.connected:
            self.hosts[end].peer_down(self._names[other])

    # -- Faults -------------------------------------------------------------------------------------

    def cut(self, source: int, target: int) -> None:
        """Nothing gets from `source` to `target` until as many `heal`s have come."""
        link = self.link(source, target)
        if link is not None:
            way = link.way_from(source)
            way.cuts += 1
            self.schedule.after(self.model.give_up_us, self._give_up, link, link.generation)

    def _give_up(self, link: Link, generation: int) -> None:
        if generation == link.generation and link.cut and link.connected:
            self._break(link)

    def heal(self, source: int, target: int) -> None:
        """Take one cut back; what was held goes on its way."""
        link = self.link(source, target)
        if link is None:
            return
        way = link.way_from(source)
        assert way.cuts > 0, "a cut is healed once"
        way.cuts -= 1
        if way.cuts == 0:
            held, way.held = way.held, []
            for priority, data in held:
                self._deliver_later(link, way, target, priority, data)
        if not link.cut:
            self._connect_later(link)

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
