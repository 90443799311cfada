"""The ledger's records: what a client signs, what a node seals, what is agreed on, what is answered.

Field by field as in L-5 (envelope), L-11 (batch), L-17 (header), L-21 (receipt). Kinds 1 to 19.
Identities (hashes) of records stand beside them, so that nobody computes one in another way.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from protocol import limits
from protocol.codec import (
    U53,
    U63,
    Blob,
    Hash,
    Id16,
    Items,
    Key,
    Name,
    Octets,
    Range,
    Signature,
    Words,
    encode,
    record,
    structure,
)
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest


@structure
class Operation:
    """One instruction: which app, which of its operations, and that operation's record, encoded.

    The arguments stay opaque bytes here: whether they are well formed is judged by the app at
    execution, so that a node with older rules agrees on the form of every envelope.
    """

    app: Name
    name: Name
    arguments: Annotated[bytes, Blob(limits.OPERATION_ARGUMENTS_BYTES_MAX)]


@record(kind=2, bytes_max=limits.ENVELOPE_BYTES_MAX)
class EnvelopeBody:
    """What a client signs (L-5). `signers` are distinct and ascending; `valid_until_ms` is wall-clock time."""

    network_id: Hash
    account: Hash
    id: Id16
    valid_until_ms: U53
    operations: Annotated[tuple[Operation, ...], Items(1, limits.OPERATIONS_MAX)]
    signers: Annotated[tuple[Key, ...], Items(1, limits.SIGNERS_MAX)]


@record(kind=3, bytes_max=limits.ENVELOPE_BYTES_MAX)
class Envelope:
    """An encoded `EnvelopeBody` and one signature of each signer, in their order."""

    body: Annotated[bytes, Octets(1, limits.ENVELOPE_BYTES_MAX)]
    signatures: Annotated[tuple[Signature, ...], Items(1, limits.SIGNERS_MAX)]


@record(kind=4, bytes_max=limits.BATCH_BYTES_MAX)
class BatchBody:
    """Envelopes sealed by one validator (`author`, its voting key), usable up to `expiry_height` (L-11)."""

    network_id: Hash
    author: Key
    expiry_height: U53
    envelopes: Annotated[
        tuple[Annotated[bytes, Octets(1, limits.ENVELOPE_BYTES_MAX)], ...], Items(1, limits.BATCH_ENVELOPES_MAX)
    ]


@record(kind=5, bytes_max=limits.BATCH_BYTES_MAX)
class Batch:
    """An encoded `BatchBody` and its author's signature in the context BATCH."""

    body: Annotated[bytes, Octets(1, limits.BATCH_BYTES_MAX)]
    signature: Signature


@structure
class Reference:
    """A batch as a header names it: author, digest, bytes of the encoded `Batch`, count of envelopes."""

    author: Key
    digest: Hash
    bytes: Annotated[int, Range(1, limits.BATCH_BYTES_MAX)]
    count: Annotated[int, Range(1, limits.BATCH_ENVELOPES_MAX)]


@structure
class Executed:
    """The result of executing all blocks up to `height`: state root, and size and root of the receipt log."""

    height: U53
    state_root: Hash
    log_size: U63
    log_root: Hash


@record(kind=6, bytes_max=limits.HEADER_BYTES_MAX)
class Header:
    """A block's header (L-17).

    `proposer` is a voting key; `parent` the hash of the header below, or the network id at height 1.
    """

    rules: Annotated[int, Range(1, 65535)]
    epoch: U53
    height: U53
    parent: Hash
    time_ms: U53
    proposer: Key
    references: Annotated[tuple[Reference, ...], Items(0, limits.REFERENCES_MAX)]
    executed: Executed
    validators_hash: Hash
    next_validators_hash: Hash


@record(kind=7)
class Receipt:
    """The outcome of one envelope (L-21).

    `operation` is the index of the one that failed; `results` holds one for each operation if ok.
    """

    transaction: Hash
    height: U53
    time_ms: U53
    position: U53
    code: Name
    operation: U53 | None
    words: Words
    results: Annotated[tuple[Annotated[bytes, Blob(limits.RESULT_BYTES_MAX)], ...], Items(0, limits.OPERATIONS_MAX)]


@record(kind=8, bytes_max=limits.BLOCK_BYTES_MAX + limits.MIB)
class Block:
    """A finalized block as segments hold it: header, batches in its order, a finalization if one was formed for it."""

    header: Annotated[bytes, Octets(1, limits.HEADER_BYTES_MAX)]
    batches: Annotated[tuple[Annotated[bytes, Octets(1, limits.BATCH_BYTES_MAX)], ...], Items(0, limits.REFERENCES_MAX)]
    finalization: Annotated[bytes, Octets(1, limits.MIB)] | None


def transaction_id(body: bytes) -> bytes:
    """Name of an envelope: the hash of what is signed (32 bytes)."""
    return digest(Domain.TRANSACTION, body)


@lru_cache(maxsize=limits.ACCOUNT_NAMES_REMEMBERED_MAX)
def account_name(first_key: bytes) -> bytes:
    """Name of the account whose first key is `first_key` (L-6)."""
    return digest(Domain.ACCOUNT, first_key)


def batch_digest(body: bytes) -> bytes:
    """Digest of an encoded `BatchBody`, as references name it."""
    return digest(Domain.BATCH, body)


def header_hash(header: Header) -> bytes:
    """Hash of a header: the payload that consensus orders."""
    return digest(Domain.HEADER, encode(header))
