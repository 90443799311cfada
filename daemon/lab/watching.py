"""Watching the nodes of a run from outside: what each says of itself, several times a second.

A node is asked for `/v1/node`: view, leader, heights, whether it votes. What changes is kept in the lanes of the
simulator's trace (`protocol.sim.trace`), so a run of real processes is drawn as a simulated one is. What is seen so is
a sample: views that come and go between two looks are not in it, and a frozen node says nothing.

Two rules are judged on the way, since a disk at the end cannot show them: a node does not end by itself (soundness),
and what one calls final at a height is what another calls so there (agreement). The other rules are judged from the
disks (judging.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from daemon.bench.http import HttpConnection, Lost
from daemon.bench.meters import counters
from daemon.lab.nodes import LabNode
from protocol.sim.trace import POINTS_MAX, Lane

LOOK_SECONDS: Final = 0.1
"""From one look at a node to the next, where there are four; more nodes are looked at less often."""
ANSWER_SECONDS: Final = 10.0
"""On a machine that is busy an answer takes seconds; who is frozen is not asked."""
HEIGHTS_REMEMBERED: Final = 100_000
NULLIFIED: Final = "node_notes.view_nullified"
"""A node's own counter of them (/metrics)."""

Violated = Callable[[str, str, int | None], None]
"""Hears of a rule, words, and the node."""


@dataclass(slots=True)
class Seen:
    """What a node said last; `answers` is false from a start until it says something, and while it does not run."""

    answers: bool = False
    epoch: int = 1
    view: int = 1
    leader: int | None = None
    final_height: int = 0
    executed_height: int = 0
    memory: str = "known"
    vote_floor: int = 0


@dataclass(slots=True)
class Stall:
    """The longest time in which nobody saw a new final block, ms since the start."""

    begin_ms: int = 0
    end_ms: int = 0

    @property
    def length_ms(self) -> int:
        """How long it was."""
        return self.end_ms - self.begin_ms


