"""One simulated machine: it drives a node by the numbered duties of `node.interface`.

How a list of effects is carried out: its `Persist` records go to the journal's tail at once; checks are handed
to workers at once (duty 4); all that leaves or builds on it (`Send`, `Append`, `Execute`, `Answer`) waits in a
queue until the journal is synced up to the last record of that list (duty 1). One sync serves all that waits.
When it is done the queue is released in order, then `Persisted` is stepped (duty 2). Blocks are executed one
after the other (duty 3); checks take a random time each and overtake each other.

The journal is rotated only in a moment when nothing waits and no sync runs: then all that the node called final
is in the segments, and `live_records` is complete. Segments are synced first, then the new journal is written,
then renamed.

A machine that falls (crash, power cut, failed sync, `Halt`, an exception of the node) loses the node and what
was not durable. Events that were planned for a former life carry its number and are passed over. The monotonic
clock of a life starts anywhere; the wall clock is the world's plus the machine's skew.

Deliberately absent: opinions. The host tells a `Watcher` what is said, stored and acknowledged; checkers judge.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Protocol

from protocol.codec import decode
from protocol.errors import PapilioError
from protocol.ledger.records import Block, Header
from protocol.node.interface import (
    Admitted,
    Answer,
    Append,
    BatchChecked,
    BlockExecuted,
    BlocksRead,
    CheckBatch,
    CheckEnvelopes,
    CheckSignatures,
    Disconnect,
    Effect,
    EnvelopesChecked,
    Execute,
    Halt,
    Input,
    JournalRecord,
    Note,
    Now,
    Outcome,
    PeerDown,
    PeerUp,
    Persist,
    Persisted,
    Pressure,
    Priority,
    ReadBlocks,
    Received,
    Refusal,
    Send,
    SignaturesChecked,
    Submit,
    Tick,
)
from protocol.node.setup import NodeSetup, Recovered
from protocol.sim.disk import Disk
from protocol.sim.events import MS_US, Schedule
from protocol.sim.services import AnyNode, NodeFactory, Result, Services

WALL_START_MS = 1_800_000_000_000
LINES_KEPT = 40


@dataclass(frozen=True, slots=True)
class WorkModel:
    """How long workers take, in microseconds: a base for each job, and so much for each item."""

    check_us: int = 60
    signature_us: int = 55
    execute_us: int = 200
    envelope_us: int = 40
    read_us: int = 150
    replay_us: int = 300
    slow_factor: int = 1


class Watcher(Protocol):
    """Who looks on: told before others can see it."""

    def booted(self, host: Host) -> None:
        """A life begins; the disk is as the node will find it."""
        ...

    def started(self, host: Host) -> None:
        """All that `start` gave has been carried out."""
        ...

    def said(self, host: Host, data: bytes) -> None:
        """A message leaves."""
        ...

    def appended(self, host: Host, height: int, block: Block) -> None:
        """A final block has reached the segments, not synced."""
        ...

    def executed(self, host: Host, height: int, outcomes: tuple[Outcome, ...]) -> None:
        """A final block has been executed: clients may now be told."""
        ...

    def answered(self, host: Host, ticket: int, results: tuple[Admitted | Refusal, ...]) -> None:
        """A client's envelopes were accepted or refused."""
        ...

    def broken(self, host: Host, words: str) -> None:
        """The node halted or failed."""
        ...


class Postman(Protocol):
    """The host's way to the network."""

    def send(self, source: int, to: tuple[bytes, ...], priority: Priority, data: bytes) -> None:
        """Carry one message to these nodes."""
        ...

    def disconnect(self, index: int, peer: bytes) -> None:
        """Close the connection between this host and a peer; it may be made again after a while."""
        ...

    def host_up(self, index: int) -> None:
        """Connect this host to those it can reach."""
        ...

    def host_down(self, index: int) -> None:
        """All connections of this host are gone."""
        ...


@dataclass(slots=True)
class Surroundings:
    """What all hosts of a run share."""

    schedule: Schedule
    services: Services
    factory: NodeFactory
    watcher: Watcher
    postman: Postman
    work: WorkModel
    blocks_at_start: int
    """How many of the newest blocks a node is given when it starts."""


