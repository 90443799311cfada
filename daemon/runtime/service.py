"""What the HTTP API, the command line and tests ask of a running node: one narrow interface.

Everything that changes goes through the node (`submit`); everything that is final is read from the store, in consistent
views of one executed height; only what is neither (pending, refused) is asked of the node itself.

**Outcomes (L-9).** One question, five answers: *final*, *pending*, *refused*, *expired*, *not seen*. Final is looked
for first: what a pool says of an envelope counts only while no block holds it.

**Waiting for finality.** A waiter registers before it looks, so nothing can become final in between unseen. It is woken
by the very result that makes its transaction final. A time-out is told as such: it is not an outcome.

When the node stops, `submit` refuses with `stopping`, waiters and streams (events.py) end by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

import trio

from daemon import limits
from daemon.net.interface import PeerStatus
from daemon.runtime.events import BlockStream, Progress, TransactionStream
from daemon.store.rows import StateReader
from daemon.store.tables import StateStore
from protocol import errors
from protocol.ledger.admission import Known, outcome_of
from protocol.ledger.genesis import Genesis
from protocol.ledger.index import read_receipt
from protocol.node.interface import Admitted, Answer, BlockExecuted, Fate, Input, Refusal, Submit
from protocol.node.setup import NodeStatus


class Stage(Enum):
    """What is known of a transaction (L-9)."""

    FINAL = "final"
    PENDING = "pending"
    REFUSED = "refused"
    EXPIRED = "expired"
    NOT_SEEN = "not_seen"


@dataclass(frozen=True, slots=True)
class TransactionOutcome:
    """The answer to one question at one moment.

    log_index, height, position, receipt (encoded): where it is final. refusal: where this node refused it.
    executed_height: the state that was asked.
    """

    stage: Stage
    executed_height: int
    log_index: int | None = None
    height: int | None = None
    position: int | None = None
    receipt: bytes | None = None
    refusal: Refusal | None = None


class Metrics(NamedTuple):
    """Numbers by name. `counters` only grow while the process lives; `gauges` go up and down."""

    counters: dict[str, int]
    gauges: dict[str, int]


class Questions(Protocol):
    """What is asked of the node itself (`protocol.node.node.Node`)."""

    def is_pending(self, transaction: bytes) -> bool:
        """Whether it waits here, or in a batch that is not final."""
        ...

    def refusal(self, transaction: bytes) -> tuple[str, str] | None:
        """Code and words, if this node refused it and remembers."""
        ...

    def status(self) -> NodeStatus:
        """A snapshot."""
        ...


class BlockReader(Protocol):
    """What is asked of the segments."""

    def read(self, height: int) -> bytes | None:
        """The encoded block, or None. Raises SegmentDamaged."""
        ...


def refuse_pruned(height: int, first_height: int) -> None:
    """Raises Refused(pruned) for a block that there was once, or elsewhere, and that is not kept here."""
    if 1 <= height < first_height:
        words = f"block {height} is not kept here: this node keeps blocks from {first_height} on; ask an archive node"
        raise errors.Refused(errors.PRUNED, words)


class NodeService:
    """See the essay. Made by the runtime; lives as long as the node.

    node: for what is not final. state, segments: for what is. put: hands an input to the node.
    numbers, peers, first_height, left_seconds: of the other parts of the daemon. disk_full: whether the disk takes no
    writes: the node's own answers may wait behind one.
    """

    def __init__(
        self,
        genesis: Genesis,
        node: Questions,
        state: StateStore,
        segments: BlockReader,
        put: Callable[[Input], None],
        *,
        numbers: Callable[[], Metrics] = lambda: Metrics({}, {}),
        peers: Callable[[], Sequence[PeerStatus]] = lambda: (),
        disk_full: Callable[[], bool] = lambda: False,
        first_height: Callable[[], int] = lambda: 1,
        left_seconds: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.genesis = genesis
        self._node = node
        self._state = state
        self._segments = segments
        self._put = put
        self._numbers = numbers
        self._peers = peers
        self._disk_full = disk_full
        self._first_height = first_height
        self._left_seconds = left_seconds
        self._tickets = 0
        self._answers: dict[int, _Ticket] = {}
        self._waiting_bytes = 0
        self._waiters: dict[bytes, _Waiter] = {}
        self.progress = Progress()
        self.counters: dict[str, int] = {"submitted": 0, "admitted": 0, "refused": 0}

    # -- Submitting ---------------------------------------------------------------------------------

    async def submit(self, envelopes: Sequence[bytes]) -> list[Admitted | Refusal]:
        """Hand envelopes to the node: for each, in order, that it waits in the pool here, or why not.

        The caller has bounded the body. Refused at once with `pool_full` while too many posts wait, `disk_full` while
        the disk takes no writes, `stopping` at the end. An envelope that is final already is refused as `duplicate`:
        `outcome` gives its receipt.
        """
        size = sum(len(envelope) for envelope in envelopes)
        self.counters["submitted"] += len(envelopes)
        refusal = self._refuses(size)
        if refusal is not None:
            self.counters["refused"] += len(envelopes)
            return [refusal] * len(envelopes)
        self._tickets += 1
        number, ticket = self._tickets, _Ticket(len(envelopes))
        self._answers[number] = ticket
        self._waiting_bytes += size
        try:
            self._put(Submit(number, tuple(envelopes)))
            await ticket.event.wait()
        finally:
            del self._answers[number]
            self._waiting_bytes -= size
        admitted = sum(type(result) is Admitted for result in ticket.results)
        self.counters["admitted"] += admitted
        self.counters["refused"] += len(envelopes) - admitted
        return ticket.results

    def _refuses(self, size: int) -> Refusal | None:
        if self.progress.stopping:
            return Refusal(errors.STOPPING, "this node is shutting down; use another")
        if self._disk_full():
            return Refusal(errors.DISK_FULL, "this node's disk is nearly full or takes no writes; use another")
        full = len(self._answers) >= limits.SUBMITS_WAITING_MAX
        if full or (self._answers and self._waiting_bytes + size > limits.SUBMITS_WAITING_BYTES):
            return Refusal(errors.POOL_FULL, f"{len(self._answers)} posts wait for their answer here; try again later")
        return None

    # -- What the runtime tells ---------------------------------------------------------------------

    def answered(self, answer: Answer) -> None:
        """The node has answered a post; nobody may be waiting any more."""
        ticket = self._answers.get(answer.ticket)
        if ticket is not None:
            ticket.results = list(answer.results)
            ticket.event.set()

    def executed(self, result: BlockExecuted) -> None:
        """A block was executed and its results are stored."""
        if self._waiters:
            for outcome in result.outcomes:
                waiter = self._waiters.pop(outcome.transaction, None) if outcome.fate is Fate.FINAL else None
                if waiter is not None:
                    waiter.final.set()
        self.progress.advance(result.executed)

    def stop(self, words: str) -> None:
        """Refuse what comes, and let waiters and streams end; posts under way may still be answered."""
        self.progress.stop(words)
        for waiter in self._waiters.values():
            waiter.final.set()

    async def stopping(self) -> str:
        """Return, with words, when the orderly end begins: what serves clients then ends by itself."""
        while not self.progress.stopping:
            await self.progress.changed.wait()
        return self.progress.words

    @property
    def posts_waiting(self) -> int:
        """Posts that have no answer yet."""
        return len(self._answers)

    def abandon(self) -> None:
        """Answer the posts that are left: the node will not. What became of them other nodes can tell."""
        for ticket in self._answers.values():
            if not ticket.event.is_set():
                ticket.results = [Refusal(errors.STOPPING, self.progress.words)] * ticket.count
                ticket.event.set()

    # -- Reading ------------------------------------------------------------------------------------

    @contextmanager
    def reader(self) -> Iterator[StateReader]:
        """A consistent view of the newest executed height; short, and without a checkpoint inside."""
        with self._state.reader() as reader:
            yield reader

    def status(self) -> NodeStatus:
        """A snapshot of the node."""
        return self._node.status()

    def block(self, height: int) -> bytes | None:
        """The encoded final block, or None if it is not here. Raises SegmentDamaged."""
        return self._segments.read(height)

    @property
    def first_height(self) -> int:
        """The lowest block that is shown here with its results; older ones were pruned, or came before a snapshot."""
        return self._first_height()

    @property
    def left_seconds(self) -> int | None:
        """Until block sync will have caught up, at its present pace; None if it does not run, or nobody knows."""
        return self._left_seconds()

    def outcome(self, transaction: bytes, valid_until_ms: int | None = None) -> TransactionOutcome:
        """What is known of a transaction here and now; *expired* can only be told with its `valid_until_ms`."""
        with self._state.reader() as reader:
            height = reader.height or 0
            known = outcome_of(reader, transaction, valid_until_ms, self.genesis.parameters)
            if known.location is not None:
                place = known.location
                receipt = read_receipt(reader, place.log_index)
                return TransactionOutcome(
                    Stage.FINAL, height, place.log_index, place.height, place.position, receipt=receipt
                )
        if known.known is Known.EXPIRED:
            return TransactionOutcome(Stage.EXPIRED, height)
        if self._node.is_pending(transaction):
            return TransactionOutcome(Stage.PENDING, height)
        refusal = self._node.refusal(transaction)
        if refusal is not None:
            return TransactionOutcome(Stage.REFUSED, height, refusal=Refusal(*refusal, transaction))
        return TransactionOutcome(Stage.NOT_SEEN, height)

    async def wait_final(
        self, transaction: bytes, timeout_seconds: float, valid_until_ms: int | None = None
    ) -> TransactionOutcome:
        """The outcome once it is final, expired or refused, or as it is when the time is over or the node stops."""
        with trio.move_on_after(timeout_seconds), self._waiting_for(transaction) as waiter:
            while not self.progress.stopping:
                changed = self.progress.changed
                outcome = self.outcome(transaction, valid_until_ms)
                if outcome.stage in (Stage.FINAL, Stage.EXPIRED, Stage.REFUSED):
                    return outcome
                # One that may expire, or that nobody here has seen, is looked at again with every block.
                pending = valid_until_ms is None and outcome.stage is Stage.PENDING
                await (waiter.final if pending else changed).wait()
        return self.outcome(transaction, valid_until_ms)

    @contextmanager
    def _waiting_for(self, transaction: bytes) -> Iterator[_Waiter]:
        """Be woken by the result that makes it final; leaves nothing behind."""
        waiter = self._waiters.setdefault(transaction, _Waiter())
        waiter.tasks += 1
        try:
            yield waiter
        finally:
            waiter.tasks -= 1
            if not waiter.tasks and self._waiters.get(transaction) is waiter:
                del self._waiters[transaction]

    # -- Streams ------------------------------------------------------------------------------------

    def transactions(self, after_log_index: int | None) -> TransactionStream:
        """Final transactions in the order of the log, from the one after `after_log_index` on (None: the first)."""
        return TransactionStream(self._state, self.progress, 0 if after_log_index is None else after_log_index + 1)

    def blocks(self, after_height: int) -> BlockStream:
        """Executed blocks from the one above `after_height` on."""
        return BlockStream(self._state, self.progress, after_height + 1)

    # -- Numbers ------------------------------------------------------------------------------------

    def metrics(self) -> Metrics:
        """Counters (they only grow) and gauges, by name; whole numbers."""
        counters = {f"api_{name}": value for name, value in self.counters.items()}
        gauges = {"api_posts_waiting": len(self._answers), "api_finality_waiters": len(self._waiters)}
        more = self._numbers()
        return Metrics(counters | more.counters, gauges | more.gauges)

    def peers(self) -> Sequence[PeerStatus]:
        """Everyone connected."""
        return self._peers()


class _Ticket:
    """One post that waits."""

    __slots__ = ("count", "event", "results")

    def __init__(self, count: int) -> None:
        self.count = count
        self.event = trio.Event()
        self.results: list[Admitted | Refusal] = []


class _Waiter:
    """Tasks that wait for one transaction."""

    __slots__ = ("final", "tasks")

    def __init__(self) -> None:
        self.tasks = 0
        self.final = trio.Event()
