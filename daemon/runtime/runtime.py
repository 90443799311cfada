"""A node's life: opened, brought up to date, run, and taken down in order.

**Up.** Lock and journal; the execute worker opens the state; blocks that the state lacks are executed; verify workers;
the node; then the *edges* (network, API), and only then is it called ready. `stop` meanwhile ends it there.

**Down, in order** (`stop`). Nothing new is accepted; posts get their answers and streams end by themselves, up to
`SHUTDOWN_SECONDS`; edges close; the driver stops between two steps; what it said is made durable and leaves; final
blocks are written, executed, synced. A second request ends all that at once: nothing that was promised is lost, since
promises were durable before they were made.

**Down, broken.** Whatever task fails takes the others with it (one nursery). The pump has stopped before anything else
runs, so nothing is written or sent any more; the store is only let go, not closed: closing would write.

Who supervises the process, signals, logs and exit codes are `main`'s.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import structlog
import trio

from daemon import limits
from daemon.beats import next_beat
from daemon.observe.lines import Lines
from daemon.observe.notify import Notifier, Watchdog
from daemon.observe.pace import Pace, spoken
from daemon.runtime.catching_up import CatchingUp
from daemon.runtime.clock import Clock
from daemon.runtime.counted import CountedHands
from daemon.runtime.disk import DiskWatch
from daemon.runtime.driver import Driver
from daemon.runtime.edges import Edge, PeerNetwork, Running, RuntimeSetup
from daemon.runtime.evidence import keep_evidence
from daemon.runtime.finals import Finals
from daemon.runtime.following import following_nodes
from daemon.runtime.forcing import take_command
from daemon.runtime.hands import NodeHands
from daemon.runtime.keeper import JournalKeeper
from daemon.runtime.mender import Mender
from daemon.runtime.parts import Parts
from daemon.runtime.patience import Writer
from daemon.runtime.proving import Prover
from daemon.runtime.pruner import Pruner
from daemon.runtime.pump import Pump
from daemon.runtime.recovery import journal_records, read_execute, recovered, replay
from daemon.runtime.service import NodeService
from daemon.runtime.workers.executor import Executor
from daemon.runtime.workers.kinds import ExecuteNeeds, VerifyNeeds
from daemon.runtime.workers.verifiers import Verifiers
from daemon.runtime.workers.verify import Judge
from daemon.snapshots.joining import join_by_snapshot
from daemon.snapshots.maker import Maker
from daemon.snapshots.shelf import Shelf
from daemon.store.chronicle import Chronicle, open_chronicle
from daemon.store.directory import StateAccess, Store, inherited_directory, open_directory, state_directory
from daemon.store.history import read_ended
from daemon.store.tables import StateStore
from protocol.codec import encode
from protocol.errors import OperatorFault
from protocol.ledger.genesis import network_id
from protocol.ledger.index import read_base
from protocol.ledger.succession import ancestors_of, beginning_height
from protocol.node.interface import Execute, KeyFound, Persisted, Pressure, TakePart
from protocol.node.node import Node
from protocol.node.setup import NodeSetup, NodeStatus
from protocol.proofs.records import ClosedEpoch
from protocol.restart.reporting import is_sealed
from protocol.wire.memory import LIFE_BYTES

SWITCH_INTERVAL_SECONDS = 0.001
"""The interpreter lock's: a thread that comes back from a sync waits for a busy loop at most so long (default 5 ms)."""
CLOCK_LOOK_SECONDS = 5.0
SEALED_WORDS = (
    "this validator has made its report for a restart (papilio restart report) and signs nothing more in this network: "
    "go on with the restart, or take the report back with papilio restart withdraw"
)


