"""The effect pump: carries out what the node says, in the order in which it matters (L-24).

A list of effects holds four kinds:

* checks, reads and notes start at once: they promise nothing to anyone;
* `Persist` gathers for the next commit; a *patient* one asks for none, and is part of the next that something needs;
* everything else (sends, appends, executions, answers) *waits* until every impatient `Persist` of its list, and of
  every list before it, is durable; with an `Append` in it the list waits for the patient ones, too;
* `Halt` ends it all: nothing of its list or of any waiting one is carried out, ever.

**Group commit.** One commit runs at a time, off the loop. Lists that come meanwhile gather, and the next commit
makes all of them durable with one sync. When it is through, the waiting lists leave in their order, up to the first
that it did not cover; then `Persisted` is reported. A list that needs no record which is not durable, and behind which
nothing waits, leaves within the call that brought it.

**Why nothing leaves early.** `_emitted` counts `Persist` effects taken, `_needed` those up to the last impatient one,
`_durable` those committed. A list is stamped with `_needed` after its own, with `_emitted` if it holds an `Append`. It
leaves only when `_durable` has reached its stamp, from the front of one queue, so a list can neither overtake another
nor a commit. If a commit fails, `_stopped` is
set before anyone else runs, and the only function that lets anything leave looks at it first.

Deliberately absent: files and threads. `commit` is given, so that tests decide when and how it ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import trio

from daemon import limits
from protocol.errors import BrokenInvariant
from protocol.node.interface import (
    Append,
    CheckBatch,
    CheckEnvelopes,
    CheckSignatures,
    Effect,
    Halt,
    JournalRecord,
    Mended,
    Note,
    Persist,
    ReadBlocks,
    ReadSnapshot,
)

Commit = Callable[[Sequence[JournalRecord]], Awaitable[None]]
AT_ONCE = (CheckSignatures, CheckEnvelopes, CheckBatch, ReadBlocks, ReadSnapshot, Mended, Note)


class Hands(Protocol):
    """Who carries effects out."""

    def begin(self, effect: Effect) -> None:
        """Start a check or read, or tell a note; must not wait."""
        ...

    def carry_out(self, effect: Effect) -> None:
        """Send, append, execute or answer; must not wait."""
        ...


class Halted(Exception):
    """The node said `Halt`."""

    def __init__(self, effect: Halt) -> None:
        super().__init__(f"{effect.code}: {effect.words}")
        self.effect = effect


class SyncFailed(Exception):
    """A commit of the journal failed: what it held may or may not be on the disk, so nothing of it leaves."""


class Pump:
    """Takes lists of effects; see the module's essay.

    hands: who carries them out.
    commit: makes records durable, or raises.
    persisted: told the count of durable `Persist` effects since the start, after what they held back has left.
    after_release: called in the same place; the journal's keeper uses it.
    """

    def __init__(
        self,
        hands: Hands,
        commit: Commit,
        persisted: Callable[[int], None],
        after_release: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._hands = hands
        self._commit = commit
        self._persisted = persisted
        self._after_release = after_release
        self._records: list[JournalRecord] = []
        self._waiting: deque[tuple[int, list[Effect]]] = deque()
        self._emitted = 0
        self._needed = 0
        self._patient_bytes = 0
        self._durable = 0
        self._stopped = False
        self._bell = trio.Event()
        self._idle = trio.Event()
        self._idle.set()
        self.commits = 0

    def take(self, effects: Sequence[Effect]) -> None:
        """Take one list. Raises Halted if it holds a `Halt`; then, as after a failed commit, nothing leaves."""
        if self._stopped:
            raise BrokenInvariant("effects were taken after the pump had stopped")
        for effect in effects:
            if type(effect) is Halt:
                self.stop()
                raise Halted(effect)
        held = [effect for effect in effects if not self._gather(effect)]
        stamp = self._emitted if any(type(effect) is Append for effect in held) else self._needed
        if self._durable >= stamp and not self._waiting:
            self._leave(held)
        else:
            self._waiting.append((stamp, held))
            self._commit_soon()

    def _commit_soon(self) -> None:
        self._idle = trio.Event() if self._idle.is_set() else self._idle
        self._bell.set()

    def _gather(self, effect: Effect) -> bool:
        """Deal with what need not wait; False if it has to."""
        if type(effect) is Persist:
            self._records.append(effect.record)
            self._emitted += 1
            if not effect.patient:
                self._needed = self._emitted
                return True
            self._patient_bytes += len(effect.record.data)
            if self._patient_bytes >= limits.PATIENT_BYTES_MAX:
                self._commit_soon()
            return True
        if isinstance(effect, AT_ONCE):
            self._hands.begin(effect)
            return True
        return False

    def _leave(self, held: list[Effect]) -> None:
        for effect in held:
            if self._stopped:
                return
            self._hands.carry_out(effect)

    async def run(self) -> None:
        """Commit whenever something waits, until cancelled. Raises SyncFailed once a commit fails."""
        while True:
            await self._bell.wait()
            self._bell = trio.Event()
            if self._records and not self._stopped:
                await self._commit_group()
            if self._after_release is not None and not self._stopped:
                await self._guarded(self._after_release())
            if not self._waiting:
                self._idle.set()

    async def _commit_group(self) -> None:
        records, self._records = self._records, []
        mark, self._patient_bytes = self._emitted, 0
        await self._guarded(self._commit(records))
        self.commits += 1
        self._durable = mark
        while self._waiting and self._waiting[0][0] <= mark:
            self._leave(self._waiting.popleft()[1])
        if self._waiting:
            self._bell.set()
        if not self._stopped:
            self._persisted(mark)

    async def _guarded(self, work: Awaitable[None]) -> None:
        """Await a write; if it fails in any way, cancelled too, stop before anyone else runs."""
        try:
            await work
        except Exception as fault:
            self.stop()
            raise SyncFailed(f"the journal could not be made durable: {fault}") from fault
        except BaseException:
            self.stop()
            raise

    def ring(self) -> None:
        """Run the loop once, also without records: the keeper has something to do."""
        self._bell.set()

    def stop(self) -> None:
        """Nothing leaves from now on."""
        self._stopped = True
        self._waiting.clear()
        self._records.clear()

    @property
    def stopped(self) -> bool:
        """Whether it takes nothing any more: a commit failed, or the node is wrong."""
        return self._stopped

    @property
    def idle(self) -> bool:
        """Nothing waits to become durable."""
        return not self._waiting

    async def drained(self) -> None:
        """Return when nothing waits and all is durable: the orderly end."""
        if self._records:
            self._commit_soon()
        await self._idle.wait()
