"""What answers look like: typed dictionaries, from which mypy checks handlers and pydantic makes the OpenAPI schemas.

Bytes are lower-case hex, times are milliseconds since 1970, integers are exact in every language (below 2^53); what may
pass that is decimal text (`protocol.codec.json`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from protocol import limits

Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Height = Annotated[int, Field(ge=0, le=limits.U53_MAX)]
Count = Annotated[int, Field(ge=0)]
TimeMs = Annotated[int, Field(ge=0, le=limits.U53_MAX, description="Milliseconds since 1970-01-01 UTC.")]
CodeName = Annotated[str, Field(description="A code of the table of codes.")]
RetryWord = Annotated[
    Literal["never", "later", "elsewhere", "changed"], Field(description="Whether to try again, and how.")
]
FaultWord = Literal["client", "peer", "operator", "network", "node"]


class Problem(TypedDict):
    """A refusal (RFC 9457). `code` is stable and comes from one table; `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: CodeName
    fault: FaultWord
    retry: RetryWord


class Receipt(TypedDict):
    """The outcome of one envelope. `position` counts all envelopes of the block; `operation` is the one that failed."""

    transaction: Hash
    height: Height
    time_ms: TimeMs
    position: Count
    code: CodeName
    operation: int | None
    words: str
    results: Annotated[
        list[Any],
        Field(
            description="One for each operation, as its description says; null for none. Where the block is not here "
            "any more, each encoded, as hex; the empty text for none."
        ),
    ]


class Outcome(TypedDict):
    """What is known of a transaction (L-9). A time-out is no outcome: then it is still `pending`.

    `refused` speaks for this node only. `expired`: it can't become final any more. `not_seen`: this node does not know
    it; with `valid_until_ms` it can tell when it has expired.
    """

    status: Literal["final", "pending", "refused", "expired", "not_seen"]
    transaction: NotRequired[Annotated[Hash, Field(description="Absent where the envelope could not be opened.")]]
    executed_height: NotRequired[Annotated[Height, Field(description="The state that was asked.")]]
    log_index: NotRequired[Annotated[Count, Field(description="Where it is final: its place in the receipt log.")]]
    receipt: NotRequired[Receipt]
    code: NotRequired[CodeName]
    detail: NotRequired[str]
    retry: NotRequired[RetryWord]
    fault: NotRequired[FaultWord]


class Results(TypedDict):
    """One outcome for each envelope, in their order."""

    results: list[Outcome]


class Envelopes(TypedDict):
    """Signed envelopes, each the hex of an encoded `Envelope` record."""

    envelopes: Annotated[list[Annotated[str, Field(pattern="^([0-9a-f]{2})+$")]], Field(min_length=1, max_length=1_000)]


class Executed(TypedDict):
    """Results that a header commits to."""

    height: Height
    state_root: Hash
    log_size: str
    log_root: Hash


class Reference(TypedDict):
    """A batch of a block."""

    author: Hash
    digest: Hash
    bytes: Count
    count: Count


class BlockSummary(TypedDict):
    """A final block in a list."""

    height: Height
    hash: Hash
    time_ms: TimeMs
    transactions: Annotated[Count, Field(description="Receipts of this block.")]
    state_root: Annotated[Hash, Field(description="After this block.")]


class Blocks(TypedDict):
    """Final, executed blocks, ascending."""

    blocks: list[BlockSummary]
    latest: Height


class Finalization(TypedDict):
    """The certificate that the segments hold for this block itself. Others are final by a later block's."""

    view: Count
    signers: Count


class Block(TypedDict):
    """A final, executed block. `executed` is what its header says of an earlier height; `state_root` is its own."""

    height: Height
    hash: Hash
    rules: Count
    epoch: Count
    parent: Hash
    time_ms: TimeMs
    proposer: Hash
    references: list[Reference]
    executed: Executed
    validators_hash: Hash
    next_validators_hash: Hash
    state_root: Hash
    log_size: Count
    log_root: Hash
    finalization: Finalization | None
    transactions: Annotated[list[Hash], Field(description="Those with a receipt, in the order of the log.")]


class Account(TypedDict):
    """Who may act for an account. Without a record its first key alone does; then `keys` is null."""

    account: Hash
    keys: list[Hash] | None
    threshold: Count
    member: Annotated[str | None, Field(description="The member whose account it is.")]
    height: Height


class AccountTransaction(TypedDict):
    """One transaction of an account."""

    log_index: Count
    transaction: Hash
    height: Height
    time_ms: TimeMs
    position: Count
    code: CodeName


class AccountTransactions(TypedDict):
    """Transactions of an account in final order. `next_after` continues; null at the end (for now)."""

    transactions: list[AccountTransaction]
    next_after: Count | None
    from_height: Annotated[
        Height,
        Field(description="The lowest block whose transactions are listed here: 1, or more if a snapshot came first."),
    ]


class Verified(TypedDict):
    """What a proof file shows. `papilio proof verify` says the same offline, and needs no node and no trust in one."""

    verified: bool
    kind: NotRequired[Literal["receipt", "state"]]
    explanation: NotRequired[str]
    height: NotRequired[Annotated[Height, Field(description="Of the block whose certificate was checked.")]]
    receipt: NotRequired[Receipt]
    space: NotRequired[str]
    value: NotRequired[Annotated[str | None, Field(description="The encoded value, or null: absent.")]]
    code: NotRequired[CodeName]
    detail: NotRequired[str]
    note: str


class MemberOf(TypedDict):
    """An institution."""

    name: str
    account: Hash
    keys: list[Hash]
    threshold: Count


class ValidatorOf(TypedDict):
    """A node that votes."""

    member: str
    node_key: Hash
    voting_key: Hash
    power: Count


class ObserverOf(TypedDict):
    """A node that genesis lets follow."""

    member: str | None
    node_key: Hash


class Network(TypedDict):
    """What all nodes share."""

    name: str
    network_id: Hash
    created_ms: TimeMs
    protocol: Annotated[dict[str, int], Field(description="`rules`: version of the rules in force.")]
    epoch: Count
    quorum_power: Count
    total_power: Count
    members: list[MemberOf]
    validators: list[ValidatorOf]
    observers: list[ObserverOf]
    parameters: Annotated[dict[str, int | str], Field(description="As in network.toml.")]
    genesis: Annotated[str, Field(pattern="^([0-9a-f]{2})+$", description="The encoded genesis record.")]


class PeerOf(TypedDict):
    """A node with an open channel."""

    node_key: Hash
    role: Literal["validator", "observer", "sync_only"]
    address: str
    dialed: Annotated[bool, Field(description="By this node.")]
    connected_ms: Count


class Sync(TypedDict):
    """How far a node that catches up has come."""

    syncing: bool
    target_height: Height
    left_seconds: Annotated[
        int | None, Field(description="At the pace of the last minute; null while nobody knows.", ge=0)
    ]


class Disk(TypedDict):
    """The disk under the data directory."""

    free_bytes: int | None


class MemoryOf(TypedDict):
    """What a validator knows of its own votes."""

    phase: Annotated[
        Literal["known", "asking", "amnesiac", "probation"],
        Field(description="Only in the first it votes: before, it asks the others what it may have signed."),
    ]
    vote_floor: Annotated[Count, Field(description="At and below this view it signs nothing.")]
    waiting_for: Annotated[list[str], Field(description="Members whose answers are missing for a quorum.")]


class Node(TypedDict):
    """This node, now."""

    version: str
    node_key: Hash
    voting_key: Hash | None
    member: str | None
    voting: bool
    memory: MemoryOf
    ready: bool
    uptime_ms: Count
    epoch: Count
    view: Count
    leader: Annotated[Count, Field(description="Place of the view's leader among the validators.")]
    final_height: Height
    final_hash: str
    final_time_ms: TimeMs
    executed_height: Height
    state_root: str
    log_size: Count
    log_root: str
    covered_height: Annotated[Height, Field(description="Receipts up to it are provable.")]
    pool_envelopes: Count
    pool_bytes: Count
    unordered_batches: Count
    peers: list[PeerOf]
    hears: Annotated[list[Hash], Field(description="Nodes from which it hears directly.")]
    sync: Sync
    first_height: Annotated[
        Height, Field(description="The lowest block that is kept here; for older ones it answers `pruned`.")
    ]
    disk: Disk


class StoreHealth(TypedDict):
    """What this node knows of damage on its disk: `papilio store scrub --node` shows it."""

    scrubbing: Annotated[bool, Field(description="Whether a pass over all blocks is under way.")]
    height: Annotated[Count, Field(description="Last block read in this pass; 0 between two passes.")]
    last_height: Annotated[Count, Field(description="Where this pass ends, or the last one ended.")]
    passes: Annotated[Count, Field(description="Passes since the start of the node.")]
    blocks: Annotated[Count, Field(description="Blocks read by the scrub since then.")]
    damaged: Annotated[Count, Field(description="Blocks known to be damaged and not mended yet: not served.")]
    found: Annotated[Count, Field(description="Blocks found damaged since the start.")]
    mended: Annotated[Count, Field(description="Of them put right with blocks of peers.")]


class Health(TypedDict):
    """Fine."""

    status: Literal["live", "ready"]


class Landing(TypedDict):
    """What this is, and where to read on."""

    product: Literal["papilio"]
    version: str
    network: str
    network_id: Hash
    docs: str
    openapi: str