class NodeRuntime:
    """One node; `run` is its life."""

    def __init__(
        self,
        setup: RuntimeSetup,
        network: PeerNetwork,
        edges: Sequence[Edge],
        lines: Lines,
        *,
        notifier: Notifier | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._setup = setup
        self._network = network
        self._edges = edges
        self._lines = lines
        self._notifier = notifier or Notifier({})
        self._clock = clock or Clock()
        self._stop = trio.Event()
        self._pace = Pace()
        self._stop_words = ""
        self._log: Any = structlog.get_logger()
        self.status: Callable[[], NodeStatus] | None = None
        """The node's status, once there is a node: for a crash report."""

    def stop(self, words: str) -> None:
        """Begin the orderly end; harmless when it has begun."""
        self._stop_words = self._stop_words or words
        self._stop.set()

    async def run(self, *, task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED) -> None:
        """Live until `stop`.

        Raises what broke it, in an exception group: NodeStopped, SyncFailed, StoreFailed, BrokenInvariant,
        OperatorFault.
        """
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        setup = self._setup
        network = network_id(setup.genesis)
        if not await self._join(network):
            return
        opening = partial(open_directory, setup.directory, network, setup.journal_id, state=StateAccess.NONE)
        store = await trio.to_thread.run_sync(opening)
        in_order = False
        try:
            async with trio.open_nursery() as nursery:
                await self._live(nursery, store, network, task_status)
                nursery.cancel_scope.cancel()
            in_order = True
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(store.close if in_order else partial(_let_go, store))
        self._log.info("stopped", words=self._stop_words)

    # -- Joining ------------------------------------------------------------------------------------

    async def _join(self, network: bytes) -> bool:
        """A snapshot first, for a node without blocks that wants one. False if the end was asked for meanwhile."""
        setup, done = self._setup, False
        async with trio.open_nursery() as watching:
            watching.start_soon(self._cancel_when_stopped, watching.cancel_scope)
            await join_by_snapshot(
                setup.directory,
                network,
                setup.genesis,
                self._network,
                self._clock,
                wanted=setup.join_by_snapshot,
                pinned=setup.pinned,
                still_starting=self._notifier.still_starting,
            )
            done = True
            watching.cancel_scope.cancel()
        if not done:
            self._log.info("stopped", words=f"{self._stop_words}, while it joined; it goes on at the next start")
        return done

    # -- Up -----------------------------------------------------------------------------------------

    async def _live(
        self, nursery: trio.Nursery, store: Store, network: bytes, task_status: trio.TaskStatus[Running]
    ) -> None:
        parts = await self._bring_up_unless_stopped(nursery, store, network)
        if parts is None:
            self._log.info("stopping", words=f"{self._stop_words}, while it started")
            self._notifier.stopping(self._stop_words)
            return
        async with trio.open_nursery() as edges:
            await edges.start(self._network, parts.running)
            others = trio.CancelScope()
            ended = trio.Event()
            await edges.start(self._run_edges, parts.running, others, ended)
            self._log.info("ready", height=parts.node.status().final_height, voting=parts.node.status().voting)
            self._notifier.ready(f"final height {parts.node.status().final_height}")
            task_status.started(parts.running)
            await self._stop.wait()
            await self._close_edges(parts, others, ended)
            self._network.stop()
            edges.cancel_scope.deadline = trio.current_time() + limits.GOODBYE_SECONDS
        await self._drain(parts)

    async def _bring_up_unless_stopped(self, nursery: trio.Nursery, store: Store, network: bytes) -> Parts | None:
        """None if the end was asked for meanwhile: a long replay is left at once, since nothing was promised yet."""
        parts = None
        async with trio.open_nursery() as watching:
            watching.start_soon(self._cancel_when_stopped, watching.cancel_scope)
            parts = await self._bring_up(nursery, store, network)
            watching.cancel_scope.cancel()
        return parts

    async def _cancel_when_stopped(self, scope: trio.CancelScope) -> None:
        await self._stop.wait()
        scope.cancel()

    async def _bring_up(self, nursery: trio.Nursery, store: Store, network: bytes) -> Parts:
        """State, workers, node, and the tasks that serve it."""
        setup = self._setup
        for words in store.reports(beginning_height(setup.genesis)):
            self._log.warning("store", words=words)
        journal = journal_records(store)
        if is_sealed(journal):
            raise OperatorFault(SEALED_WORDS)
        state_path = state_directory(setup.directory)
        genesis = encode(setup.genesis)
        parts = Parts(store)
        parts.executor = Executor(
            ExecuteNeeds(genesis, str(state_path), str(inherited_directory(setup.directory) / "state")),
            done=parts.executed,
            read_again=partial(_read_again, store),
            lost=partial(self._worker_lost, "execute"),
        )
        nursery.start_soon(parts.executor.run)
        if store.free_bytes() < limits.DISK_FREE_LOW_BYTES:
            words = "the start waits for room where it has to write"
            self._log.warning("disk", full=True, free_bytes=store.free_bytes(), words=words)
        self._notifier.still_starting("bringing the state up to the blocks", 60)
        await parts.executor.opened()
        if parts.executor.dropped:
            self._log.warning("state_dropped", words=parts.executor.dropped)
        replayed = await replay(parts.executor, store.segments, self._tell_replay)
        if replayed:
            self._log.info("replayed", blocks=replayed, height=store.segments.last_height)
        store.state = StateStore.open(state_path, network, writer=False)
        needs = VerifyNeeds(genesis, str(state_path), setup.author_member)
        parts.verifiers = Verifiers(setup.verify_workers, needs, lost=partial(self._worker_lost, "verify"))
        with store.state.reader() as reader:
            found = recovered(store, reader, setup.genesis, journal, forced=take_command(setup.directory))
        seed = int.from_bytes(setup.node_key[:8], "big")
        parts.node = Node(self._node_setup(seed), found)
        self.status = parts.node.status
        self._assemble(nursery, parts)
        return parts

    def _assemble(self, nursery: trio.Nursery, parts: Parts) -> None:
        """Wire the parts together and start their tasks."""
        store, node, setup = parts.store, parts.node, self._setup
        assert store.state is not None, "it was opened"
        disk = DiskWatch(store.free_bytes, lambda full: parts.inbox.put_nowait(Pressure(full)))
        blocks, journal = Writer(), Writer()
        finals = Finals(
            store.segments,
            execute=parts.execute,
            disk_full=disk.found_full,
            write=blocks.small,
            write_large=blocks.large,
        )
        chronicle, parts.first_height = self._history(store, store.state)
        catching_up = CatchingUp(node.status)
        service = NodeService(
            setup.genesis,
            node,
            store.state,
            chronicle,
            partial(parts.inbox.put_nowait, urgent=False),
            numbers=parts.numbers,
            peers=self._network.status,
            disk_full=lambda: disk.full,
            first_height=parts.first_height,
            left_seconds=lambda: catching_up.left_seconds,
        )
        mender = Mender(setup.genesis, store.segments, store.state, put=partial(parts.inbox.put_nowait, urgent=False))
        kept = partial(read_ended, setup.directory)
        prover = Prover(setup.genesis, chronicle, lambda: node.covering_height, kept, parts.first_height)
        shelf = Shelf(setup.directory, store.segments, store.state)
        closed = partial(_closed_before, prover, store.state)
        hands = NodeHands(
            nursery=nursery,
            inbox=parts.inbox,
            network=self._network,
            verifiers=parts.verifiers,
            judge=Judge(setup.genesis, setup.author_member, store.state),
            segments=store.segments,
            finals=finals,
            service=lambda: service,
            lines=self._lines,
            evidence=partial(keep_evidence, setup.directory, network_id(setup.genesis), closed=closed),
            mended=mender.take,
            erase_key=self._erase_key,
            take_part=partial(self._take_part, parts),
            snapshots=shelf.answer,
        )
        keeper = JournalKeeper(
            store.journal,
            live_records=node.live_records,
            sync_segments=finals.request_sync,
            disk_full=disk.found_full,
            write=journal.small,
            write_large=journal.large,
            generation_bytes=limits.JOURNAL_GENERATION_BYTES,
        )
        counted = hands if setup.cpu is None else CountedHands(hands, setup.cpu)
        pump = Pump(
            counted, keeper.commit, lambda count: parts.inbox.put_nowait(Persisted(count)), keeper.after_release
        )
        keeper.ring = pump.ring
        parts.driver, parts.pump = Driver(node, self._clock, parts.inbox, pump), pump
        parts.shelf = shelf
        parts.finals, parts.keeper, parts.hands, parts.disk, parts.mender = finals, keeper, hands, disk, mender
        parts.lines, parts.network = self._lines, self._network
        parts.running = Running(setup, service, prover, parts.inbox, finals, self._lines, mender)
        tasks = (parts.verifiers.run, pump.run, finals.run, disk.run, self._watch_clock)
        for task in (*tasks, mender.run_mending, mender.run_scrub, catching_up.run):
            nursery.start_soon(task)
        if setup.cpu is not None:
            nursery.start_soon(setup.cpu.run)
        self._keep_house(nursery, parts, store.state)
        nursery.start_soon(_watch, Watchdog(self._notifier, parts.stages))
        nursery.start_soon(parts.drive)

    def _history(self, store: Store, state: StateStore) -> tuple[Chronicle, Callable[[], int]]:
        """All blocks that are kept here, and the lowest of them that is shown with its results."""
        ancestors = [(a.network_id, a.executed.height) for a in reversed(ancestors_of(self._setup.genesis))]
        chronicle = open_chronicle(self._setup.directory, store.segments, ancestors, store.files)
        store.beside.append(chronicle.close)
        with state.reader() as reader:
            base = read_base(reader)
        shown_from = 1 if base is None else base.height + 1
        return chronicle, lambda: chronicle.first_height(max(shown_from, store.segments.first_height))

    def _keep_house(self, nursery: trio.Nursery, parts: Parts, state: StateStore) -> None:
        """Start what makes snapshots and what removes old blocks."""
        store, node, disk, shelf, setup = parts.store, parts.node, parts.disk, parts.shelf, self._setup
        if setup.snapshot_slot_ms:
            maker = Maker(
                setup.directory,
                network_id(setup.genesis),
                store.segments,
                shelf,
                slot_ms=setup.snapshot_slot_ms,
                covering_height=lambda: node.covering_height,
                disk_full=lambda: disk.full,
            )
            nursery.start_soon(maker.run)
        parameters = setup.genesis.parameters
        pruner = Pruner(setup.directory, store.segments, state, parameters, setup.keep, lambda: shelf.heights)
        nursery.start_soon(pruner.run)

    async def _run_edges(
        self,
        running: Running,
        scope: trio.CancelScope,
        ended: trio.Event,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """The edges beside the network; `ended` when all have ended by themselves."""
        with scope:
            async with trio.open_nursery() as nursery:
                for edge in self._edges:
                    await nursery.start(edge, running)
                task_status.started()
        ended.set()

    # -- Down ---------------------------------------------------------------------------------------

    async def _close_edges(self, parts: Parts, others: trio.CancelScope, ended: trio.Event) -> None:
        self._log.info("stopping", words=self._stop_words)
        self._notifier.stopping(self._stop_words)
        parts.running.service.stop(self._stop_words)
        with trio.move_on_after(limits.SHUTDOWN_SECONDS):
            await ended.wait()
        parts.running.service.abandon()
        others.cancel()
        await ended.wait()

    async def _drain(self, parts: Parts) -> None:
        """Stop stepping; let what was said become durable, be written and executed."""
        parts.driving.cancel()
        with trio.move_on_after(limits.SHUTDOWN_SECONDS) as patience:
            await parts.pump.drained()
            await parts.finals.drained()
            await parts.executor.drained()
        parts.shelf.close()
        if patience.cancelled_caught:
            self._log.warning("stopped_late", words="not all final blocks were executed; the next start does it")

    # -- Epochs -------------------------------------------------------------------------------------

    def _node_setup(self, seed: int) -> NodeSetup:
        setup = self._setup
        if setup.voting_keys is not None:
            setup.voting_keys.finish()
        successor = None if setup.voting_keys is None else setup.voting_keys.successor()
        more = () if successor is None else (successor,)
        life = secrets.token_bytes(LIFE_BYTES)
        return NodeSetup(setup.genesis, setup.node_key, setup.voting_key, seed, more, setup.pinned, life)

    def _take_part(self, parts: Parts, effect: TakePart) -> None:
        """L-29: connections follow the state. A voting key that was made for an epoch to come is taken up (C-21)."""
        assert parts.store.state is not None, "it was opened"
        with parts.store.state.reader() as reader:
            following = following_nodes(self._setup.genesis, reader)
        self._network.take_part(effect.node_keys, following)
        if self._setup.voting_keys is None:
            return
        try:
            successor = self._setup.voting_keys.successor()
        except OperatorFault as fault:
            self._log.error("next_voting_key_not_read", words=fault.words)
            return
        if successor is not None:
            parts.inbox.put_nowait(KeyFound(successor))

    def _erase_key(self, voting_key: bytes) -> None:
        """C-23; what cannot be done from here is said loudly."""
        keys, done, words = self._setup.voting_keys, False, "it is not a file of this node: erase it where it is kept"
        try:
            done = keys is not None and keys.erase(voting_key)
        except (OSError, OperatorFault) as fault:
            words = str(fault)
        if done:
            self._log.info("voting_key_erased", voting_key=voting_key.hex())
        else:
            self._log.error("voting_key_not_erased", voting_key=voting_key.hex(), words=words)

    # -- Watches ------------------------------------------------------------------------------------

    async def _watch_clock(self) -> None:
        while True:
            await next_beat(CLOCK_LOOK_SECONDS)
            jump_ms = self._clock.jump_ms()
            if jump_ms:
                self._log.warning("clock_jumped", jump_ms=jump_ms)

    def _worker_lost(self, which: str, words: str) -> None:
        self._lines.counters[f"worker_lost_{which}"] += 1
        self._log.error("worker_lost", worker=which, words=words)

    def _tell_replay(self, height: int, last: int) -> None:
        left = self._pace.left(height, last, trio.current_time())
        words = f"executing block {height} of {last}" + ("" if left is None else f", about {spoken(left)} left")
        self._log.info("replaying", height=height, last=last, words=words)
        self._notifier.still_starting(words, 60)


def _closed_before(prover: Prover, state: StateStore, epoch: int) -> Sequence[ClosedEpoch]:
    """How the epochs before this one ended. Raises Refused(not_covered) until that is written here."""
    with state.reader() as reader:
        return prover.closed_before(reader, epoch)


async def _watch(watchdog: Watchdog) -> None:
    while watchdog.interval_seconds is not None:
        watchdog.look()
        await trio.sleep(watchdog.interval_seconds)


async def _read_again(store: Store, height: int) -> Execute:
    return await trio.to_thread.run_sync(read_execute, store.segments, height)


def _let_go(store: Store) -> None:
    """After a failure: no write, no sync. What is durable is durable."""
    if store.state is not None:
        store.state.close()
    store.lock.release()
