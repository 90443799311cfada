"""What a proof file holds (L-21): kinds 14 and 15.

Both kinds end in the same chain of trust: a header, its finalization, and for every epoch that ended before,
oldest first, its closing header, that header's finalization, and the validator set that it names. Genesis names
the first set, so nothing else has to be trusted. What is hashed or signed stands as the very bytes.
"""

from __future__ import annotations

from typing import Annotated

from protocol import limits
from protocol.codec import U53, U63, Hash, Items, Octets, Range, record, structure
from protocol.consensus.statements import Certificate
from protocol.crypto.trie import TrieProof
from protocol.ledger.genesis import ValidatorSet

HeaderBytes = Annotated[bytes, Octets(1, limits.HEADER_BYTES_MAX)]


@structure
class ClosedEpoch:
    """An ended epoch: its closing header, the finalization of that, and the set that it names for the next (C-22)."""

    header: HeaderBytes
    finalization: Certificate
    validators: ValidatorSet


@structure
class Finality:
    """That a header is final, from genesis on.

    pinned: hash of a closing header of the chain that the exporter knew for certain, None if there is none (C-23).
    """

    header: HeaderBytes
    finalization: Certificate
    closed: Annotated[tuple[ClosedEpoch, ...], Items(0, limits.PROOF_EPOCHS_MAX)]
    pinned: Hash | None


@record(kind=14, bytes_max=limits.PROOF_BYTES_MAX)
class ReceiptProof:
    """That an envelope was recorded with this outcome.

    path: the audit path of leaf `log_index` in the receipt log, the leaf's sibling first (RFC 6962, 2.1.1).
    """

    network_id: Hash
    envelope: Annotated[bytes, Octets(1, limits.ENVELOPE_BYTES_MAX)]
    receipt: Annotated[bytes, Octets(1, limits.MESSAGE_BYTES_MAX)]
    log_index: U63
    path: Annotated[tuple[Hash, ...], Items(0, limits.LOG_PATH_MAX)]
    finality: Finality


@structure
class WithinPage:
    """The page of added records that holds a key and its value (`ledger.added`): which one it is, and its value."""

    height: Annotated[int, Range(1, limits.U53_MAX)]
    page: U53
    value: Annotated[bytes, Octets(1, limits.STATE_VALUE_BYTES_MAX)]


@record(kind=15, bytes_max=limits.PROOF_BYTES_MAX)
class StateProof:
    """That `key` had exactly this value, or none, in the state at the height that the header's *executed* names.

    within: of an added record, the page that holds it, which `proof` is of then. Of none of these is absence proven.
    """

    network_id: Hash
    key: Annotated[bytes, Octets(1, limits.STATE_KEY_BYTES_MAX)]
    value: Annotated[bytes, Octets(0, limits.STATE_VALUE_BYTES_MAX)] | None
    within: WithinPage | None
    proof: TrieProof
    finality: Finality
