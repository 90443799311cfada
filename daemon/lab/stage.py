"""What every part of a run uses: the nodes, their lines, what is seen of them, and what was found wrong.

`Stage` also shows itself as the simulator's world to what draws faults there (`protocol.sim.faults`): each `draw` asks
a world how many machines there are, which of them run and remember, and which links there are, and no more. So a seed
draws from the same distribution here, by the same code; which fault comes exactly when also depends on real processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import trio

from daemon.lab.lines import Lines
from daemon.lab.making import Made
from daemon.lab.nodes import LabNode
from daemon.lab.watching import Moments, Watcher
from protocol.sim.facts import Violation
from protocol.sim.faults.aim import World
from protocol.sim.scenarios import Scenario


@dataclass(slots=True)
class Stage:
    """See the essay. tasks: of what goes on beside. began: of Trio's clock, when the run began."""

    scenario: Scenario
    directory: Path
    made: Made
    lines: Lines
    tasks: trio.Nursery
    began: float = field(default_factory=trio.current_time)
    violations: list[Violation] = field(default_factory=list)
    watcher: Watcher = field(init=False)
    moments: Moments = field(init=False)
    restarts: int = 0
    failed: trio.Event = field(default_factory=trio.Event)
    disks: dict[int, Callable[[bool], None]] = field(default_factory=dict)
    """Of a node with a disk of its own: what takes its room away (True) and gives it back."""

    def __post_init__(self) -> None:
        counts = any(entry.nullified is not None for entry in self.scenario.timetable)
        self.watcher = Watcher(self.nodes, self.made.leaders, self.now_ms, self.violated, counts_nullified=counts)
        self.moments = Moments(self.watcher, self.now_ms)
        for node in self.nodes:
            node.now_ms = self.now_ms

    def begin(self) -> None:
        """All nodes are there: time counts from now."""
        self.began = trio.current_time()
        self.watcher.begin()

    @property
    def nodes(self) -> list[LabNode]:
        """In the order of the scenario's numbers."""
        return self.made.nodes

    def now_ms(self) -> int:
        """Since the run began."""
        return max(0, round((trio.current_time() - self.began) * 1000))

    def chosen(self, indices: tuple[int, ...]) -> list[LabNode]:
        """The nodes of these numbers; all if none is named."""
        return [self.nodes[index] for index in indices] or list(self.nodes)

    def violated(self, rule: str, words: str, node: int | None = None) -> None:
        """A rule did not hold."""
        self.violations.append(Violation(rule, words, node, self.now_ms() * 1000))
        self.moments.tell(f"VIOLATED {rule}{'' if node is None else f' at node {node}'}: {words}")
        self.failed.set()

    async def stop(self, node: LabNode) -> None:
        """End a node in order; it has to."""
        if not await node.stop():
            self.violated("soundness", "the node did not end in order on SIGTERM", node.index)

    # -- As the simulator's world -------------------------------------------------------------------

    def as_world(self) -> World:
        """What a fault's `draw` may ask."""
        links = {pair: None for pair in self.lines.ways if pair[0] < pair[1]}
        world = SimpleNamespace(
            hosts=[_Shown(self, node) for node in self.nodes],
            network=SimpleNamespace(links=links, model=self.scenario.link),
            powers=self.scenario.powers or (1,) * self.scenario.members,
        )
        return cast("World", world)  # as far as `draw` looks


class _Shown:
    """A node as `draw` sees a machine."""

    honest = True

    def __init__(self, stage: Stage, node: LabNode) -> None:
        self.index = node.index
        self._stage = stage
        self._node = node

    @property
    def up(self) -> bool:
        return self._node.up

    @property
    def node(self) -> object | None:
        """Something with a status, while it runs and answers."""
        seen = self._stage.watcher.seen[self.index]
        if not seen.answers:
            return None
        return SimpleNamespace(status=lambda: seen)

    @property
    def disk(self) -> object:
        return SimpleNamespace(executed_synced=self._stage.watcher.seen[self.index].executed_height)
