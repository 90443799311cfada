"""What enters and leaves the node: the closed lists of inputs and effects.

`Node.step(input, now)` takes one input and returns effects in the order in which they matter. Time comes
as `Now`; everything slow is an effect that comes back as an input with the same `job`. Whoever drives a
node (the daemon, the simulator) has these duties:

1. Every `Persist` of a list is durable before any `Send`, `Append`, `Execute` or `Answer` of that list, or
   of a later list, is carried out; a *patient* one before the next that is not, and before any later `Append`.
   Many lists may share one sync. If a sync fails, nothing of them is carried out, ever: the node is abandoned.
2. `Persisted(count)` is stepped once the first `count` `Persist` effects since the start are durable.
3. `Append` and `Execute` are carried out in order, and results are stepped in order. A block is handed to `Append`
   before `Execute`.
4. `CheckSignatures`, `CheckEnvelopes`, `CheckBatch`, `ReadBlocks`, `ReadSnapshot` may be carried out at any time and in
   any order, also never (then nothing breaks, the node only waits and asks again where it can).
5. A key named by `EraseKey` is erased wherever it is stored, in order like the effects of duty 1.
6. `Tick` is stepped when `Node.wake_at_ms` (monotonic) has come; nothing else looks at timers. Being late is safe.
7. After `Halt` nothing more is stepped, sent or written.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Any, NamedTuple

from protocol.crypto.signing import SigningKey
from protocol.ledger.genesis import ValidatorSet
from protocol.ledger.members import Governed
from protocol.ledger.records import Executed
from protocol.values import frozen


@frozen
class Now:
    """The time of one step: `monotonic_ms` for timers, `wall_ms` for block time."""

    monotonic_ms: int
    wall_ms: int


class Priority(IntEnum):
    """The stream of a message between nodes (L-30)."""

    CONSENSUS = 0
    BATCHES = 1
    SYNC = 2


class JournalKind(IntEnum):
    """Kinds of journal records (L-24); on disk: never renumber."""

    VOTE = 1
    PROPOSAL = 2
    CERTIFICATE = 3
    BATCH = 4
    VOTE_FLOOR = 5
    HEADER = 6
    EPOCH = 9
    RESTORED = 7
    """The vote floor that the others' answers gave to a validator without memory (C-24): from here on it remembers."""
    FORGOTTEN = 8
    """A hole in the memory was found (C-24): from here on, until the next `RESTORED`, this validator is amnesiac."""


class JournalRecord(NamedTuple):
    """One record of the journal."""

    kind: int
    data: bytes


class SignatureItem(NamedTuple):
    """One signature to check under L-3."""

    public: bytes
    message: bytes
    signature: bytes


@frozen
class Refusal:
    """Why something was refused: a code of the table, and words.

    `transaction` is given when the signatures were good: only then is a refusal remembered (L-9).
    """

    code: str
    words: str
    transaction: bytes | None = None


@frozen
class Admitted:
    """An envelope whose form, signatures and authorisation are good at the newest executed state."""

    transaction: bytes
    account: bytes
    id: bytes
    valid_until_ms: int
    operations: int
    signatures: int


@frozen
class BatchAccepted:
    """A batch that is well formed with good signatures: the names of its transactions, in order."""

    digest: bytes
    author: bytes
    expiry_height: int
    transactions: tuple[bytes, ...]


class Fate(Enum):
    """What became of an envelope in a final block."""

    FINAL = "final"
    SKIPPED = "skipped"


@frozen
class Outcome:
    """One envelope of an executed block, in block order.

    `log_index` is None when skipped; `code` is the receipt's, or that of the skip.
    """

    transaction: bytes
    account: bytes
    id: bytes
    fate: Fate
    code: str
    log_index: int | None


# -- Inputs -----------------------------------------------------------------------------------------


@frozen
class PeerUp:
    """An authenticated connection with the node `peer` (its node key) stands. A second `PeerUp` replaces the first."""

    peer: bytes


@frozen
class PeerDown:
    """The connection is gone. `replaced`: it stood until another process with the same key took its place (C-24)."""

    peer: bytes
    replaced: bool = False


@frozen
class Received:
    """One whole message from a connected peer."""

    peer: bytes
    data: bytes


@frozen
class Submit:
    """A client's envelopes. Answered by `Answer(ticket, ...)`, one result each, in order."""

    ticket: int
    envelopes: tuple[bytes, ...]


@frozen
class SignaturesChecked:
    """Answer to `CheckSignatures`."""

    job: int
    good: tuple[bool, ...]


@frozen
class EnvelopesChecked:
    """Answer to `CheckEnvelopes`: one verdict each, in order."""

    job: int
    verdicts: tuple[Admitted | Refusal, ...]


@frozen
class BatchChecked:
    """Answer to `CheckBatch`."""

    job: int
    verdict: BatchAccepted | Refusal


@frozen
class BlockExecuted:
    """A block that was handed to `Execute` has been executed and its results stored."""

    executed: Executed
    outcomes: tuple[Outcome, ...]
    governed: Governed | None = None
    """Who takes part from this height on, if this block changed it."""


