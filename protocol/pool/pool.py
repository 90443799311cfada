"""The pool of one node.

An envelope is in one of three places here: *waiting* to be sealed, *sealed* in an own batch that is not
final yet, or nowhere. It leaves when a final block holds it, when its time is over, or when it is judged
anew after a skip and refused. A batch that can no longer be referenced gives its envelopes back.

Fairness (L-12): envelopes wait in one queue for each account, and sealing takes from the queues in turn,
so an account that posts a million delays its own million. While others may come, one account fills at
most half of the pool.

Refusals of envelopes under good signatures are remembered, a bounded number, so that a client who asks is
told why. Deliberately absent: fees, priorities, replacement.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from protocol import limits
from protocol.errors import ACCOUNT_SHARE_FULL, CONFLICT, POOL_FULL
from protocol.pool.pace import Pace


@dataclass(frozen=True, slots=True)
class Entry:
    """An admitted envelope: its encoded bytes, and what is known of it."""

    data: bytes
    transaction: bytes
    account: bytes
    id: bytes
    valid_until_ms: int
    operations: int
    signatures: int
    since_ms: int


@dataclass(slots=True)
class Pool:
    """Waiting and sealed envelopes of one node."""

    # Ordered dictionaries, because both are left from their heads: a plain one would walk over its dead.
    waiting: OrderedDict[bytes, Entry] = field(default_factory=OrderedDict)
    sealed: dict[bytes, Entry] = field(default_factory=dict)
    queues: OrderedDict[bytes, OrderedDict[bytes, None]] = field(default_factory=OrderedDict)
    names: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict)
    refused: OrderedDict[bytes, tuple[str, str]] = field(default_factory=OrderedDict)
    finals: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    """Final a moment ago: an envelope that was looked at before that comes too late."""
    waiting_bytes: int = 0
    pace: Pace = field(default_factory=Pace)

    def holds(self, transaction: bytes) -> bool:
        """Whether the envelope is pending here."""
        return transaction in self.waiting or transaction in self.sealed

    def knows(self, transaction: bytes) -> bool:
        """Whether the envelope is pending here, or was final a moment ago."""
        return self.holds(transaction) or transaction in self.finals

    def remember_final(self, transaction: bytes) -> None:
        """A final block holds it."""
        self.finals[transaction] = None
        if len(self.finals) > limits.FINALS_REMEMBERED_MAX:
            self.finals.popitem(last=False)

    def admit(self, entry: Entry) -> tuple[str, str] | None:
        """Take an envelope in; or the code and words of why not. One that is here, or final, already is fine."""
        if self.knows(entry.transaction):
            return None
        if self.names.get((entry.account, entry.id), entry.transaction) != entry.transaction:
            return CONFLICT, "the same (account, id) with other content waits here"
        if len(self.waiting) >= limits.POOL_ENVELOPES_MAX or (
            self.waiting_bytes + len(entry.data) > limits.POOL_BYTES_MAX
        ):
            return POOL_FULL, f"{len(self.waiting)} envelopes wait here"
        queue = self.queues.get(entry.account, ())
        if len(queue) >= limits.POOL_ENVELOPES_MAX * limits.POOL_ACCOUNT_SHARE_PERCENT // 100:
            return ACCOUNT_SHARE_FULL, f"{len(queue)} envelopes of this account wait here"
        self._enqueue(entry)
        self.refused.pop(entry.transaction, None)
        return None

    def _enqueue(self, entry: Entry) -> None:
        self.waiting[entry.transaction] = entry
        self.names[(entry.account, entry.id)] = entry.transaction
        self.queues.setdefault(entry.account, OrderedDict())[entry.transaction] = None
        self.waiting_bytes += len(entry.data)

    def ahead_of(self, account: bytes) -> int:
        """How many become final before a new envelope of this account would: accounts take turns."""
        turns = len(self.queues.get(account, ())) + 1
        return len(self.sealed) + min(len(self.waiting), turns * len(self.queues))

    def oldest_ms(self) -> int | None:
        """Since when the first envelope in line waits."""
        entry = next(iter(self.waiting.values()), None)
        return None if entry is None else entry.since_ms

    def take(self, bytes_max: int, held_back: Callable[[bytes], bool]) -> list[Entry]:
        """Envelopes for one batch, accounts in turn, within the batch's bounds. They count as sealed from now on.

        `held_back` says which stand in another author's batch (L-11): passed over this time.
        """
        chosen: list[Entry] = []
        size = operations = signatures = 0
        passed: list[Entry] = []
        full = False
        while self.queues and not full:
            for account in list(self.queues):
                queue = self.queues[account]
                entry = self.waiting[next(iter(queue))]
                if held_back(entry.transaction):
                    passed.append(self._leave_queue(entry))
                    continue
                size += len(entry.data) + 5
                operations += entry.operations
                signatures += entry.signatures
                full = bool(chosen) and (
                    size > bytes_max
                    or len(chosen) >= limits.BATCH_ENVELOPES_MAX
                    or operations > limits.BATCH_OPERATIONS_MAX
                    or signatures > limits.BATCH_SIGNATURES_MAX
                )
                if full:
                    break
                chosen.append(self._leave_queue(entry))
        for entry in passed:
            self._enqueue(entry)
        for entry in chosen:
            self.sealed[entry.transaction] = entry
        return chosen

    def _leave_queue(self, entry: Entry) -> Entry:
        queue = self.queues[entry.account]
        del queue[entry.transaction]
        if queue:
            self.queues.move_to_end(entry.account)  # its next turn comes after the others'
        else:
            del self.queues[entry.account]
        del self.waiting[entry.transaction]
        self.waiting_bytes -= len(entry.data)
        return entry

    def give_back(self, transactions: list[bytes]) -> None:
        """A batch can't become final any more: what it held waits again."""
        for transaction in transactions:
            entry = self.sealed.pop(transaction, None)
            if entry is not None:
                self._enqueue(entry)

    def settle(self, transaction: bytes) -> Entry | None:
        """The envelope is final, or judged anew elsewhere: it leaves. Returns it if it was here."""
        entry = self.sealed.pop(transaction, None)
        if entry is None:
            entry = self.waiting.pop(transaction, None)
            if entry is None:
                return None
            self.waiting_bytes -= len(entry.data)
            queue = self.queues[entry.account]
            del queue[transaction]
            if not queue:
                del self.queues[entry.account]
        self.names.pop((entry.account, entry.id), None)
        return entry

    def expire(self, time_ms: int) -> list[Entry]:
        """Drop what waits and can't become final after block time `time_ms` any more. At most a hundred a call."""
        late = [entry for entry in self.waiting.values() if entry.valid_until_ms <= time_ms][:100]
        for entry in late:
            self.settle(entry.transaction)
        return late

    def remember_refusal(self, transaction: bytes, code: str, words: str) -> None:
        """So that a client who asks later is told (L-9)."""
        self.refused.pop(transaction, None)
        self.refused[transaction] = (code, words)
        while len(self.refused) > limits.REFUSED_REMEMBERED_MAX:
            self.refused.popitem(last=False)
