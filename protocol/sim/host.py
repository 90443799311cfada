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

Where a scenario says that this machine joins by a snapshot, a joiner runs on it first (`joiner`), in the node's place.

A frozen machine keeps its memory and does nothing: what comes to it and what its own timers, syncs and workers bring is
kept in order, and happens when it goes on.

Deliberately absent: opinions. The host tells a `Watcher` what is said, stored and acknowledged; checkers judge.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from protocol.codec import decode
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.crypto.signing import SigningKey
from protocol.ledger.records import Block
from protocol.node.interface import (
    Answer,
    Append,
    Disconnect,
    Effect,
    EraseKey,
    Execute,
    Halt,
    Input,
    JournalRecord,
    KeyFound,
    Note,
    Now,
    PeerDown,
    PeerUp,
    Persist,
    Persisted,
    Pressure,
    Received,
    Send,
    Submit,
    TakePart,
    Tick,
)
from protocol.node.setup import NodeSetup, Recovered, recall_epochs
from protocol.sim.disk import Disk
from protocol.sim.events import MS_US
from protocol.sim.joiner import Joiner
from protocol.sim.lines import LINES_KEPT, short, words_of_fault, words_of_note
from protocol.sim.services import AnyNode, NodeFactory
from protocol.sim.snapshots import MemorySnapshots
from protocol.sim.surroundings import WALL_START_MS, Surroundings
from protocol.sim.upkeep import Upkeep
from protocol.sim.workers import Workers
from protocol.wire.memory import LIFE_BYTES


