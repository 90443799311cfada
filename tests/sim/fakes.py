"""A scripted node and what is around one host, for tests of the simulator's own parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from protocol.codec import encode
from protocol.ledger.genesis import Genesis
from protocol.ledger.memory import MemoryTables
from protocol.ledger.records import Block, Executed, Header
from protocol.node.interface import (
    Admitted,
    BatchAccepted,
    Effect,
    Input,
    JournalRecord,
    Now,
    Outcome,
    Priority,
    Refusal,
    SignatureItem,
)
from protocol.node.setup import NodeSetup, NodeStatus, Recovered
from protocol.sim.disk import Disk, DiskModel
from protocol.sim.events import Schedule, stream
from protocol.sim.host import Host
from protocol.sim.services import Result
from protocol.sim.signatures import Scheme, StandIn
from protocol.sim.surroundings import Surroundings, WorkModel
from protocol.sim.world import make_genesis
from tests.sim.named import SCENARIOS

ZERO = bytes(32)
GENESIS_RESULT = Executed(0, ZERO, 0, ZERO)


def header(height: int) -> bytes:
    return encode(Header(1, 1, height, ZERO, height, ZERO, (), GENESIS_RESULT, ZERO, ZERO))


def block(height: int) -> bytes:
    return encode(Block(header(height), (), None))


@dataclass
class ScriptedNode:
    """Answers each input by a function; records what it was stepped with."""

    recovered: Recovered
    answer: Callable[[Input], list[Effect]] = lambda given: []
    first: list[Effect] = field(default_factory=list)
    live: list[JournalRecord] = field(default_factory=list)
    wake: int | None = None
    inputs: list[Input] = field(default_factory=list)

    @property
    def wake_at_ms(self) -> int | None:
        return self.wake

    def start(self, now: Now) -> list[Effect]:
        return self.first

    def step(self, given: Input, now: Now) -> list[Effect]:
        self.inputs.append(given)
        return self.answer(given)

    def status(self) -> NodeStatus:
        return NodeStatus()

    def live_records(self) -> list[JournalRecord]:
        return self.live


class FakeServices:
    """Everything is good; executing a block adds nothing but its height."""

    def new_tables(self, genesis: Genesis) -> tuple[MemoryTables, Executed]:
        return MemoryTables(), GENESIS_RESULT

    def check_signature(self, item: SignatureItem) -> bool:
        return item.signature == b"good"

    def check_envelopes(
        self, tables: MemoryTables, envelopes: tuple[bytes, ...], clock_ms: int, member: str | None
    ) -> tuple[Admitted | Refusal, ...]:
        return tuple(Refusal("malformed", "never looked at") for _ in envelopes)

    def check_batch(self, data: bytes) -> BatchAccepted | Refusal:
        return Refusal("malformed", "never looked at")

    def execute(self, tables: MemoryTables, height: int, header: bytes, batches: tuple[bytes, ...]) -> Result:
        return Result({}, Executed(height, ZERO, 0, ZERO), ())


@dataclass
class Diary:
    """Watcher and postman in one: writes down in order what leaves a host."""

    schedule: Schedule
    entries: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def booted(self, host: Host) -> None:
        self.entries.append("booted")

    def installed(self, host: Host) -> None:
        self.entries.append("installed")

    def started(self, host: Host) -> None:
        self.entries.append("started")

    def said(self, host: Host, data: bytes) -> None:
        self.entries.append(f"said {data.decode()}")

    def appended(self, host: Host, height: int, block: Block) -> None:
        self.entries.append(f"appended {height}")

    def executed(self, host: Host, height: int, outcomes: tuple[Outcome, ...]) -> None:
        self.entries.append(f"executed {height}")

    def answered(self, host: Host, ticket: int, results: tuple[Admitted | Refusal, ...]) -> None:
        self.entries.append(f"answered {ticket}")

    def broken(self, host: Host, words: str) -> None:
        self.failures.append(words)

    def send(self, source: int, to: tuple[bytes, ...], priority: Priority, data: bytes) -> None:
        pass

    def disconnect(self, index: int, peer: bytes) -> None:
        self.entries.append("disconnected")

    def host_up(self, index: int) -> None:
        self.entries.append("up")

    def host_down(self, index: int) -> None:
        self.entries.append("down")


SCHEME: Scheme = StandIn()
GENESIS, _ = make_genesis(SCENARIOS["quiet"], SCHEME)


@dataclass
class Bench:
    """One host with a scripted node."""

    schedule: Schedule
    diary: Diary
    host: Host
    nodes: list[ScriptedNode]

    @property
    def node(self) -> ScriptedNode:
        return self.nodes[-1]


def bench(script: Callable[[ScriptedNode], None], model: DiskModel | None = None, seed: int = 0) -> Bench:
    """A host that has not booted; `script` dresses each node that is made."""
    schedule = Schedule()
    diary = Diary(schedule)
    nodes: list[ScriptedNode] = []

    def factory(setup: NodeSetup, recovered: Recovered) -> ScriptedNode:
        node = ScriptedNode(recovered)
        script(node)
        nodes.append(node)
        return node

    around = Surroundings(schedule, FakeServices(), factory, diary, diary, WorkModel(), 3)
    disk = Disk(model or DiskModel(), MemoryTables(), GENESIS_RESULT)
    setup = NodeSetup(GENESIS, GENESIS.validators[0].node_key)
    return Bench(schedule, diary, Host(0, setup, disk, around, stream(seed, "host")), nodes)