class Host:
    """A machine, its disk, and the node on it while it runs."""

    def __init__(self, index: int, setup: NodeSetup, disk: Disk, around: Surroundings, generator: Random) -> None:
        self.index = index
        self.setup = setup
        self.disk = disk
        self.around = around
        self.generator = generator
        self.honest = True
        entries = setup.genesis.validators
        self.member = next((entry.member for entry in entries if entry.node_key == setup.node_key), None)
        """Whose validator this is; None for an observer."""
        self.factory: NodeFactory = around.factory
        self.skew_ms = 0
        self.work_factor = 1
        self.node: AnyNode | None = None
        self.life = 0
        self.tickets = 0
        self.counters: dict[str, int] = {}
        self.lines: deque[tuple[int, str]] = deque(maxlen=LINES_KEPT)
        self._clear()

    def _clear(self) -> None:
        self.boot_us = 0
        self.clock_start_ms = 0
        self.written = 0
        self.durable = 0
        self.held: deque[tuple[int, list[Effect]]] = deque()
        self.syncing = False
        self.armed_us: int | None = None
        self.executions: deque[Execute] = deque()
        self.executing = False
        self.maintaining = False
        self.rotation_due = False
        self.waits_for_start = False

    # -- Clocks -------------------------------------------------------------------------------------

    def now(self) -> Now:
        """This machine's clocks."""
        now_us = self.around.schedule.now_us
        monotonic_ms = self.clock_start_ms + (now_us - self.boot_us) // MS_US
        return Now(monotonic_ms, WALL_START_MS + now_us // MS_US + self.skew_ms)

    def line(self, words: str) -> None:
        """Remember one of the last lines of this node."""
        self.lines.append((self.around.schedule.now_us, words))

    def count(self, name: str) -> None:
        """One more of `name`."""
        self.counters[name] = self.counters.get(name, 0) + 1

    # -- Life and death -----------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether a node runs here."""
        return self.node is not None

    def boot(self) -> None:
        """Start a node on what the disk holds; blocks that the state lacks are executed first (L-26)."""
        assert self.node is None, "one node on one disk (L-27)"
        self._clear()
        self.life += 1
        self.disk.failing = False
        schedule = self.around.schedule
        missing = max(0, len(self.disk.blocks) - len(self.disk.executed))
        self._replay()
        self.boot_us = schedule.now_us
        self.clock_start_ms = self.generator.randrange(1, 10_000_000)
        self.around.watcher.booted(self)
        blocks = self.disk.newest_blocks(self.around.blocks_at_start)
        recovered = Recovered(
            journal=tuple(self.disk.journal),
            blocks=blocks,
            executed=self.disk.newest_results(blocks),
            genesis_executed=self.disk.genesis,
        )
        self.line(
            f"boots: {len(recovered.journal)} journal records, height {len(self.disk.blocks)}, {missing} replayed"
        )
        self.waits_for_start = True
        try:
            self.node = self.factory(self.setup, recovered)
            effects = self.node.start(self.now())
        except Exception as fault:  # noqa: BLE001 - whatever a node raises is what we look for
            self._broken(_words(fault))
            return
        self._carry(effects)
        if self.up:
            self._maybe_started()
            self.around.postman.host_up(self.index)

    def _replay(self) -> None:
        disk = self.disk
        while len(disk.executed) < len(disk.blocks):
            height = len(disk.executed) + 1
            block = decode(Block, disk.blocks[height - 1].data)
            result = self.around.services.execute(disk.tables, height, block.header, block.batches)
            disk.apply(result.writes, result.executed)
        disk.segments_synced(len(disk.blocks), len(disk.executed))

    def fall(self, words: str) -> None:
        """Lose the node and what is not durable, at once."""
        if self.node is None:
            return
        self.node = None
        self.life += 1
        lost = self.disk.crash(self.generator)
        if lost.torn:
            self.count("torn")
        if lost.records or lost.blocks:
            self.count("lost_writes")
        self.line(f"{words}: lost {lost.records} records, {lost.blocks} blocks, {lost.states} states")
        self._clear()
        self.around.postman.host_down(self.index)

    def _broken(self, words: str) -> None:
        self.line(f"broken: {words}")
        self.around.watcher.broken(self, words)
        if self.node is None:
            self.life += 1
            return
        self.fall("stopped")

    # -- In -----------------------------------------------------------------------------------------

    def step(self, given: Input) -> None:
        """Step the node and carry out what it says; nothing if no node runs."""
        node = self.node
        if node is None:
            return
        try:
            effects = node.step(given, self.now())
        except Exception as fault:  # noqa: BLE001 - whatever a node raises is what we look for
            self._broken(_words(fault))
            return
        self._carry(effects)

    def _step_in(self, life: int, given: Input) -> None:
        if life == self.life:
            self.step(given)

    def peer_up(self, peer: bytes) -> None:
        """A connection stands."""
        self.step(PeerUp(peer))

    def peer_down(self, peer: bytes) -> None:
        """A connection is gone."""
        self.step(PeerDown(peer))

    def receive(self, peer: bytes, data: bytes) -> None:
        """A message has come."""
        self.step(Received(peer, data))

    def submit(self, envelopes: tuple[bytes, ...]) -> int:
        """A client posts envelopes; the ticket that the answer will carry."""
        self.tickets += 1
        ticket = self.tickets
        self.step(Submit(ticket, envelopes))
        return ticket

    def pressure(self, *, full: bool) -> None:
        """The disk is nearly full, or has room again."""
        self.step(Pressure(full))

    # -- Effects ------------------------------------------------------------------------------------

    def _carry(self, effects: list[Effect]) -> None:
        waiting: list[Effect] = []
        for effect in effects:
            kind = type(effect)
            if kind is Persist:
                self.disk.write(effect.record)  # type: ignore[union-attr]
                self.written += 1
            elif kind in _LEAVING:
                waiting.append(effect)
            elif kind is Note:
                self._note(effect)  # type: ignore[arg-type]
            elif kind is Halt:
                self._broken(f"halts: {effect.code}: {effect.words}")  # type: ignore[union-attr]
                return
            else:
                self._work(effect)
        if waiting:
            if self.durable == self.written:
                assert not self.held, "what waits, waits for a sync"
                self._release(waiting)
            else:
                self.held.append((self.written, waiting))
        if self.node is not None:
            self._sync()
            self._arm()

    def _note(self, note: Note) -> None:
        self.count(note.name)
        facts = " ".join(f"{key}={_short(value)}" for key, value in note.facts.items())
        self.lines.append((self.around.schedule.now_us, f"{note.name} {facts}" if facts else note.name))

    def _release(self, effects: list[Effect]) -> None:
        around = self.around
        for effect in effects:
            kind = type(effect)
            if kind is Send:
                around.watcher.said(self, effect.data)  # type: ignore[union-attr]
                around.postman.send(self.index, effect.to, effect.priority, effect.data)  # type: ignore[union-attr]
            elif kind is Append:
                self._append(effect)  # type: ignore[arg-type]
            elif kind is Execute:
                self.executions.append(effect)  # type: ignore[arg-type]
                self._execute_next()
            elif kind is Disconnect:
                self.count("disconnect")
                self.line(f"disconnects {_short(effect.peer)}: {effect.words}")  # type: ignore[union-attr]
                around.postman.disconnect(self.index, effect.peer)  # type: ignore[union-attr]
            else:
                around.watcher.answered(self, effect.ticket, effect.results)  # type: ignore[union-attr]

    def _append(self, effect: Append) -> None:
        block = decode(Block, effect.block)
        height = self.disk.append(effect.block, block)
        if height != effect.height:
            self.around.watcher.broken(self, f"appends height {effect.height} where {height} is next")
        self.around.watcher.appended(self, effect.height, block)
        if not self.maintaining:
            self.maintaining = True
            low, high = self.disk.model.maintenance_us
            self.around.schedule.after(self.generator.randint(low, high), self._maintain, self.life)

    # -- Timers -------------------------------------------------------------------------------------

    def _arm(self) -> None:
        node = self.node
        wake_ms = None if node is None else node.wake_at_ms
        if wake_ms is None:
            return
        schedule = self.around.schedule
        target_us = max(self.boot_us + (wake_ms - self.clock_start_ms) * MS_US, schedule.now_us + MS_US // 4)
        if self.armed_us is None or target_us < self.armed_us:
            self.armed_us = target_us
            schedule.at(target_us, self._fired, self.life, target_us)

    def _fired(self, life: int, target_us: int) -> None:
        if life != self.life or target_us != self.armed_us or self.node is None:
            return
        self.armed_us = None
        wake_ms = self.node.wake_at_ms
        if wake_ms is not None and wake_ms <= self.now().monotonic_ms:
            self.step(Tick())
        else:
            self._arm()

    # -- Journal ------------------------------------------------------------------------------------

    def _sync(self) -> None:
        if not self.syncing and self.durable < self.written:
            self.syncing = True
            self.around.schedule.after(self.disk.sync_time_us(self.generator), self._synced, self.life, self.written)

    def _synced(self, life: int, written: int) -> None:
        if life != self.life:
            return
        self.syncing = False
        if self.disk.failing:
            self.fall("a sync fails")
            return
        self.disk.journal_synced = len(self.disk.journal) - (self.written - written)
        self._durable(written)

    def _durable(self, written: int) -> None:
        self.durable = written
        life = self.life
        while self.held and self.held[0][0] <= written:
            self._release(self.held.popleft()[1])
            if life != self.life:
                return
        self._maybe_started()
        self.step(Persisted(written))
        if life == self.life:
            self._sync()
            self._maybe_rotate()

    def _maybe_started(self) -> None:
        if self.waits_for_start and not self.held:
            self.waits_for_start = False
            self.around.watcher.started(self)

    # -- Segments, state, rotation ------------------------------------------------------------------

    def _maintain(self, life: int) -> None:
        if life != self.life:
            return
        self.maintaining = False
        blocks, states = len(self.disk.blocks), len(self.disk.executed)
        self.around.schedule.after(self.disk.sync_time_us(self.generator), self._maintained, life, blocks, states)

    def _maintained(self, life: int, blocks: int, states: int) -> None:
        if life != self.life:
            return
        if self.disk.failing:
            self.fall("a sync of segments fails")
            return
        self.disk.segments_synced(blocks, states)
        self.rotation_due = len(self.disk.journal) >= self.disk.model.rotate_records
        self._maybe_rotate()

    def _maybe_rotate(self) -> None:
        busy = self.syncing or self.held or self.durable != self.written
        if not self.rotation_due or busy or self.node is None:
            return
        self.rotation_due = False
        self.syncing = True
        life, live = self.life, self.node.live_records()
        blocks, states = len(self.disk.blocks), len(self.disk.executed)
        self.around.schedule.after(
            self.disk.sync_time_us(self.generator), self._rename, life, live, blocks, states, self.written
        )

    def _rename(self, life: int, live: list[JournalRecord], blocks: int, states: int, written: int) -> None:
        if life != self.life:
            return
        if self.disk.failing:
            self.fall("a sync of segments fails")
            return
        self.disk.segments_synced(blocks, states)
        self.disk.rotating = list(live)
        self.around.schedule.after(self.disk.sync_time_us(self.generator), self._rotated, life, written)

    def _rotated(self, life: int, written: int) -> None:
        if life != self.life:
            return
        if self.disk.failing:
            self.fall("a sync of the new journal fails")
            return
        self.disk.rotated(self.written - written)
        self.count("rotations")
        self.syncing = False
        self._sync()

    # -- Workers ------------------------------------------------------------------------------------

    def _work(self, effect: Effect) -> None:
        model = self.around.work
        match effect:
            case CheckSignatures(items=items):
                cost_us = model.check_us + model.signature_us * len(items)
            case CheckEnvelopes(envelopes=envelopes):
                cost_us = model.check_us + model.envelope_us * len(envelopes)
            case ReadBlocks():
                cost_us = model.read_us
            case _:
                cost_us = model.check_us + model.envelope_us * 4
        cost_us = self.generator.randint(cost_us, 2 * cost_us) * model.slow_factor * self.work_factor
        self.around.schedule.after(cost_us, self._worked, self.life, effect)

    def _worked(self, life: int, effect: Effect) -> None:
        if life != self.life:
            return
        services = self.around.services
        match effect:
            case CheckSignatures(job=job, items=items):
                self.step(SignaturesChecked(job, tuple([services.check_signature(item) for item in items])))
            case CheckEnvelopes(job=job, envelopes=envelopes):
                clock_ms, tables = self.now().wall_ms, self.disk.tables
                verdicts = services.check_envelopes(tables, envelopes, clock_ms, self.member)
                self.step(EnvelopesChecked(job, verdicts))
            case CheckBatch(job=job, data=data):
                self.step(BatchChecked(job, services.check_batch(data)))
            case ReadBlocks(job=job, first_height=first, count=count, bytes_max=bytes_max):
                self.step(BlocksRead(job, first, self.disk.read(first, count, bytes_max)))
            case _:
                raise AssertionError(f"not work: {effect!r}")

    def _execute_next(self) -> None:
        if self.executing or not self.executions:
            return
        self.executing = True
        model, effect = self.around.work, self.executions.popleft()
        cost_us = model.execute_us + model.envelope_us * 4 * len(effect.batches)
        cost_us = self.generator.randint(cost_us, 2 * cost_us) * model.slow_factor * self.work_factor
        self.around.schedule.after(cost_us, self._executed, self.life, effect)

    def _executed(self, life: int, effect: Execute) -> None:
        if life != self.life:
            return
        self.executing = False
        if effect.height != len(self.disk.executed) + 1:
            self._broken(f"executes height {effect.height} on a state of height {len(self.disk.executed)}")
            return
        result: Result = self.around.services.execute(self.disk.tables, effect.height, effect.header, effect.batches)
        self.disk.apply(result.writes, result.executed)
        self.around.watcher.executed(self, effect.height, result.outcomes)
        self.step(BlockExecuted(result.executed, result.outcomes))
        if life == self.life:
            self._execute_next()

    def newest_time_ms(self) -> int:
        """Time of the newest block in the segments, 0 if there is none."""
        if not self.disk.blocks:
            return 0
        return decode(Header, decode(Block, self.disk.blocks[-1].data).header).time_ms


_LEAVING = frozenset({Send, Append, Execute, Answer, Disconnect})


def _words(fault: Exception) -> str:
    words = fault.words if isinstance(fault, PapilioError) else str(fault)
    where = ""
    trace = fault.__traceback__
    while trace is not None:
        where = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(fault).__name__} in {where}: {words}"


def _short(value: int | str | bytes | bool | None) -> str:
    return value[:4].hex() if isinstance(value, bytes) else str(value)