class Host:
    """A machine, its disk, and the node on it while it runs."""

    def __init__(self, index: int, setup: NodeSetup, disk: Disk, around: Surroundings, generator: Random) -> None:
        self.index = index
        self.setup = setup
        self.disk = disk
        self.around = around
        self.generator = generator
        self.honest = True
        self.may_stop = False
        """It runs beside another machine with its key: one of the two has to stop."""
        self.forced = False
        """The operator commands the next start to vote without a quorum of answers (C-24)."""
        entries = setup.genesis.validators
        self.member = next((entry.member for entry in entries if entry.node_key == setup.node_key), None)
        """Whose validator this is; None for an observer."""
        self.factory: NodeFactory = around.factory
        self.erased: set[bytes] = set()
        self.skew_ms = 0
        self._now = Now(0, 0)
        self.work_factor = 1
        self.node: AnyNode | None = None
        self.joiner: Joiner | None = None
        """What runs here in the node's place until there is a state for it."""
        self.life = 0
        self.tickets = 0
        self.counters: dict[str, int] = {}
        self.lines: deque[tuple[int, str]] = deque(maxlen=LINES_KEPT)
        self.held_down = 0
        """So many faults keep the machine from starting."""
        self.looker: Callable[[Host], None] | None = None
        """Who wants to see the node after each of its steps: a trace."""
        self.lives: list[tuple[int, int | None]] = []
        """(from, to) of each life, in microseconds; None while it lasts."""
        self._clear()

    def _clear(self) -> None:
        self.boot_us = 0
        self.clock_start_ms = 0
        self.written = 0
        self.needed = 0
        self.durable = 0
        self.held: deque[tuple[int, list[Effect]]] = deque()
        self.syncing = False
        self.armed_us: int | None = None
        self.workers = Workers(self)
        self.upkeep = Upkeep(self)
        self.joiner = None
        self.maintaining = False
        self.rotation_due = False
        self.waits_for_start = False
        self.paused = 0
        self.frozen: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    # -- Clocks -------------------------------------------------------------------------------------

    def now(self) -> Now:
        """This machine's clocks."""
        now_us, last = self.around.schedule.now_us, self._now
        monotonic_ms = self.clock_start_ms + (now_us - self.boot_us) // MS_US
        wall_ms = WALL_START_MS + now_us // MS_US + self.skew_ms
        if last.monotonic_ms != monotonic_ms or last.wall_ms != wall_ms:
            last = self._now = Now(monotonic_ms, wall_ms)
        return last

    def line(self, words: str) -> None:
        """Remember one of the last lines of this node."""
        self.lines.append((self.around.schedule.now_us, words))

    def count(self, name: str) -> None:
        """One more of `name`."""
        self.counters[name] = self.counters.get(name, 0) + 1

    # -- Life and death -----------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether a process runs here: a node, or what joins before there is one."""
        return self.node is not None or self.joiner is not None

    @property
    def begins_by_snapshot(self) -> bool:
        """Whether its next start is a joining."""
        return self.index in self.around.storage.by_snapshot and not self.disk.blocks

    @property
    def snapshots(self) -> MemorySnapshots:
        """What this machine answers of snapshots."""
        disk = self.disk
        return MemorySnapshots(disk.tables, self._block, made=disk.made, closed_at=disk.closed)

    def _block(self, height: int) -> bytes | None:
        found = self.disk.read(height, 1, 0)
        return found[0] if found else None

    def boot(self) -> None:
        """Start what the disk is for: a joiner where it has no blocks and is to begin by a snapshot, or a node."""
        assert not self.up, "one node on one disk (L-27)"
        self.disk.failing = False
        self._new_life()
        if self.begins_by_snapshot:
            self._begin_joining()
        else:
            self._boot_node()

    def begin_node(self) -> None:
        """The joiner is done: a node starts in its place, with connections of its own."""
        self.lives[-1] = (self.lives[-1][0], self.around.schedule.now_us)
        self._new_life()
        self.around.postman.host_down(self.index)
        self._boot_node()

    def _new_life(self) -> None:
        self._clear()
        self.life += 1
        self.boot_us = self.around.schedule.now_us
        self.clock_start_ms = self.generator.randrange(1, 10_000_000)
        self.lives.append((self.boot_us, None))

    def _begin_joining(self) -> None:
        self.line("joins by a snapshot")
        try:
            self.joiner = Joiner(self)
            self.joiner.begin()
        except Exception as fault:  # noqa: BLE001 - as of a node
            self.broken(words_of_fault(fault))
            return
        self.around.postman.host_up(self.index)

    def _boot_node(self) -> None:
        """Start a node; blocks that the state lacks are executed first (L-26)."""
        missing = max(0, self.disk.blocks.last - self.disk.executed.last)
        self._replay()
        self.around.watcher.booted(self)
        blocks = self.disk.newest_blocks(self.around.blocks_at_start)
        epochs = recall_epochs(self.setup.genesis, self.disk.tables, blocks[-1] if blocks else None)
        stored = [self.disk.blocks.at(closing.height) for closing in epochs.closings]
        closing_blocks = [decode(Block, block.short) for block in stored if block]
        recovered = Recovered(
            journal=tuple(self.disk.journal),
            blocks=blocks,
            executed=self.disk.newest_results(blocks),
            genesis_executed=self.disk.genesis,
            sets=epochs.sets,
            nodes=epochs.nodes,
            closings=epochs.closings,
            closing_finalizations=tuple(block.finalization for block in closing_blocks if block.finalization),
            amnesiac=self.disk.forgotten,
            forced=self.forced,
        )
        self.forced = False
        self.line(
            f"boots: {len(recovered.journal)} journal records, height {self.disk.blocks.last}, {missing} replayed"
        )
        self.waits_for_start = True
        try:
            self.node = self.factory(replace(self.setup, life=self._life()), recovered)
            effects = self.node.start(self.now())
        except Exception as fault:  # noqa: BLE001 - whatever a node raises is what we look for
            self.broken(words_of_fault(fault))
            return
        self._carry(effects)
        if self.up and self.disk.full:
            self.step(Pressure(True))
        if self.up:
            self._maybe_started()
            self.around.postman.host_up(self.index)

    def _life(self) -> bytes:
        """What the process draws at its start (C-24)."""
        return digest(Domain.MESSAGE, b"life %d %d" % (self.index, self.life))[:LIFE_BYTES]

    def start_again(self) -> None:
        """Start the node if nothing keeps it down and it does not run."""
        if not self.up and not self.held_down:
            self.boot()

    def _replay(self) -> None:
        disk = self.disk
        for height, stored in disk.blocks.numbered(disk.executed.last + 1):
            block = decode(Block, stored.data)
            result = self.around.services.execute(disk.tables, height, block.header, block.batches)
            disk.apply(result.writes, result.executed)
            self.around.watcher.executed(self, height, result.outcomes)
        disk.segments_synced(disk.blocks.last, disk.executed.last)

    def fall(self, words: str) -> None:
        """Lose the node and what is not durable, at once."""
        if not self.up:
            return
        self.node = None
        self.life += 1
        self.lives[-1] = (self.lives[-1][0], self.around.schedule.now_us)
        lost = self.disk.crash(self.generator)
        if lost.torn:
            self.count("torn")
        if lost.records or lost.blocks:
            self.count("lost_writes")
        self.line(f"{words}: lost {lost.records} records, {lost.blocks} blocks, {lost.states} states")
        self._clear()
        self.around.postman.host_down(self.index)

    def broken(self, words: str) -> None:
        """The node stopped by itself: tell, and fall."""
        self.line(f"broken: {words}")
        self.around.watcher.broken(self, words)
        if not self.up:
            self.life += 1
            return
        self.fall("stopped")

    def freeze(self) -> int:
        """Stand still, memory kept; gives the life that `thaw` takes."""
        self.paused += 1
        return self.life

    def thaw(self, life: int) -> None:
        """Go on, if the frozen process still is the one that runs."""
        if life != self.life or not self.paused:
            return
        self.paused -= 1
        if not self.paused:
            frozen, self.frozen = self.frozen, []
            for action, arguments in frozen:
                self._run(action, *arguments)

    def later(self, delay_us: int, action: Callable[..., None], *arguments: Any) -> None:
        """Plan what this machine does by itself."""
        self.around.schedule.after(delay_us, self._run, action, *arguments)

    def _run(self, action: Callable[..., None], *arguments: Any) -> None:
        if self.paused:
            self.frozen.append((action, arguments))
        else:
            action(*arguments)

    # -- In -----------------------------------------------------------------------------------------

    def step(self, given: Input) -> None:
        """Step the node, or the joiner, and carry out what it says; nothing if none runs."""
        if not self.up:
            return
        if self.paused:
            self.frozen.append((self.step, (given,)))
            return
        node, joiner = self.node, self.joiner
        try:
            if node is None:
                assert joiner is not None, "one of the two runs"
                joiner.step(given)
                return
            effects = node.step(given, self.now())
        except Exception as fault:  # noqa: BLE001 - whatever a node raises is what we look for
            self.broken(words_of_fault(fault))
            return
        self._carry(effects)
        if self.looker is not None:
            self.looker(self)

    def peer_up(self, peer: bytes) -> None:
        """A connection stands."""
        self.step(PeerUp(peer))

    def peer_down(self, peer: bytes, *, replaced: bool = False) -> None:
        """A connection is gone; `replaced` by one with another machine that has its key."""
        self.step(PeerDown(peer, replaced))

    def receive(self, peer: bytes, data: bytes) -> None:
        """A message has come."""
        self.step(Received(peer, data))

    def submit(self, envelopes: tuple[bytes, ...]) -> int:
        """A client posts envelopes; the ticket that the answer will carry."""
        self.tickets += 1
        ticket = self.tickets
        self.step(Submit(ticket, envelopes))
        return ticket

    def fill(self, change: int) -> None:
        """One fault more (1) or less (-1) keeps the disk nearly full."""
        was, self.disk.full = self.disk.full > 0, self.disk.full + change
        if was != (self.disk.full > 0):
            self.step(Pressure(self.disk.full > 0))

    # -- Effects ------------------------------------------------------------------------------------

    def _carry(self, effects: list[Effect]) -> None:
        waiting: list[Effect] = []
        for effect in effects:
            kind = type(effect)
            if kind is Persist:
                self.disk.write(effect.record)  # type: ignore[union-attr]
                self.written += 1
                if not effect.patient:  # type: ignore[union-attr]
                    self.needed = self.written
            elif kind in _LEAVING:
                waiting.append(effect)
            elif kind is Note:
                self.note(effect)  # type: ignore[arg-type]
            elif kind is TakePart:
                pass  # who may connect is the daemon's affair: here every machine knows every other
            elif kind is Halt:
                self.broken(f"halts: {effect.code}: {effect.words}")  # type: ignore[union-attr]
                return
            else:
                self.workers.check(effect)
        if waiting:
            if any(type(effect) is Append for effect in waiting):
                self.needed = self.written
            if self.durable >= self.needed and not self.held:
                self._release(waiting)
            else:
                self.held.append((self.needed, waiting))
        if self.node is not None:
            self._sync()
            self._arm()

    def note(self, note: Note) -> None:
        """Count it, and remember its line."""
        self.count(note.name)
        self.lines.append((self.around.schedule.now_us, words_of_note(note)))

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
                self.workers.execute(effect)  # type: ignore[arg-type]
            elif kind is Disconnect:
                self.count("disconnect")
                self.line(f"disconnects {short(effect.peer)}: {effect.words}")  # type: ignore[union-attr]
                around.postman.disconnect(self.index, effect.peer)  # type: ignore[union-attr]
            elif kind is EraseKey:
                self.erase(effect.voting_key)  # type: ignore[union-attr]
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
            self.later(self.generator.randint(low, high), self._maintain, self.life)

    def hold(self, *keys: SigningKey) -> None:
        """Make new voting keys on this machine (C-21); a running node is told."""
        self.setup = replace(self.setup, more_voting_keys=(*self.setup.more_voting_keys, *keys))
        for key in keys:
            self.step(KeyFound(key))

    def erase(self, voting_key: bytes) -> None:
        """C-23: the key is nowhere on this machine any more."""
        setup = self.setup
        first = setup.voting_key
        self.setup = replace(
            setup,
            voting_key=None if first is None or first.public == voting_key else first,
            more_voting_keys=tuple(key for key in setup.more_voting_keys if key.public != voting_key),
        )
        self.erased.add(voting_key)

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
            schedule.at(target_us, self._run, self._fired, self.life, target_us)

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
        if not self.syncing and self.durable < self.needed:
            self.syncing = True
            self.later(self.disk.sync_time_us(self.generator), self._synced, self.life, self.written)

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
        blocks, states = self.disk.blocks.last, self.disk.executed.last
        self.later(self.disk.sync_time_us(self.generator), self._maintained, life, blocks, states)

    def _maintained(self, life: int, blocks: int, states: int) -> None:
        if life != self.life:
            return
        if self.disk.failing:
            self.fall("a sync of segments fails")
            return
        self.disk.segments_synced(blocks, states)
        self.rotation_due = len(self.disk.journal) >= self.disk.model.rotate_records
        self._maybe_rotate()
        self.upkeep.look()

    def _maybe_rotate(self) -> None:
        busy = self.syncing or self.held or self.durable < self.needed
        if not self.rotation_due or busy or self.node is None:
            return
        self.rotation_due = False
        self.syncing = True
        life, live = self.life, self.node.live_records()
        blocks, states = self.disk.blocks.last, self.disk.executed.last
        self.later(self.disk.sync_time_us(self.generator), self._rename, life, live, blocks, states, self.written)

    def _rename(self, life: int, live: list[JournalRecord], blocks: int, states: int, written: int) -> None:
        if life != self.life:
            return
        if self.disk.failing:
            self.fall("a sync of segments fails")
            return
        self.disk.segments_synced(blocks, states)
        self.disk.rotating = list(live)
        self.later(self.disk.sync_time_us(self.generator), self._rotated, life, written)

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


_LEAVING = frozenset({Send, Append, Execute, Answer, Disconnect, EraseKey})
