"""Joining by a snapshot, before there is a node: the network, the disk and the clock for `protocol.node.joining`.

One task steps the machine with what peers send and with time, keeps what it says, and commits when enough has gathered
or `COMMIT_SECONDS` have passed. What it keeps is found at once by its next step, and durable a second later: a crash
costs that second. The network runs as it does for a node, and is taken down when everything is here; then the snapshot
is installed in a thread, and the ordinary start goes on, over a directory with a state and its newest blocks.

Progress is told every `TELL_SECONDS`, with the time that is left at the pace so far.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any, Final, Protocol

import structlog
import trio

from daemon.observe.pace import Pace, spoken
from daemon.runtime.clock import Clock
from daemon.runtime.inbox import Inbox
from daemon.snapshots.install import drop_staged, finish, install, is_joining, open_staged
from daemon.snapshots.pieces_file import PiecesFile
from daemon.store.directory import check_format
from daemon.store.errors import DiskFull
from daemon.store.files import OsFiles
from daemon.store.lock import ProcessLock
from daemon.store.pages import PageDamaged
from daemon.store.segment_file import first_heights
from protocol.errors import Malformed
from protocol.ledger.genesis import Genesis
from protocol.ledger.succession import Succession
from protocol.node.interface import Disconnect, Note, PeerDown, PeerUp, Priority, Received, Send, Tick
from protocol.node.joining import Forget, Joining, JoiningEffect, JoiningStatus, Keep
from protocol.proofs.finality import ProofRefused

COMMIT_SECONDS: Final = 1.0
TELL_SECONDS: Final = 5.0
ROOM_SECONDS: Final = 5.0
RESTARTED: Final = (
    "a restarted network cannot be joined by a snapshot: copy data/inherited of another node into this data directory, "
    "if it is not there; blocks are fetched from the first one on"
)


class JoiningNetwork(Protocol):
    """What is needed of the network."""

    async def serve(
        self,
        inbox: Inbox,
        room: Callable[[], Any],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen, dial and put what comes into the inbox, until `stop`. `room` is awaited before bulk is taken in."""
        ...

    def send(self, peer: bytes, priority: Priority, data: bytes) -> bool:
        """Queue one message."""
        ...

    def disconnect(self, peer: bytes, words: str) -> None:
        """Close a channel."""
        ...

    def stop(self) -> None:
        """End in order."""
        ...


async def join_by_snapshot(
    directory: Path,
    network_id: bytes,
    genesis: Genesis,
    network: JoiningNetwork,
    clock: Clock,
    *,
    wanted: bool,
    pinned: tuple[int, bytes] | None = None,
    still_starting: Callable[[str, int], None] = lambda _words, _seconds: None,
) -> bool:
    """Join if this directory holds no blocks yet and it is `wanted`; whether a snapshot was installed.

    What an earlier process has made ready is put in place in any case. Returns without one when no peer serves any, and
    in a restarted network, whose tables begin with what it inherited: then blocks have to be fetched. Raises
    StoreFailed, InUse, and OperatorFault for another network's or format's directory, which stays as it is.
    """
    check_format(directory, network_id, OsFiles())
    lock = ProcessLock(directory / "lock", f"another papilio runs on {directory}")
    try:
        log: Any = structlog.get_logger()
        if await trio.to_thread.run_sync(finish, directory):
            log.info("snapshot_installed", words="what an earlier process had gathered was put in place")
            return True
        if not wanted or first_heights(OsFiles(), directory / "segments"):
            return False
        if isinstance(genesis, Succession):
            log.warning("no_snapshot", words=RESTARTED)
            return False
        job = _Job(directory, network_id, genesis, network, clock, pinned, still_starting)
        while True:
            joining = await job.gather()
            if joining is None:
                return False
            if await job.install(joining):
                return True
    finally:
        lock.release()


