"""What every part of the story uses: the nodes, a client for each, the follower, and delivery with its expectations.

Each member has a client that prefers its own node and goes to the others when that does not answer, as an institution
would set it up. One task follows the events of one node and feeds the meter; another asks the four for their heights.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final

import trio

from daemon.client import AsyncClient, ClientError, Receipt, TransactionExpired, TransactionFailed, TransactionRefused
from daemon.demo.desk import Desk
from daemon.demo.load import Task, chunks
from daemon.demo.meter import Meter
from daemon.demo.nodes import ASK_AGAIN_SECONDS, NodeProcess
from daemon.demo.people import People
from daemon.demo.telling import Teller
from protocol.errors import BROKEN_INVARIANT, OK, PapilioError

POST_ENVELOPES: Final = 50
LANES: Final = 2
"""Posts under way at each node: so many envelopes times four nodes times this wait for finality at once."""
WATCH_SECONDS: Final = 0.3
FOLLOW_PATIENCE_SECONDS: Final = 60.0
EXECUTED_SECONDS: Final = 60
SURPRISES_SHOWN: Final = 10


class DemoFailed(PapilioError):
    """Something did not turn out as it must."""

    code = BROKEN_INVARIANT


@dataclass(slots=True)
class Stage:
    """Everything that acts. victim: whose node is killed. heights: of each node, None while it does not answer.

    surprises: envelopes that became something else than they have to, in words.
    """

    teller: Teller
    nodes: Mapping[str, NodeProcess]
    desk: Desk
    people: People
    victim: str
    meter: Meter = field(default_factory=Meter)
    heights: dict[str, int | None] = field(default_factory=dict)
    surprises: list[str] = field(default_factory=list)
    _clients: dict[str, AsyncClient] = field(default_factory=dict)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _moved: trio.Event = field(default_factory=trio.Event)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Clients connected, follower and watch running, while the block runs."""
        async with self._stack:
            for member in self.nodes:
                await self.connect(member)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow)
                for node in self.nodes.values():
                    nursery.start_soon(self._watch, node)
                yield
                nursery.cancel_scope.cancel()

    async def connect(self, member: str) -> None:
        """A new client for the member: its own node first, then the others in turn."""
        members = list(self.nodes)
        at = members.index(member)
        urls = [self.nodes[name].url for name in members[at:] + members[:at]]
        self._clients[member] = await self._stack.enter_async_context(
            AsyncClient(*urls, network_id=self.desk.network_id)
        )

    def client(self, member: str) -> AsyncClient:
        """The member's client."""
        return self._clients[member]

    # -- Delivery -----------------------------------------------------------------------------------

    async def deliver(self, member: str, tasks: Sequence[Task]) -> list[Receipt | ClientError]:
        """Send envelopes through the member's client, wait for what becomes of them, compare with what must be."""
        self.meter.sending(task.sealed.transaction for task in tasks)
        results = await self.client(member).send_all([task.sealed for task in tasks])
        for task, result in zip(tasks, results, strict=True):
            if isinstance(result, TransactionRefused | TransactionExpired):
                self.meter.refuse(result.code)
            elif isinstance(result, ClientError):
                raise result
            if result.code != task.code if task.code else result.code == OK:
                words = result.words or "applied"
                self.surprises.append(f"{task.kind}: {task.code or 'a refusal'} expected, {result.code} came ({words})")
        return results

    async def one(self, member: str, task: Task) -> Receipt | ClientError:
        """The same for one."""
        (result,) = await self.deliver(member, [task])
        return result

    async def applied(self, member: str, task: Task) -> Receipt:
        """Deliver one that has to be applied. Raises what it became otherwise."""
        result = await self.one(member, task)
        if isinstance(result, ClientError):
            raise result
        if not result.ok:
            raise TransactionFailed(result)
        return result

    async def deliver_all(self, tasks: Sequence[Task], size: int = POST_ENVELOPES) -> None:
        """Send everything to all four nodes, some posts at a time at each; return when all is final or refused."""
        queue = chunks(tasks, size)

        async def lane(member: str) -> None:
            for chunk in queue:
                await self.deliver(member, chunk)

        async with trio.open_nursery() as nursery:
            for member in list(self.nodes) * LANES:
                nursery.start_soon(lane, member)

    async def deliver_in_turn(self, tasks: Sequence[Task]) -> None:
        """Send one after the other, to one node after the other."""
        for member, task in zip(cycle(self.nodes), tasks, strict=False):
            await self.one(member, task)

    # -- What is final ------------------------------------------------------------------------------

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return when `holds` does; it is asked after each final transaction."""
        while not holds():
            await self._moved.wait()

    async def executed(self, member: str, height: int) -> None:
        """Return when this node has executed the block of that height. Raises DemoFailed if that takes too long."""
        with trio.move_on_after(EXECUTED_SECONDS):
            while (await self.nodes[member].first_answer("/v1/node"))["executed_height"] < height:  # noqa: ASYNC110
                await trio.sleep(ASK_AGAIN_SECONDS)  # it happens in another process: no event to wait for
            return
        raise DemoFailed(f"the node of {member} did not reach height {height} in {EXECUTED_SECONDS} s")

    async def settled(self) -> None:
        """Return when the follower has seen everything that was sent become final or refused."""
        await self.until(lambda: self.meter.transactions + self.meter.refused.total() >= self.meter.sent)

    def check(self) -> None:
        """Raises DemoFailed if anything became what it must not."""
        if self.surprises:
            shown = "\n".join(f"    {words}" for words in self.surprises[:SURPRISES_SHOWN])
            raise DemoFailed(f"{len(self.surprises)} transactions became something else than they have to:\n{shown}")

    async def _follow(self) -> None:
        async with self.client(next(name for name in self.nodes if name != self.victim)).events(
            patience_seconds=FOLLOW_PATIENCE_SECONDS
        ) as events:
            async for event in events:
                self.meter.take(event)
                moved, self._moved = self._moved, trio.Event()
                moved.set()

    async def _watch(self, node: NodeProcess) -> None:
        while True:
            status = await node.answers("/v1/node")
            self.heights[node.member] = None if status is None else int(status["executed_height"])
            node.check()
            await trio.sleep(WATCH_SECONDS)


def now_ms() -> int:
    """Wall clock."""
    return time.time_ns() // 1_000_000
