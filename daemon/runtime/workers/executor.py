"""Final blocks in order to the execute worker, and its answers back.

The worker is the only writer of the state store. It is given blocks as they become final, up to a bound in flight,
commits all that it holds in one transaction, and answers each once that is through: so results leave only after they
are stored (`Execute`'s promise), and a node that catches up pays one sync for many blocks.

**Memory.** Blocks that wait beyond `EXECUTE_WAITING_BYTES` are kept as a height only and read again from the
segments when their turn comes: every block that is executed has been appended before (duty 3).

**When it dies**, killed or not, what was not answered is given again from the front. The store holds a prefix of it:
a block at or below its height is answered from what is stored, the others are executed. A worker that *says* why it
ends (an exception: execution is deterministic, so it would come again), and one that dies `EXECUTE_DEATHS_MAX` times
without an answer in between, stop the node: a node that cannot execute must not go on as if it could. A death by
signal 9 does not count: that is the kernel, short of memory, and passes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from daemon import limits
from daemon.runtime.workers.kinds import EXECUTE, STATE_JOB
from daemon.runtime.workers.link import Link, LinkFault, LinkLost, keep_alive, talk
from daemon.runtime.workers.results import unpack_executed
from daemon.store.errors import StateDamaged, StoreFailed
from protocol.errors import STATE_DAMAGED, STORE_FAILED, BrokenInvariant
from protocol.node.interface import BlockExecuted, Execute

ReadAgain = Callable[[int], Awaitable[Execute]]


@dataclass(slots=True)
class _Waiting:
    """One block in line; `effect` is None when its content has to be read again."""

    height: int
    effect: Execute | None
    size: int


class Executor:
    """One execute worker and the blocks for it.

    needs: what the worker is told at its start.
    done: told each result and its block time (ms), in order of height.
    read_again: gives back an `Execute` from the segments.
    lost: told the words of each death.
    """

    def __init__(
        self,
        needs: Any,
        *,
        done: Callable[[BlockExecuted, int], None],
        read_again: ReadAgain,
        lost: Callable[[str], None],
        module: str = EXECUTE,
    ) -> None:
        self._needs = needs
        self._done = done
        self._read_again = read_again
        self._lost = lost
        self._module = module
        self._line: deque[_Waiting] = deque()
        self._held_bytes = 0
        self._deaths = 0
        self._bell = trio.Event()
        self._answered = trio.Event()
        self.link: Link | None = None
        self.height = 0
        self.dropped: str | None = None
        self._open = trio.Event()

    async def opened(self) -> int:
        """Return the state's height once the worker has opened it (and, for a new one, written genesis)."""
        await self._open.wait()
        return self.height

    def _opened(self, height: int, dropped: str | None) -> None:
        if not self._open.is_set():
            self.height, self.dropped = height, dropped
            self._open.set()

    @property
    def waiting_count(self) -> int:
        """Blocks not answered yet."""
        return len(self._line)

    def put(self, effect: Execute) -> None:
        """Execute this block after those before it."""
        assert not self._line or self._line[-1].height == effect.height - 1, "blocks are executed in order"
        size = len(effect.header) + sum(len(batch) for batch in effect.batches)
        kept = self._held_bytes + size <= limits.EXECUTE_WAITING_BYTES or not self._line
        self._held_bytes += size if kept else 0
        self._line.append(_Waiting(effect.height, effect if kept else None, size))
        self._ring()

    def _ring(self) -> None:
        self._bell.set()
        self._bell = trio.Event()

    async def run(self) -> None:
        """Keep the worker going until cancelled. Raises BrokenInvariant if it cannot execute a block."""
        await keep_alive(self._module, self._needs, self._life, lost=self._count_death)

    async def _life(self, link: Link) -> None:
        self.link = link
        flight = _Flight()
        try:
            await talk(partial(self._feed, link, flight), partial(self._collect, link, flight))
        except LinkFault as fault:
            if fault.code == STATE_DAMAGED:
                raise StateDamaged(fault.words) from fault
            words = f"the execute worker failed at block {self._next_height()}: {fault.words}"
            if fault.code == STORE_FAILED:
                raise StoreFailed(words) from fault
            raise BrokenInvariant(words, code=fault.code) from fault
        finally:
            self.link = None

    def _count_death(self, fault: LinkLost) -> None:
        words = str(fault)
        self._deaths += not fault.killed
        if self._deaths >= limits.EXECUTE_DEATHS_MAX and not self._open.is_set():
            raise StateDamaged(f"the execute worker died {self._deaths} times as it opened the state: {words}")
        if self._deaths >= limits.EXECUTE_DEATHS_MAX and self._line:
            raise BrokenInvariant(
                f"the execute worker died {self._deaths} times in a row at block {self._next_height()}: {words}"
            )
        self._lost(words)

    def _next_height(self) -> str:
        return str(self._line[0].height) if self._line else "(none)"

    async def _feed(self, link: Link, flight: _Flight) -> None:
        """Hand over blocks from the front, as many as may be in flight."""
        while True:
            if flight.blocks >= len(self._line) or flight.full:
                await self._bell.wait()
                continue
            waiting = self._line[flight.blocks]
            flight.sent(waiting.size)
            effect = waiting.effect or await self._read_again(waiting.height)
            assert effect.height == waiting.height, "the segments give back what was appended"
            await link.send([effect.height, 0, 0, [effect.header, list(effect.batches)]])

    async def _collect(self, link: Link, flight: _Flight) -> None:
        while True:
            for height, answer in await link.receive():
                if height == STATE_JOB:
                    self._opened(*answer)
                    continue
                waiting = self._line.popleft()
                assert waiting.height == height, "blocks are answered in order"
                flight.landed(waiting.size)
                if waiting.effect is not None:
                    self._held_bytes -= waiting.size
                self._deaths = 0
                self.height = max(self.height, height)
                result, time_ms = answer
                self._done(unpack_executed(result), time_ms)
            self._ring()
            self._answered.set()
            self._answered = trio.Event()

    async def room(self, count: int) -> None:
        """Return when fewer than `count` blocks wait."""
        while len(self._line) >= count:
            await self._answered.wait()

    async def drained(self) -> None:
        """Return when every block put so far is answered."""
        await self.room(1)


class _Flight:
    """What the worker holds in one life."""

    __slots__ = ("blocks", "bytes")

    def __init__(self) -> None:
        self.blocks = 0
        self.bytes = 0

    @property
    def full(self) -> bool:
        return self.blocks >= limits.EXECUTE_IN_FLIGHT_BLOCKS or self.bytes >= limits.EXECUTE_IN_FLIGHT_BYTES

    def sent(self, size: int) -> None:
        self.blocks += 1
        self.bytes += size

    def landed(self, size: int) -> None:
        self.blocks -= 1
        self.bytes -= size
