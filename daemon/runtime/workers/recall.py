"""The result of a block that is in the state already: read back instead of executed.

Two crashes lead here. The execute worker died between its commit and its answer; or the power went when the state was
synced and the segments, which need not be (duty 3), were not: the node then appends and executes those blocks again.

Roots and the outcomes of final envelopes are read exactly as they were. Why an envelope was *skipped* is not stored;
the reason is told again as far as it can be: `duplicate` or `conflict` by what is final under its name, its time
window by the block's time, and otherwise `not_authorised`. That is enough for what a skip's code is used for: pools
judge a skipped envelope anew (L-7). Who takes part since is told again as well: without it a node would hold on to
validators that have left.
"""

from __future__ import annotations

from collections.abc import Sequence

from protocol import errors
from protocol.errors import BrokenInvariant
from protocol.ledger.envelope import ParsedEnvelope
from protocol.ledger.execution import parse_batch_of_block
from protocol.ledger.genesis import Parameters
from protocol.ledger.index import locate, number_key, read_roots, read_seen, receipt_at
from protocol.ledger.members import GOVERNANCE_KEY, Governed, governed
from protocol.ledger.records import Header, header_hash
from protocol.ledger.tables import Reader, Table
from protocol.ledger.undo import HistoricState, changed_keys
from protocol.node.interface import BlockExecuted, Fate, Outcome


def recall_block(
    network_id: bytes, parameters: Parameters, reader: Reader, header: Header, batches: Sequence[bytes]
) -> BlockExecuted:
    """The stored result of a block at or below the state's height.

    Raises BrokenInvariant if another block was executed at that height.
    """
    roots = read_roots(reader, header.height)
    if roots is None or roots.header_hash != header_hash(header):
        raise BrokenInvariant(f"the state holds another block at height {header.height} than the one that is final")
    outcomes: list[Outcome] = []
    for index, data in enumerate(batches):
        for envelope in parse_batch_of_block(network_id, header, index, data).envelopes:
            outcomes.append(_recall(reader, header, parameters, envelope, len(outcomes)))
    return BlockExecuted(roots.executed, tuple(outcomes), _governed(reader, header.height))


def _governed(reader: Reader, height: int) -> Governed | None:
    """Who takes part from this height on, if its block changed that.

    Of a block so old that its undo is gone nobody asks: the node began with what the state says now.
    """
    undo = reader.get(Table.TRIE_UNDO, number_key(height))
    if undo is None or GOVERNANCE_KEY not in changed_keys(undo):
        return None
    return governed(HistoricState(reader, height))


def _recall(reader: Reader, header: Header, parameters: Parameters, envelope: ParsedEnvelope, position: int) -> Outcome:
    place = locate(reader, envelope.transaction)
    name = (envelope.transaction, envelope.account, envelope.id)
    if place is not None and (place.height, place.position) == (header.height, position):
        receipt = receipt_at(reader, place.log_index)
        if receipt is None:
            raise BrokenInvariant(f"the state has no receipt at log index {place.log_index}")
        return Outcome(*name, Fate.FINAL, receipt.code, place.log_index)
    return Outcome(*name, Fate.SKIPPED, _why_skipped(reader, header, parameters, envelope), None)


def _why_skipped(reader: Reader, header: Header, parameters: Parameters, envelope: ParsedEnvelope) -> str:
    if envelope.valid_until_ms <= header.time_ms:
        return errors.EXPIRED
    if envelope.valid_until_ms > header.time_ms + parameters.envelope_ttl_max_ms:
        return errors.TOO_FAR_AHEAD
    if locate(reader, envelope.transaction) is not None:
        return errors.DUPLICATE
    seen = read_seen(reader, envelope.account, envelope.id)
    if seen is not None and seen.holds(header.time_ms):
        return errors.CONFLICT
    return errors.NOT_AUTHORISED