class _Job:
    """One joining; see the essay."""

    def __init__(
        self,
        directory: Path,
        network_id: bytes,
        genesis: Genesis,
        network: JoiningNetwork,
        clock: Clock,
        pinned: tuple[int, bytes] | None,
        still_starting: Callable[[str, int], None],
    ) -> None:
        self._directory = directory
        self._network_id = network_id
        self._genesis = genesis
        self._network = network
        self._clock = clock
        self._pinned = pinned
        self._still_starting = still_starting
        self._log: Any = structlog.get_logger()
        self._pace = Pace()
        self._staged: PiecesFile | None = None
        self._joining: Joining | None = None

    # -- Gathering ----------------------------------------------------------------------------------

    async def gather(self) -> Joining | None:
        """Run the machine until everything is staged, or no peer has a snapshot."""
        began_before = is_joining(self._directory)
        try:
            self._staged = staged = await trio.to_thread.run_sync(open_staged, self._directory)
        except PageDamaged as fault:
            self._log.error("snapshot_staged_damaged", words=str(fault))
            drop_staged(self._directory)
            return await self.gather()
        try:
            joining = Joining(self._genesis, staged, self._clock.now(), pinned=self._pinned)
        except (Malformed, ProofRefused) as fault:  # damage, or another pinned block than when it was accepted
            self._log.error("snapshot_staged_damaged", words=fault.words)
            staged.close()
            drop_staged(self._directory)
            return await self.gather()
        self._joining = joining
        words = "going on with what was gathered" if began_before else "asking peers for a snapshot of the state"
        self._log.info("joining", words=words)
        inbox = Inbox()
        async with trio.open_nursery() as nursery:
            await nursery.start(self._network.serve, inbox, trio.lowlevel.checkpoint)
            nursery.start_soon(self._tell)
            await self._drive(joining, staged, inbox)
            self._network.stop()
            nursery.cancel_scope.cancel()
        await self._commit(staged)
        if joining.complete:
            return joining
        staged.close()
        words = "no peer serves a snapshot yet: blocks are fetched from the first one on"
        self._log.warning("no_snapshot", words=words, network_height=joining.highest)
        drop_staged(self._directory)
        return None

    async def _drive(self, joining: Joining, staged: PiecesFile, inbox: Inbox) -> None:
        commit_at = trio.current_time() + COMMIT_SECONDS
        while not joining.complete and not joining.nobody_has_one:
            now = self._clock.now()
            with trio.move_on_after(max(0.0, (joining.wake_at_ms - now.monotonic_ms) / 1000)):
                await inbox.wait()
            item = inbox.pop()
            while item is not None:
                if isinstance(item, PeerUp | PeerDown | Received):
                    self._carry_out(joining.step(item, self._clock.now()), staged)
                if staged.full:
                    break
                item = inbox.pop()
            else:
                self._carry_out(joining.step(Tick(), self._clock.now()), staged)
            if staged.full or trio.current_time() >= commit_at:
                await self._commit(staged)
                commit_at = trio.current_time() + COMMIT_SECONDS

    def _carry_out(self, effects: list[JoiningEffect], staged: PiecesFile) -> None:
        for effect in effects:
            match effect:
                case Send():
                    for peer in effect.to:
                        self._network.send(peer, effect.priority, effect.data)
                case Disconnect():
                    self._network.disconnect(effect.peer, effect.words)
                case Keep():
                    staged.put(effect.key, effect.data)
                case Forget():
                    staged.clear()
                case Note():
                    facts = {name: v.hex() if isinstance(v, bytes) else v for name, v in effect.facts.items()}
                    level = self._log.warning if effect.name != "snapshot_accepted" else self._log.info
                    level(effect.name, **facts)

    async def _commit(self, staged: PiecesFile) -> None:
        """Make it durable; a full disk is waited out (L-28)."""
        while True:
            try:
                await trio.to_thread.run_sync(staged.commit)
            except DiskFull as fault:
                self._log.warning("disk", full=True, words=f"{fault.words}; joining waits for room")
                await trio.sleep(ROOM_SECONDS)
            else:
                return

    async def _tell(self) -> None:
        while True:
            await trio.sleep(TELL_SECONDS)
            assert self._joining is not None
            status = self._joining.status
            facts = describe(status, self._pace, trio.current_time())
            self._log.info("joining", **facts)
            self._still_starting(f"joining by a snapshot: {facts['words']}", 60)

    # -- Installing ---------------------------------------------------------------------------------

    async def install(self, joining: Joining) -> bool:
        """Put everything in place. False if what was gathered is damaged: it is dropped, to be gathered anew."""
        assert self._staged is not None
        self._still_starting("installing the snapshot", 600)
        began = trio.current_time()
        try:
            height = await trio.to_thread.run_sync(
                partial(install, self._directory, self._network_id, joining, self._told(), self._wait_for_room)
            )
        except Malformed as fault:
            self._log.error("snapshot_staged_damaged", words=fault.words)
            self._staged.close()
            drop_staged(self._directory)
            return False
        finally:
            self._staged.close()
        seconds = round(trio.current_time() - began, 1)
        self._log.info("snapshot_installed", height=height, seconds=seconds)
        return True

    def _told(self) -> Callable[[str, int, int], None]:
        """Tells now and then; called in the thread that installs."""
        pace = Pace()

        def told(what: str, done: int, total: int) -> None:
            if pace.due(TELL_SECONDS):
                self._log.info("installing", what=what, done=done, total=total or None)
                trio.from_thread.run_sync(self._still_starting, f"installing the snapshot: {done} {what}", 60)

        return told

    def _wait_for_room(self) -> None:
        self._log.warning("disk", full=True, words="installing the snapshot waits for room")
        sleep(ROOM_SECONDS)


def describe(status: JoiningStatus, pace: Pace, now: float) -> dict[str, Any]:
    """How far a joining is, for the log: words, and numbers."""
    if status.stage in ("offers", "epochs"):
        words = "waiting for a peer" if not status.peers else f"asking {status.peers} peers for snapshots"
        return {"stage": status.stage, "peers": status.peers, "words": words}
    done = status.pieces + status.blocks + status.receipts // 256
    total = status.pieces_total + status.blocks_total + status.receipts_total // 256
    known = status.blocks_total > 0
    left = pace.left(done, total, now) if known else None
    percent = 100 * done // max(1, total) if known else 0
    words = f"{percent} % of the state at height {status.height}, from {status.sources} peers"
    if left is not None:
        words += f", about {spoken(left)} left"
    facts: dict[str, Any] = {
        "stage": status.stage,
        "height": status.height,
        "percent": percent,
        "peers": status.sources,
    }
    return facts | {"pieces": status.pieces, "blocks": status.blocks, "receipts": status.receipts, "words": words}
