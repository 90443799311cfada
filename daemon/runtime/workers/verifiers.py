"""Who checks what, when: jobs for the verify workers, urgent ones first.

Checks that consensus waits for are handed to a worker at once; inside it they overtake bulk jobs (child.py). Bulk jobs
(envelopes of clients, batches) wait here, and each worker holds at most `BULK_JOBS_IN_FLIGHT` of them, so that what a
worker's death costs is bounded. The node bounds how many wait (pool and batches have their own bounds).

**When a worker dies** what it held is given again, once, to whichever lives. What it took down twice is *failed*: an
exception's or a crash's fault can lie in the content. A failed job's `done` is called with None, and the caller does
what its kind allows: duty 4 lets a check go unanswered; an answer that was never computed must not pass for a verdict.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from daemon import limits
from daemon.runtime.workers.kinds import VERIFY, CheckKind, Urgency
from daemon.runtime.workers.link import Link, keep_alive, talk

ATTEMPTS_MAX = 2


@dataclass(slots=True)
class Check:
    """One job: its content as it goes over the pipe, and who is told the answer (None: failed)."""

    number: int
    urgency: Urgency
    kind: CheckKind
    content: Any
    done: Callable[[Any], None]
    attempts: int = 0


class Verifiers:
    """`count` verify workers and the jobs for them.

    needs: what each worker is told at its start.
    lost: told the words of each worker's death.
    """

    def __init__(self, count: int, needs: Any, *, lost: Callable[[str], None], module: str = VERIFY) -> None:
        self._count = count
        self._needs = needs
        self._lost = lost
        self._module = module
        self._next = 1
        self._waiting: tuple[deque[Check], deque[Check]] = (deque(), deque())
        self._bell = trio.Event()
        self.links: dict[int, Link] = {}
        self.done_count = 0
        self.failed_count = 0

    @property
    def waiting_count(self) -> int:
        """Jobs that no worker holds yet."""
        return sum(len(line) for line in self._waiting)

    def ask(self, urgency: Urgency, kind: CheckKind, content: Any, done: Callable[[Any], None]) -> None:
        """Have `content` checked; `done` is called with the answer, or None if it failed twice."""
        self._put(Check(self._next, urgency, kind, content, done))
        self._next += 1

    def _put(self, check: Check, *, again: bool = False) -> None:
        line = self._waiting[check.urgency]
        if again:
            line.appendleft(check)
        else:
            line.append(check)
        self._ring()

    def _ring(self) -> None:
        self._bell.set()
        self._bell = trio.Event()

    async def run(self) -> None:
        """Keep the workers going until cancelled."""
        async with trio.open_nursery() as nursery:
            for place in range(self._count):
                nursery.start_soon(self._keep, place)

    async def _keep(self, place: int) -> None:
        held: dict[int, Check] = {}

        async def life(link: Link) -> None:
            self.links[place] = link
            try:
                await talk(partial(self._feed, link, held), partial(self._collect, link, held))
            finally:
                del self.links[place]
                self._give_again(held)

        await keep_alive(self._module, self._needs, life, lost=lambda fault: self._lost(str(fault)))

    async def _feed(self, link: Link, held: dict[int, Check]) -> None:
        """Hand over what may be handed over, urgent first."""
        while True:
            check = self._take(held)
            if check is None:
                await self._bell.wait()
                continue
            held[check.number] = check
            check.attempts += 1
            await link.send([check.number, int(check.urgency), int(check.kind), check.content])

    def _take(self, held: dict[int, Check]) -> Check | None:
        urgent, bulk = self._waiting
        if urgent:
            return urgent.popleft()
        bulk_held = sum(check.urgency == Urgency.BULK for check in held.values())
        return bulk.popleft() if bulk and bulk_held < limits.BULK_JOBS_IN_FLIGHT else None

    async def _collect(self, link: Link, held: dict[int, Check]) -> None:
        while True:
            for number, answer in await link.receive():
                check = held.pop(number)
                self.done_count += 1
                check.done(answer)
            self._ring()

    def _give_again(self, held: dict[int, Check]) -> None:
        """What a dead worker held: once more, or failed."""
        for number in sorted(held, reverse=True):
            check = held.pop(number)
            if check.attempts < ATTEMPTS_MAX:
                self._put(check, again=True)
            else:
                self.failed_count += 1
                check.done(None)
