"""Making proofs from what a node holds (L-21).

The header is the newest one with a finalization of its own; its *executed* has to cover the receipt, or the
height that the state is asked for. Every proof that leaves is verified first, by the code that its reader uses.
"""

from __future__ import annotations

from collections.abc import Sequence

from protocol.codec import decode, encode
from protocol.consensus.statements import Certificate
from protocol.crypto import log
from protocol.errors import NOT_COVERED, NOT_FOUND, BrokenInvariant, Refused
from protocol.ledger.added import PAGES, located, newest
from protocol.ledger.batch import open_batch
from protocol.ledger.closings import Closing
from protocol.ledger.genesis import Genesis, network_id
from protocol.ledger.index import log_getter, read_receipt
from protocol.ledger.records import Block, Header
from protocol.ledger.spaces import is_added_key
from protocol.ledger.tables import Reader
from protocol.ledger.undo import HistoricState
from protocol.proofs.finality import ProofRefused
from protocol.proofs.records import ClosedEpoch, Finality, ReceiptProof, StateProof, WithinPage
from protocol.proofs.verify import Spaces, verify_receipt_proof, verify_state_proof


def finality_of(header: Header, finalization: Certificate, closed: Sequence[ClosedEpoch] = ()) -> Finality:
    """The chain of trust of a header with its own finalization, pinned to the last closing header if there is one."""
    from_chain = [item.finalization.proposal for item in closed]
    pinned = from_chain[-1].payload if from_chain and from_chain[-1] is not None else None
    return Finality(encode(header), finalization, tuple(closed), pinned)


def closed_by(block: bytes | None, closing: Closing) -> ClosedEpoch | None:
    """How an epoch ended, from its encoded closing block (C-22); None without it, or without its finalization."""
    found = None if block is None else decode(Block, block)
    if found is None or found.finalization is None:
        return None
    return ClosedEpoch(found.header, decode(Certificate, found.finalization), closing.validators)


def envelope_at(batches: Sequence[bytes], position: int) -> bytes:
    """The encoded envelope at a position of a block, skipped ones counted (L-21). Raises Refused(not_found)."""
    left = position
    for data in batches:
        envelopes = open_batch(data)[1].envelopes
        if left < len(envelopes):
            return envelopes[left]
        left -= len(envelopes)
    raise Refused(NOT_FOUND, f"the block has no envelope at position {position}")


def receipt_proof(genesis: Genesis, reader: Reader, log_index: int, envelope: bytes, finality: Finality) -> bytes:
    """The encoded proof of the receipt at `log_index`, whose encoded envelope is given.

    Raises Refused: not_found if there is no such receipt, not_covered if the header's log does not reach it.
    """
    receipt = read_receipt(reader, log_index)
    if receipt is None:
        raise Refused(NOT_FOUND, f"no receipt at {log_index} of the log")
    size = covering_size(finality, log_index)
    path = log.inclusion_proof(log_getter(reader), log_index, size)
    data = encode(ReceiptProof(network_id(genesis), envelope, receipt, log_index, path, finality))
    try:
        verify_receipt_proof(encode(genesis), data)
    except ProofRefused as fault:
        raise BrokenInvariant(f"the proof of receipt {log_index} does not verify: {fault.words}") from fault
    return data


def covering_size(finality: Finality, log_index: int) -> int:
    """Size of the log that this header covers. Raises Refused(not_covered) if it does not hold that receipt yet."""
    size = _header(finality).executed.log_size
    if log_index >= size:
        raise Refused(NOT_COVERED, f"receipt {log_index} is final; the newest final header covers {size} receipts")
    return size


def state_proof(
    genesis: Genesis, reader: Reader, key: bytes, finality: Finality, *, spaces: Spaces | None = None
) -> bytes:
    """The encoded proof of an encoded state key's value, or its absence, at the height that the header covers.

    Raises Refused: not_found if the state of that height is not held any more, or if there is no added record of that
    key, which cannot be proven; not_covered if the record was added later. spaces: as in `verify_state_proof`.
    """
    state = HistoricState(reader, _header(finality).executed.height)
    value, within, proven = state.value(key), None, key
    if is_added_key(key):
        value, within = _within_page(reader, state, key)
        proven = PAGES.key((within.height, within.page))
    data = encode(StateProof(network_id(genesis), key, value, within, state.prove(proven), finality))
    try:
        verify_state_proof(encode(genesis), data, spaces=spaces)
    except ProofRefused as fault:
        raise BrokenInvariant(f"the proof of state key {key.hex()} does not verify: {fault.words}") from fault
    return data


def _within_page(reader: Reader, state: HistoricState, key: bytes) -> tuple[bytes, WithinPage]:
    """An added record's value, and its page at that height."""
    found = located(newest(reader), key)
    if found is None:
        raise Refused(NOT_FOUND, "there is no such record; of records that are only ever added, absence is not proven")
    place, record = found
    page = state.value(PAGES.key((place.height, place.page)))
    if page is None:
        raise Refused(NOT_COVERED, f"the record was added at height {place.height}; headers cover {state.height} yet")
    return record.value, WithinPage(place.height, place.page, page)


def _header(finality: Finality) -> Header:
    return decode(Header, finality.header)