class Watcher:
    """Looks at all nodes until cancelled; `changed` is told of every new answer by waking who waits."""

    def __init__(
        self,
        nodes: list[LabNode],
        leaders: list[int],
        now_ms: Callable[[], int],
        violated: Violated,
        *,
        counts_nullified: bool = False,
    ) -> None:
        self.nodes = nodes
        self.seen = [Seen() for _ in nodes]
        self.lanes = [Lane(node.index, honest=True, validator=node.votes) for node in nodes]
        self.stall = Stall()
        self.final_height = 0
        self.nullified = 0
        """The most views that a life of a node has seen nullified, if that is counted."""
        self.cores: dict[int, tuple[float, float]] = {}
        """Of each process of a node: seconds that its loop ran, and waited for a core (sched-stats of the kernel)."""
        self._counts_nullified = counts_nullified
        self._final_at_ms = 0
        self._leaders = leaders
        self._now_ms = now_ms
        self._violated = violated
        self._final: dict[int, tuple[str, int]] = {}
        self._begun: dict[int, tuple[float, float]] = {}
        self._starts = [0] * len(nodes)
        self._changed = trio.Event()

    async def run(self) -> None:
        """Look on."""
        async with trio.open_nursery() as nursery:
            for node in self.nodes:
                nursery.start_soon(self._watch, node)

    def begin(self) -> None:
        """Time counts from now: what was seen before was the start."""
        for node, seen, lane in zip(self.nodes, self.seen, self.lanes, strict=True):
            node.lives = [(0, None)]
            lane.views = [(0, (seen.epoch, seen.view), seen.leader or 0)]
            lane.heights = [(0, seen.final_height)]
        self.stall, self._final_at_ms = Stall(), 0
        self._begun = dict(self.cores)

    def core_seconds(self) -> tuple[float, float]:
        """Since the beginning, of all nodes' loops together: how long they ran, and how long they waited for a core."""
        begun = [self._begun.get(pid, (0.0, 0.0)) for pid in self.cores]
        pairs = list(zip(self.cores.values(), begun, strict=True))
        return sum(now[0] - then[0] for now, then in pairs), sum(now[1] - then[1] for now, then in pairs)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return when `holds` does; it is asked after each look."""
        while not holds():
            await self._changed.wait()

    async def answering(self, node: LabNode) -> None:
        """Return when a node that was started answers, or does not run any more."""
        await self.until(lambda: not node.up or self.seen[node.index].answers)

    def heights(self) -> list[int | None]:
        """Final height of each node; None of one that does not run, is frozen, or has said nothing yet."""
        pairs = zip(self.nodes, self.seen, strict=True)
        return [seen.final_height if node.up and seen.answers else None for node, seen in pairs]

    def close(self) -> None:
        """The run is over: what lasted until now ends."""
        self._advance(self._now_ms(), is_end=True)

    # -- Inside -------------------------------------------------------------------------------------

    async def _watch(self, node: LabNode) -> None:
        connection: HttpConnection | None = None
        pause = LOOK_SECONDS * max(1.0, len(self.nodes) / 4)
        try:
            while True:
                self._measure(node)
                if node.look():
                    self._violated("soundness", f"the node {node.ended}", node.index)
                connection = await self._look(node, connection)
                self._changed.set()
                self._changed = trio.Event()
                await trio.sleep(pause)
        finally:
            if connection is not None:
                connection.close()

    def _measure(self, node: LabNode) -> None:
        if node.process is None:
            return
        with suppress(OSError):
            ran, waited, _ = Path(f"/proc/{node.process.pid}/schedstat").read_text(encoding="ascii").split()
            self.cores[node.process.pid] = int(ran) / 1e9, int(waited) / 1e9

    async def _look(self, node: LabNode, connection: HttpConnection | None) -> HttpConnection | None:
        """One look; the connection, if it goes on."""
        seen, starts = self.seen[node.index], node.starts
        if starts != self._starts[node.index] or not node.up:
            self._starts[node.index] = starts
            seen.answers = False
        if not node.up:
            return connection
        told: dict[str, Any] | None = None
        with trio.move_on_after(ANSWER_SECONDS):
            with suppress(Lost):  # it ends or begins just now: it has told nothing
                connection = connection or await HttpConnection.open(node.api)
                status, body = await connection.ask("GET", "/v1/node")
                if self._counts_nullified:
                    _, text = await connection.ask("GET", "/metrics")
                    self.nullified = max(self.nullified, counters(text.decode()).get(NULLIFIED, 0))
                told = json.loads(body) if status == 200 else None
        if told is None:  # nor may an answer that was given up be read as the next one's
            seen.answers = False
            if connection is not None:
                connection.close()
            return None
        if node.starts == starts:
            self._take(node, told)
        return connection

    def _take(self, node: LabNode, told: dict[str, Any]) -> None:
        seen, lane, now_ms = self.seen[node.index], self.lanes[node.index], self._now_ms()
        first = not seen.answers
        seen.answers = True
        seen.epoch, seen.view = int(told["epoch"]), int(told["view"])
        seen.leader = self._leaders[int(told["leader"])] if seen.epoch == 1 else None
        seen.executed_height = int(told["executed_height"])
        seen.memory, seen.vote_floor = str(told["memory"]["phase"]), int(told["memory"]["vote_floor"])
        height, name = int(told["final_height"]), str(told["final_hash"])
        if height != seen.final_height or first:
            seen.final_height = height
            self._agree(node, height, name)
        if len(lane.views) >= POINTS_MAX or len(lane.heights) >= POINTS_MAX:
            lane.cut_short = True
        else:
            self._keep(lane, seen, now_ms, first=first)
        if height > self.final_height:
            self.final_height = height
            self._advance(now_ms)

    def _keep(self, lane: Lane, seen: Seen, now_ms: int, *, first: bool) -> None:
        view = (seen.epoch, seen.view)
        if first or not lane.views or lane.views[-1][1] != view:
            lane.views.append((now_ms, view, seen.leader or 0))
        if not lane.heights or lane.heights[-1][1] != seen.final_height:
            lane.heights.append((now_ms, seen.final_height))

    def _agree(self, node: LabNode, height: int, name: str) -> None:
        if height == 0 or len(self._final) >= HEIGHTS_REMEMBERED:
            return
        known, other = self._final.setdefault(height, (name, node.index))
        if known != name:
            words = f"height {height} is final as {name[:16]} here and as {known[:16]} at node {other}"
            self._violated("agreement", words, node.index)

    def _advance(self, now_ms: int, *, is_end: bool = False) -> None:
        """A new final block was seen, or the end has come."""
        if now_ms - self._final_at_ms > self.stall.length_ms:
            self.stall = Stall(self._final_at_ms, now_ms)
        if not is_end:
            self._final_at_ms = now_ms


@dataclass(slots=True)
class Moments:
    """What happened when, for the report's timeline: (ms, words, final heights at that moment)."""

    watcher: Watcher
    now_ms: Callable[[], int]
    told: list[tuple[int, str, list[int | None]]] = field(default_factory=list)

    def tell(self, words: str) -> None:
        """Keep a moment."""
        self.told.append((self.now_ms(), words, self.watcher.heights()))
