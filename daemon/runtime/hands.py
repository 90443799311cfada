"""Hands: how each effect of the node is carried out, and how what comes back becomes an input.

One function for each kind of effect. None waits: they hand over to a task that does. What comes back is put into the
inbox as an urgent input when consensus waits for it or when it is an answer of our own, which there are no more of
than jobs.

**Few signatures are checked at once.** C-19 wants votes checked off the loop; for up to `INLINE_SIGNATURES_MAX` of them
handing over costs the loop as much as checking, and the answer would come later. It still comes as an input of its own.

**So are small checks, while the loop has little to do.** One envelope or a batch of a few costs less to check than to
hand over (limits.py has the figures), and a process that sleeps wakes with cold caches. With more waiting in the inbox,
or behind other checks, everything goes to the workers: the loop then has better things to do. What makes the check
itself fail here is given to a worker, which has the last word.

**When a check failed** for good (a worker died of it twice), no verdict is invented (duty 4). Signatures that consensus
waits for are then checked here, on the loop: few, and better late than never. Envelopes and batches are refused with
`internal_error`: a client hears of it, no job stays open for ever, and the node, which charges nobody for our own
failure, asks for the batch again where it needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import structlog
import trio

from daemon import limits
from daemon.observe.lines import Lines
from daemon.runtime.evidence import is_evidence
from daemon.runtime.finals import Finals
from daemon.runtime.inbox import Inbox
from daemon.runtime.service import NodeService
from daemon.runtime.workers.kinds import CheckKind, Urgency
from daemon.runtime.workers.results import BatchVerdict, Verdict, unpack_batch_verdict, unpack_verdicts
from daemon.runtime.workers.verifiers import Verifiers
from daemon.runtime.workers.verify import Judge
from daemon.store.errors import SegmentDamaged
from protocol import errors
from protocol.crypto.signing import verify_message
from protocol.errors import BrokenInvariant, Refused
from protocol.node.interface import (
    Answer,
    Append,
    BatchChecked,
    BlocksRead,
    CheckBatch,
    CheckEnvelopes,
    CheckSignatures,
    Disconnect,
    Effect,
    EnvelopesChecked,
    EraseKey,
    Execute,
    Mended,
    Note,
    ReadBlocks,
    ReadSnapshot,
    Refusal,
    Send,
    SignaturesChecked,
    SnapshotRead,
    TakePart,
)

READS_AT_ONCE = 2
"""Threads that read old blocks for peers: disk reads of a node that catches up never take all threads."""


class Sender(Protocol):
    """What is needed of the network."""

    def send(self, peer: bytes, priority: Any, data: bytes) -> bool:
        """Queue one message; False if the peer is gone or its queue is full."""
        ...

    def disconnect(self, peer: bytes, words: str) -> None:
        """Close the channel to a peer."""
        ...


class RangeReader(Protocol):
    """What is needed of the segments, from any thread."""

    def read_range(self, first: int, count: int, bytes_max: int) -> list[bytes]:
        """Encoded blocks from `first` on. Raises SegmentDamaged if the first is damaged."""
        ...


class NodeHands:
    """Carries effects out; see the essay. `nursery` is for reads; `evidence` keeps what a note proves, in a thread.

    mended: takes blocks that were damaged here and are whole again. erase_key, take_part: how these effects are carried
    out, at once. snapshots: answers a question about them, in a thread.
    """

    def __init__(
        self,
        *,
        nursery: trio.Nursery,
        inbox: Inbox,
        network: Sender,
        verifiers: Verifiers,
        judge: Judge | None = None,
        segments: RangeReader,
        finals: Finals,
        service: Callable[[], NodeService],
        lines: Lines,
        evidence: Callable[[Note], object] = lambda _note: None,
        mended: Callable[[Mended], object] = lambda _mended: None,
        erase_key: Callable[[bytes], None] = lambda _voting_key: None,
        take_part: Callable[[TakePart], None] = lambda _effect: None,
        snapshots: Callable[[Any], tuple[bytes, ...]] = lambda _question: (),
    ) -> None:
        self._nursery = nursery
        self._inbox = inbox
        self._network = network
        self._verifiers = verifiers
        self._judge = judge
        self._segments = segments
        self._finals = finals
        self._service = service
        self._lines = lines
        self._evidence = evidence
        self._mended = mended
        self._erase_key = erase_key
        self._take_part = take_part
        self._snapshots = snapshots
        self._reads = trio.CapacityLimiter(READS_AT_ONCE)
        self._log: Any = structlog.get_logger()
        self.sends_dropped = 0

    # -- At once ------------------------------------------------------------------------------------

    def begin(self, effect: Effect) -> None:
        """Start a check or read, or tell a note."""
        match effect:
            case CheckSignatures() if len(effect.items) <= limits.INLINE_SIGNATURES_MAX:
                self._signatures_checked(effect, None)
            case CheckSignatures():
                content = [list(item) for item in effect.items]
                done = partial(self._signatures_checked, effect)
                self._verifiers.ask(Urgency.CONSENSUS, CheckKind.SIGNATURES, content, done)
            case CheckEnvelopes():
                size = sum(map(len, effect.envelopes))
                self._check(CheckKind.ENVELOPES, effect.envelopes, size, partial(self._envelopes_checked, effect))
            case CheckBatch():
                done = partial(self._batch_checked, effect)
                self._check(CheckKind.BATCH, effect.data, len(effect.data), done)
            case Mended():
                self._mended(effect)
            case ReadBlocks():
                self._nursery.start_soon(self._read, effect)
            case ReadSnapshot():
                self._nursery.start_soon(self._read_snapshot, effect)
            case Note():
                self._lines.note(effect)
                if is_evidence(effect):
                    self._nursery.start_soon(self._keep_evidence, effect)
            case _:
                raise BrokenInvariant(f"{type(effect).__name__} is not begun at once")

    def _check(self, kind: CheckKind, content: Any, size: int, done: Callable[[Any], None]) -> None:
        """Have it checked: here if it is small and nothing else waits, else by a worker."""
        waiting = len(self._inbox) > limits.CHECK_HERE_INBOX_MAX or self._verifiers.waiting_count
        if self._judge is not None and size <= limits.CHECK_HERE_BYTES and not waiting:
            try:
                answer = self._judge.now(kind, content)
            except Exception as fault:  # noqa: BLE001 - a worker, of which it costs less, shall try
                self._log.error("check_failed_here", kind=kind.name, words=f"{type(fault).__name__}: {fault}")
            else:
                done(answer)
                return
        unpack = unpack_batch_verdict if kind is CheckKind.BATCH else unpack_verdicts
        self._verifiers.ask(Urgency.BULK, kind, content, lambda raw: done(None if raw is None else unpack(raw)))

    def _signatures_checked(self, effect: CheckSignatures, answer: bytes | None) -> None:
        good = tuple(map(bool, answer)) if answer is not None else tuple(verify_message(*item) for item in effect.items)
        self._inbox.put_nowait(SignaturesChecked(effect.job, good))

    def _envelopes_checked(self, effect: CheckEnvelopes, verdicts: tuple[Verdict, ...] | None) -> None:
        if verdicts is None:
            self._log.error("check_failed", what="envelopes", count=len(effect.envelopes))
            refusal = Refusal(errors.INTERNAL_ERROR, "this node could not check the envelope; its log says why")
            verdicts = (refusal,) * len(effect.envelopes)
        self._inbox.put_nowait(EnvelopesChecked(effect.job, verdicts), urgent=False)

    def _batch_checked(self, effect: CheckBatch, verdict: BatchVerdict | None) -> None:
        if verdict is None:
            self._log.error("check_failed", what="batch", bytes=len(effect.data))
            verdict = Refusal(errors.INTERNAL_ERROR, "this node could not check the batch")
        self._inbox.put_nowait(BatchChecked(effect.job, verdict))

    async def _read(self, effect: ReadBlocks) -> None:
        read = partial(self._segments.read_range, effect.first_height, effect.count, effect.bytes_max)
        try:
            blocks = await trio.to_thread.run_sync(read, limiter=self._reads)
        except SegmentDamaged as damage:
            self._log.error("segment_damaged", height=damage.height, words=damage.words)
            blocks = []
        self._inbox.put_nowait(BlocksRead(effect.job, effect.first_height, tuple(blocks)), urgent=False)

    async def _read_snapshot(self, effect: ReadSnapshot) -> None:
        messages = await trio.to_thread.run_sync(self._snapshots, effect.question, limiter=self._reads)
        self._inbox.put_nowait(SnapshotRead(effect.job, messages), urgent=False)

    async def _keep_evidence(self, note: Note) -> None:
        words = ""
        for _ in range(limits.EVIDENCE_TRIES):
            try:
                await trio.to_thread.run_sync(self._evidence, note, limiter=self._reads)
            except Refused as refused:  # how the epoch before ended is not executed here yet
                words = refused.words
                await trio.sleep(limits.EVIDENCE_RETRY_SECONDS)
            except (OSError, SegmentDamaged) as fault:
                words = str(fault)
                break
            else:
                return
        self._log.error("evidence_not_kept", kind=note.name, words=words)

    # -- In order -----------------------------------------------------------------------------------

    def carry_out(self, effect: Effect) -> None:
        """Send, append, execute, answer, disconnect, erase a key, or say whose nodes take part."""
        match effect:
            case Send():
                for peer in effect.to:
                    if not self._network.send(peer, effect.priority, effect.data):
                        self.sends_dropped += 1
            case Append() | Execute():
                self._finals.put(effect)
            case Answer():
                self._service().answered(effect)
                self._tell_refused(effect)
            case Disconnect():
                self._network.disconnect(effect.peer, effect.words)
            case EraseKey():
                self._erase_key(effect.voting_key)
            case TakePart():
                self._take_part(effect)
            case _:
                raise BrokenInvariant(f"{type(effect).__name__} is not carried out in order")

    def _tell_refused(self, answer: Answer) -> None:
        """A post refused as a whole, unseen, is one line; of what was looked at the node's notes tell each."""
        first = answer.results[0] if answer.results else None
        if type(first) is Refusal and first.transaction is None and first.code in _UNSEEN:
            self._lines.refused(first, "api", len(answer.results))


_UNSEEN = frozenset({errors.DISK_FULL, errors.POOL_FULL, errors.NOT_VALIDATOR, errors.STOPPING})
