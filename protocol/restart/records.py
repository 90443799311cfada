"""What a restart is made of: kinds 30 to 36.

    RestartReport     what one stopped validator holds, and its promise that nothing follows; signed by its voting key
    RestartDocument   all reports, who takes part from now on, and what the new network begins with
    MemberApproval    one signature of a member's account key over the document's digest
    RestartFile       a document and its approvals: what strangers are given
    Holdings          headers and batches beside a report, so that the others can complete what they lack; unsigned

What is signed or hashed stands as the very bytes. Nothing that follows from the reports is in the document: whoever
reads it weighs them again (`weighing`).
"""

from __future__ import annotations

from typing import Annotated

from protocol import limits
from protocol.apps.members.records import CHANGE_BYTES_MAX, CHANGES_MAX
from protocol.codec import U53, Flag, Hash, Items, Key, Name, Octets, Signature, Words, record, structure
from protocol.consensus.statements import Certificate, Vote
from protocol.crypto.trie import TrieProof
from protocol.ledger.genesis import (
    GenesisObserver,
    GenesisValidator,
    KeptMember,
    Parameters,
    ValidatorSet,
)
from protocol.ledger.records import Executed
from protocol.proofs.records import ClosedEpoch, HeaderBytes

BatchBytes = Annotated[bytes, Octets(1, limits.BATCH_BYTES_MAX)]
ApprovalItems = Items(0, limits.MEMBERS_MAX * 2)


@structure
class Point:
    """A view of an epoch."""

    epoch: U53
    view: U53


@structure
class FinalHeader:
    """A header and a finalization of its own."""

    header: HeaderBytes
    finalization: Certificate


@record(kind=30, bytes_max=limits.REPORT_BYTES_MAX)
class RestartReport:
    """What a validator that has stopped for good holds, and that it signs nothing more in this network.

    stopped_ms: its clock, for people. remembers: above this it knows all that it signed; None: it does not know (C-24).
    closed: ended epochs, from the first on. final: the newest header after them with its own finalization.
    coming: sets that headers from `final` on name next, where they close the epoch.
    Above `final`, of the epoch after `closed`: certificates (notarizations and finalizations), own notarizes and
    finalizes, headers, and digests of the batches that are held whole.
    """

    network_id: Hash
    voting_key: Key
    stopped_ms: U53
    remembers: Point | None
    closed: Annotated[tuple[ClosedEpoch, ...], Items(0, limits.PROOF_EPOCHS_MAX)]
    final: FinalHeader | None
    coming: Annotated[tuple[ValidatorSet, ...], Items(0, 16)]
    certificates: Annotated[tuple[Certificate, ...], Items(0, limits.REPORT_ITEMS_MAX)]
    votes: Annotated[tuple[Vote, ...], Items(0, limits.REPORT_ITEMS_MAX)]
    headers: Annotated[tuple[HeaderBytes, ...], Items(0, limits.REPORT_ITEMS_MAX)]
    batches: Annotated[tuple[Hash, ...], Items(0, limits.REPORT_BATCHES_MAX)]


@record(kind=31, bytes_max=limits.REPORT_BYTES_MAX + 1024)
class SignedReport:
    """An encoded `RestartReport` and its voting key's signature in the context REPORT."""

    report: Annotated[bytes, Octets(1, limits.REPORT_BYTES_MAX)]
    signature: Signature


@structure
class Proven:
    """A value of the old network's state, or that there is none, under the newest header that a quorum finalized."""

    key: Annotated[bytes, Octets(1, limits.STATE_KEY_BYTES_MAX)]
    value: Annotated[bytes, Octets(1, limits.STATE_VALUE_BYTES_MAX)] | None
    proof: TrieProof


@structure
class Decided:
    """Who takes part from now on, and how. `changes` lead there from the old network's state; `begins`: the results."""

    name: Name
    created_ms: U53
    parameters: Parameters
    changes: Annotated[tuple[Annotated[bytes, Octets(1, CHANGE_BYTES_MAX)], ...], Items(0, CHANGES_MAX)]
    members: Annotated[tuple[KeptMember, ...], Items(1, limits.MEMBERS_MAX)]
    validators: Annotated[tuple[GenesisValidator, ...], Items(1, limits.VALIDATORS_MAX)]
    observers: Annotated[tuple[GenesisObserver, ...], Items(0, limits.OBSERVERS_MAX)]
    begins: Executed


@record(kind=32, bytes_max=limits.RESTART_BYTES_MAX)
class RestartDocument:
    """What the members sign.

    genesis: the old network's. reports: encoded `SignedReport`s, ascending by voting key. kept: the old network's
    results at the last kept block. council: how the old members decide and which keys act for them. cut: transactions
    known in blocks that are not kept. uncertain: its authors know that something final may be missing. words: theirs.
    """

    genesis: Annotated[bytes, Octets(1, limits.MESSAGE_BYTES_MAX)]
    reports: Annotated[
        tuple[Annotated[bytes, Octets(1, limits.REPORT_BYTES_MAX + 1024)], ...], Items(1, limits.VALIDATORS_MAX)
    ]
    kept: Executed
    council: Annotated[tuple[Proven, ...], Items(1, 3 * limits.MEMBERS_MAX + 1)]
    decided: Decided
    cut: Annotated[tuple[Hash, ...], Items(0, limits.REPORT_BATCHES_MAX)]
    uncertain: Flag
    words: Words


@record(kind=33)
class MemberApproval:
    """A signature by one key of a member's account, in the context APPROVAL, over the document's digest."""

    document: Hash
    member: Name
    key: Key
    signature: Signature


@record(kind=34, bytes_max=limits.RESTART_BYTES_MAX + limits.MIB)
class RestartFile:
    """An encoded document and its approvals, ascending by member and key."""

    document: Annotated[bytes, Octets(1, limits.RESTART_BYTES_MAX)]
    approvals: Annotated[tuple[MemberApproval, ...], ApprovalItems]


@record(kind=35, bytes_max=limits.RESTART_BYTES_MAX)
class Holdings:
    """Headers and whole batches that one disk holds; whoever uses them compares hashes."""

    headers: Annotated[tuple[HeaderBytes, ...], Items(0, 2 * limits.REPORT_ITEMS_MAX)]
    batches: Annotated[tuple[BatchBytes, ...], Items(0, limits.REPORT_BATCHES_MAX)]


@record(kind=36, bytes_max=limits.RESTART_BYTES_MAX)
class KeptBlocks:
    """Encoded blocks, ascending by height up to the last kept one, for those whose disks lack them."""

    blocks: Annotated[
        tuple[Annotated[bytes, Octets(1, limits.BLOCK_BYTES_MAX + limits.MIB)], ...],
        Items(1, limits.REPORT_ITEMS_MAX),
    ]