@frozen
class BlocksRead:
    """Answer to `ReadBlocks`: encoded `Block`s from `first_height` on, as many as there are and fit.

    None if the height is unknown here or its block is damaged.
    """

    job: int
    first_height: int
    blocks: tuple[bytes, ...]


@frozen
class SnapshotRead:
    """Answer to `ReadSnapshot`: encoded messages, none if this node serves no snapshots."""

    job: int
    messages: tuple[bytes, ...]


@frozen
class Persisted:
    """The first `count` `Persist` effects since the start of this `Node` are durable."""

    count: int


@frozen
class Tick:
    """`wake_at_ms` has come."""


@frozen
class Pressure:
    """The disk is nearly full or takes no writes (stop accepting and voting), or has room again (L-28)."""

    disk_full: bool


@frozen
class MendBlocks:
    """Final blocks whose copy on this disk is damaged: get them from peers (L-25).

    blocks: (height, hash of the header below, hash of its header, the set of its epoch) of each, as the state has them.
    May be given again.
    """

    blocks: tuple[tuple[int, bytes, bytes, ValidatorSet], ...]


@frozen
class KeyFound:
    """This node holds one more voting key: it signs with it from the next epoch on whose set has it (C-21)."""

    key: SigningKey


Input = (
    PeerUp
    | PeerDown
    | Received
    | Submit
    | SignaturesChecked
    | EnvelopesChecked
    | BatchChecked
    | BlockExecuted
    | BlocksRead
    | SnapshotRead
    | Persisted
    | Tick
    | Pressure
    | MendBlocks
    | KeyFound
)


# -- Effects ----------------------------------------------------------------------------------------


@frozen
class Persist:
    """Make this journal record durable before anything of this list or a later one leaves.

    patient: it asks for no sync of its own. What depends on it is a vote or a final block, and these bring a sync.
    """

    record: JournalRecord
    patient: bool = False


@frozen
class Send:
    """Send one message to these peers (node keys). A peer that is gone meanwhile is passed over."""

    to: tuple[bytes, ...]
    priority: Priority
    data: bytes


@frozen
class CheckSignatures:
    """Check these by L-3. Consensus waits for it: before all other checks."""

    job: int
    items: tuple[SignatureItem, ...]


@frozen
class CheckEnvelopes:
    """Judge form, signatures and admission (L-7) of each, at the newest executed state."""

    job: int
    envelopes: tuple[bytes, ...]


@frozen
class CheckBatch:
    """Judge an encoded `Batch`: form, the author's signature, and every envelope's form and signatures (L-13)."""

    job: int
    data: bytes


@frozen
class Append:
    """Append this final block (encoded `Block`) to the segments.

    It need not be synced before what follows: the journal holds it.
    """

    height: int
    block: bytes


@frozen
class Execute:
    """Execute this final block on the state below it and store the results; answered by `BlockExecuted`."""

    height: int
    header: bytes
    batches: tuple[bytes, ...]


@frozen
class ReadBlocks:
    """Read up to `count` final blocks and about `bytes_max` bytes from `first_height` on."""

    job: int
    first_height: int
    count: int
    bytes_max: int


@frozen
class ReadSnapshot:
    """Answer a peer's question about snapshots (one of `wire.snapshot.QUESTIONS`): `snapshot.serving.answer`."""

    job: int
    question: Any


@frozen
class Mended:
    """A final block that was damaged here, whole again (encoded `Block`): put it in place, at any time."""

    height: int
    block: bytes


@frozen
class Answer:
    """The result of a `Submit`: of each envelope what is known when it waits in the pool here (or did), or why not."""

    ticket: int
    results: tuple[Admitted | Refusal, ...]


@frozen
class Disconnect:
    """Close the channel to this peer: it broke the protocol. It may come back after the usual back-off."""

    peer: bytes
    words: str


@frozen
class Note:
    """Something worth a log line or a counter: a stable name and plain facts (never secrets)."""

    name: str
    facts: dict[str, int | str | bytes | bool | None]


@frozen
class EraseKey:
    """Erase this voting key: its epoch has ended and its successor's set does not have it (C-23).

    The closing finalization and all before it are durable once what was persisted before is.
    """

    voting_key: bytes


@frozen
class TakePart:
    """Validators' nodes from now on (node keys): of the present epoch, and of those to come.

    Given at a start, when an epoch begins, and when the state says something new.
    """

    epoch: int
    node_keys: frozenset[bytes]


@frozen
class Halt:
    """Stop now (L-22, C-24, broken invariant): sign and write nothing more."""

    code: str
    words: str


Effect = (
    Persist
    | Send
    | CheckSignatures
    | CheckEnvelopes
    | CheckBatch
    | Append
    | Execute
    | ReadBlocks
    | ReadSnapshot
    | Mended
    | Answer
    | Disconnect
    | Note
    | EraseKey
    | TakePart
    | Halt
)
