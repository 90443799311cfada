"""All lines between the nodes of a run, and how they are: what faults that overlap come to together.

A pair is one way between two nodes by number. Cuts are counted, so that faults that overlap do not heal each other;
delays add up; chances add up and stop at one. What comes of it is one `Condition` for each direction of the proxy.

The scenario's `[link]` is always there: a chunk takes `base` and half of `jitter`, and now and then longer, so that the
mean is the simulator's. `reconnect` and `give_up` are what the nodes and TCP make of it here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from daemon.lab.proxy import Condition, Counted, Proxy
from protocol.sim.network import LinkModel, Pairs
from protocol.sim.scenarios import SlowLinks

Pair = tuple[int, int]
STALL_SECONDS: Final = 0.2
"""Linux waits so long at least before it sends a lost packet again."""
TAIL_MAX: Final = 40
"""The longest wait of a tail, in means (proxy.py)."""


def name_of(node: int) -> str:
    """What the proxy calls a node."""
    return str(node)


class Lines:
    """Conditions of all lines; every method that begins something gives what ends it."""

    def __init__(self, proxy: Proxy, links: Pairs, model: LinkModel, slow: Iterable[SlowLinks], nodes: int) -> None:
        self._proxy = proxy
        self._model = model
        self.ways: list[Pair] = sorted({*links, *((high, low) for low, high in links)})
        """Both ways of every link."""
        self._cuts: Counter[Pair] = Counter()
        self._extra_us: Counter[Pair] = Counter()
        self._everywhere = Counter(tail_us=0, lose=model.lose_per_mille, corrupt=model.corrupt_per_mille)
        for links_slow in slow:
            others = links_slow.to or tuple(range(nodes))
            for pair in self.between(links_slow.nodes, others):
                self._extra_us[pair] += links_slow.extra_us
        self.apply(self.ways)

    def between(self, nodes: Iterable[int], others: Iterable[int]) -> list[Pair]:
        """Both ways of the links between these nodes and those."""
        far = set(others)
        pairs = [(one, other) for one in nodes for other in far if one != other]
        known = set(self.ways)
        return [pair for pair in dict.fromkeys([*pairs, *((b, a) for a, b in pairs)]) if pair in known]

    def from_to(self, nodes: Iterable[int], others: Iterable[int]) -> list[Pair]:
        """The ways from these nodes to those."""
        far, known = tuple(others), set(self.ways)
        return [(one, other) for one in nodes for other in far if (one, other) in known]

    # -- Faults -------------------------------------------------------------------------------------

    def cut(self, pairs: list[Pair]) -> Callable[[], None]:
        """Nothing passes on these ways."""
        self._cuts.update(pairs)
        self.apply(pairs)

        def heal() -> None:
            self._cuts.subtract(pairs)
            self.apply(pairs)

        return heal

    def delay(self, pairs: list[Pair], extra_us: int) -> Callable[[], None]:
        """Everything takes so much longer on these ways."""
        self._extra_us.update(dict.fromkeys(pairs, extra_us))
        self.apply(pairs)

        def end() -> None:
            self._extra_us.subtract(dict.fromkeys(pairs, extra_us))
            self.apply(pairs)

        return end

    def tail(self, extra_us: int) -> Callable[[], None]:
        """Some chunks take up to so much longer, everywhere."""
        return self._on_all("tail_us", extra_us)

    def lose(self, per_mille: int) -> Callable[[], None]:
        """So many of 1,000 chunks wait as if they had been lost, everywhere."""
        return self._on_all("lose", per_mille)

    def corrupt(self, per_mille: int) -> Callable[[], None]:
        """So many of 1,000 chunks arrive with a bit turned over, everywhere."""
        return self._on_all("corrupt", per_mille)

    def _on_all(self, what: str, amount: int) -> Callable[[], None]:
        self._everywhere[what] += amount
        self.apply(self.ways)

        def end() -> None:
            self._everywhere[what] -= amount
            self.apply(self.ways)

        return end

    # -- What comes of it ---------------------------------------------------------------------------

    def apply(self, pairs: Iterable[Pair]) -> None:
        """Tell the proxy."""
        for one, other in pairs:
            self._proxy.direction(name_of(one), name_of(other)).become(self.condition((one, other)))

    def condition(self, pair: Pair) -> Condition:
        """How one way is now."""
        model = self._model
        delay_us = model.base_us + model.jitter_us // 2 + self._extra_us[pair]
        tail_us = model.tail_us * model.tail_per_mille / 2000 + self._everywhere["tail_us"] / TAIL_MAX
        return Condition(
            delay_seconds=delay_us / 1e6,
            tail_seconds=tail_us / 1e6,
            stall_chance=min(1.0, self._everywhere["lose"] / 1000),
            stall_seconds=STALL_SECONDS,
            corrupt_chance=min(1.0, self._everywhere["corrupt"] / 1000),
            blocked=self._cuts[pair] > 0,
        )

    def counts(self) -> dict[str, int]:
        """What happened on all lines together."""
        counted = [direction.counted for direction in self._proxy.directions.values()]
        return {name: sum(getattr(one, name) for one in counted) for name in Counted.__dataclass_fields__}
