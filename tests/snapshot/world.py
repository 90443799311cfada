"""A network of one with some history, its snapshots, and joiners with peers that are functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache

from protocol.apps.evidence.records import SHA256, RecordEvidence, Statement
from protocol.codec import decode, encode
from protocol.ledger.envelope import seal_envelope
from protocol.ledger.genesis import DEFAULT_PARAMETERS
from protocol.ledger.memory import MemoryTables
from protocol.ledger.records import Block, EnvelopeBody, Header, Operation, account_name
from protocol.node import interface as node_io
from protocol.node.joining import Forget, Joining, JoiningEffect, Keep
from protocol.sim.snapshots import MemorySnapshots
from protocol.snapshot import serving
from protocol.snapshot.installing import Installing
from protocol.sync import end_of_answer, parts_of
from protocol.wire import messages
from tests.ledger.world import key, make_genesis
from tests.node.driver import Driver

SLOT_MS = 1_000
PARAMETERS = replace(DEFAULT_PARAMETERS, envelope_ttl_max_ms=4_000, batch_ttl_max=12, execution_lag_max=2)
Speaker = Callable[[bytes], list[bytes]]
"""A peer: what it is asked -> what it answers."""


@dataclass
class History:
    """A node that ran for a while, and serves snapshots."""

    driver: Driver
    snapshots: MemorySnapshots

    def block_at(self, height: int) -> bytes | None:
        return self.driver.blocks[height - 1] if 1 <= height <= len(self.driver.blocks) else None

    def answer(self, data: bytes) -> list[bytes]:
        """An honest peer."""
        question = messages.read(data)
        if isinstance(question, messages.BlocksWanted):
            end = min(question.first_height + question.count, len(self.driver.blocks) + 1)
            found = [
                part for at in range(question.first_height, end) for part in parts_of(at, self.driver.blocks[at - 1])
            ]
            return [*found, end_of_answer(max(question.first_height, end))]
        return serving.answer(self.snapshots, question)


def envelope(driver: Driver, number: int) -> bytes:
    """Evidence, by one of two accounts, valid nearly as long as may be."""
    who = key(1 + number % 2)
    statement = Statement(SHA256, number.to_bytes(32, "big"), 1, "", "", "", "", None)
    body = EnvelopeBody(
        driver.node.body.network_id,
        account_name(who.public),
        number.to_bytes(16, "big"),
        driver.now.wall_ms + 3_500,
        (Operation("evidence", "record", encode(RecordEvidence(None, number.to_bytes(16, "big"), statement))),),
        (who.public,),
    )
    return seal_envelope(body, [who])


def make_history(envelopes: int, *, seconds: int = 12, per_block: int = 3) -> History:
    """A network of one that recorded so many envelopes, a few a block, and was quiet now and then."""
    driver = Driver(make_genesis(1, PARAMETERS))
    made = History(driver, MemorySnapshots(driver.tables, lambda height: made.block_at(height)))  # noqa: PLW0108
    driver.start()
    number = 0
    for second in range(seconds):
        for _ in range(4):
            if number < envelopes and second % 4 != 3:
                data = tuple(envelope(driver, number + i + 1) for i in range(per_block))
                driver.step(node_io.Submit(7, data))
                number += per_block
            driver.run(250)
        made.snapshots.make(driver.node.covering_height, SLOT_MS)
    assert number >= envelopes
    return made


@cache
def history() -> History:
    """One for tests that change nothing of it."""
    return make_history(90)


class Disk(dict[bytes, bytes]):
    """What a joiner keeps."""

    def has(self, key: bytes) -> bool:
        return key in self

    def forget(self) -> None:
        for name in [name for name in self if not name.startswith(b"e")]:
            del self[name]


@dataclass
class World:
    """A joiner, its disk and its peers; messages arrive at once, in order."""

    history: History
    peers: dict[bytes, Speaker]
    disk: Disk = field(default_factory=Disk)
    clock_ms: int = 0
    effects: list[JoiningEffect] = field(default_factory=list)
    answered: dict[bytes, int] = field(default_factory=dict)
    steps_max: int | None = None
    pinned: tuple[int, bytes] | None = None

    def __post_init__(self) -> None:
        self.joining = self.make()

    def make(self) -> Joining:
        return Joining(self.history.driver.genesis, self.disk, self.now, pinned=self.pinned)

    @property
    def now(self) -> node_io.Now:
        return node_io.Now(self.clock_ms, self.clock_ms)

    def connect(self, peers: Iterable[bytes] | None = None) -> None:
        for peer in self.peers if peers is None else peers:
            self.step(node_io.PeerUp(peer))

    def step(self, given: node_io.PeerUp | node_io.PeerDown | node_io.Received | node_io.Tick) -> None:
        """Step, carry out, and let peers answer, until nothing follows or the steps are used up."""
        line = [given]
        while line and self.steps_max != 0:
            if self.steps_max is not None:
                self.steps_max -= 1
            effects = self.joining.step(line.pop(0), self.now)
            self.effects += effects
            for effect in effects:
                match effect:
                    case Keep(key, data):
                        self.disk[key] = data
                    case Forget():
                        self.disk.forget()
                    case node_io.Disconnect(peer):
                        line = [each for each in line if getattr(each, "peer", None) != peer]
                    case node_io.Send((peer,), _, data):
                        answers = self.peers[peer](data)
                        self.answered[peer] = self.answered.get(peer, 0) + len(answers)
                        line += [node_io.Received(peer, answer) for answer in answers]

    def run(self, ms: int = 60_000) -> None:
        """Let time pass until it is complete, or so long."""
        end = self.clock_ms + ms
        while not self.joining.complete and self.clock_ms < end and self.steps_max != 0:
            self.clock_ms += 500
            self.step(node_io.Tick())

    def charged(self) -> dict[bytes, str]:
        """Who was blamed, and with what words."""
        notes = [e for e in self.effects if isinstance(e, node_io.Note) and e.name == "peer_charged"]
        return {bytes(note.facts["peer"]): str(note.facts["words"]) for note in notes}  # type: ignore[arg-type]

    def install(self) -> tuple[MemoryTables, list[bytes]]:
        """Tables and blocks from what was gathered."""
        joining, tables = self.joining, MemoryTables()
        assert joining.complete
        assert joining.gathering is not None
        assert joining.offer is not None
        done = Installing(joining.genesis, joining.gathering, joining.offer, joining.epochs, tables.apply)
        done.tables()
        return tables, [data for _, data in done.blocks()]


def headers_of(blocks: list[bytes]) -> list[Header]:
    return [decode(Header, decode(Block, data).header) for data in blocks]
