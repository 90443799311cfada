"""A node driven by hand: a network of one (or one node of four), its workers as calls, its disk as a list."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TypeVar

from protocol.codec import decode
from protocol.ledger.genesis import Genesis
from protocol.ledger.memory import MemoryTables
from protocol.ledger.records import Block, Executed
from protocol.node import interface as node_io
from protocol.node.node import Node
from protocol.node.setup import NodeSetup, Recovered
from protocol.sim.ledger_services import LedgerServices
from protocol.sim.signatures import Real
from tests.ledger.world import START_MS, key, make_genesis

E = TypeVar("E")


@dataclass
class Driver:
    """Steps a node, carries out what it asks for, and keeps every list it returned."""

    genesis: Genesis
    member: int = 0
    observer: bool = False
    lists: list[list[node_io.Effect]] = field(default_factory=list)
    journal: list[node_io.JournalRecord] = field(default_factory=list)
    blocks: list[bytes] = field(default_factory=list)
    results: list[Executed] = field(default_factory=list)
    clock_ms: int = 0
    hold_persists: bool = False
    results_to_tell: deque[node_io.BlockExecuted] = field(default_factory=deque)
    telling: bool = False
    waiting: int = 0
    durable: int = 0

    def __post_init__(self) -> None:
        self.services = LedgerServices(self.genesis, Real())
        self.tables, first = self.services.new_tables(self.genesis)
        self.results.append(first)
        self.node = self.make(Recovered(executed=(first,)))

    def make(self, recovered: Recovered) -> Node:
        node_key = key(900) if self.observer else key(200 + self.member)
        voting = None if self.observer else key(300 + self.member)
        return Node(NodeSetup(self.genesis, node_key.public, voting), recovered)

    @property
    def now(self) -> node_io.Now:
        return node_io.Now(self.clock_ms, START_MS + 1000 + self.clock_ms)

    def start(self) -> None:
        self.carry(self.node.start(self.now))

    def step(self, given: node_io.Input) -> list[node_io.Effect]:
        effects = self.node.step(given, self.now)
        self.carry(effects)
        return effects

    def carry(self, effects: list[node_io.Effect]) -> None:
        """Duties 1 to 4, with workers that answer at once."""
        self.lists.append(effects)
        answers: list[node_io.Input] = []
        for effect in effects:
            match effect:
                case node_io.Persist(record):
                    self.journal.append(record)
                    self.waiting += 1
                case node_io.CheckSignatures(job, items):
                    good = tuple(self.services.check_signature(item) for item in items)
                    answers.append(node_io.SignaturesChecked(job, good))
                case node_io.CheckEnvelopes(job, envelopes):
                    verdicts = self.services.check_envelopes(self.tables, envelopes, self.now.wall_ms, None)
                    answers.append(node_io.EnvelopesChecked(job, verdicts))
                case node_io.CheckBatch(job, data):
                    answers.append(node_io.BatchChecked(job, self.services.check_batch(data)))
                case node_io.Append(_, block):
                    self.blocks.append(block)
                case node_io.Execute(height, header, batches):
                    done = self.services.execute(self.tables, height, header, batches)
                    self.tables.apply(done.writes)
                    self.results.append(done.executed)
                    self.results_to_tell.append(node_io.BlockExecuted(done.executed, done.outcomes, done.governed))
                case node_io.ReadBlocks(job, first, count, _):
                    found = tuple(self.blocks[first - 1 : first - 1 + count])
                    answers.append(node_io.BlocksRead(job, first, found))
                case _:
                    pass
        if not self.hold_persists:
            self.sync()
        for answer in answers:
            self.step(answer)
        self.tell_results()

    def tell_results(self) -> None:
        """Duty 3: results come in order, whatever a step gives rise to."""
        if self.telling:
            return
        self.telling = True
        while self.results_to_tell:
            self.step(self.results_to_tell.popleft())
        self.telling = False

    def sync(self) -> None:
        """Everything persisted so far becomes durable."""
        if self.waiting:
            self.durable += self.waiting
            self.waiting = 0
            self.step(node_io.Persisted(self.durable))

    def run(self, ms: int) -> None:
        """Let time pass."""
        end = self.clock_ms + ms
        while True:
            wake = self.node.wake_at_ms
            if wake is None or wake > end:
                break
            self.clock_ms = max(self.clock_ms, wake)
            self.step(node_io.Tick())
            if wake == self.clock_ms and self.node.wake_at_ms == wake:
                self.clock_ms += 1
        self.clock_ms = end

    def all(self, kind: type[E]) -> list[E]:
        """Every effect of this kind so far."""
        return [effect for effects in self.lists for effect in effects if isinstance(effect, kind)]

    def notes(self, name: str) -> list[node_io.Note]:
        return [note for note in self.all(node_io.Note) if note.name == name]

    def restart(self, *, journal: bool = True, blocks: int | None = None, amnesiac: bool = False) -> None:
        """The process again, from what is on the disk; of blocks the first so many (a torn tail)."""
        kept = self.blocks if blocks is None else self.blocks[:blocks]
        self.blocks = list(kept)
        recovered = Recovered(
            journal=tuple(self.journal) if journal else (),
            blocks=tuple(kept),
            executed=tuple(self.results[-20:]),
            genesis_executed=self.results[0],
            amnesiac=amnesiac,
        )
        self.node = self.make(recovered)
        self.waiting = self.durable = 0
        self.lists.append([])
        self.start()


def alone() -> Driver:
    """A started network of one."""
    driver = Driver(make_genesis(1))
    driver.start()
    return driver


def one_of_four(member: int = 0) -> Driver:
    """A started node of four; the others are whoever the test says they are."""
    driver = Driver(make_genesis(4), member)
    driver.start()
    return driver


def finalized(driver: Driver) -> list[Block]:
    return [decode(Block, block) for block in driver.blocks]


def fresh_tables(driver: Driver) -> MemoryTables:
    return driver.services.new_tables(driver.genesis)[0]
