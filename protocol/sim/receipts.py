"""Receipt proofs out of what a simulated disk holds: for the checker of proofs, and for actors that falsify them.

The daemon's way (`protocol.proofs.build`) verifies each proof under Ed25519 before it leaves; here signatures may be
stand-ins, so a proof is put together from its parts, and whoever wants to know verifies it.
"""

from __future__ import annotations

from random import Random

from protocol.codec import decode
from protocol.consensus.statements import Certificate
from protocol.crypto import log
from protocol.ledger.closings import closings
from protocol.ledger.genesis import Genesis, network_id
from protocol.ledger.index import log_getter, read_receipt
from protocol.ledger.records import Batch, BatchBody, Block, Header, Receipt
from protocol.proofs.records import ClosedEpoch, Finality, ReceiptProof
from protocol.sim.disk import Disk


def newest_proofs(genesis: Genesis, disk: Disk, generator: Random, count: int) -> list[ReceiptProof]:
    """Proofs of up to `count` random receipts under the newest header with a finalization of its own."""
    finality = newest_finality(disk)
    if finality is None:
        return []
    size = decode(Header, finality.header).executed.log_size
    first = _first_receipt(disk, size)
    chosen = sorted(generator.sample(range(first, size), min(size - first, count)))
    return [proof_of(genesis, disk, index, finality) for index in chosen]


def _first_receipt(disk: Disk, size: int) -> int:
    """Index of the first receipt whose envelope is here: where old blocks are not, later than that of the log."""
    if disk.blocks.first == 1:
        return 0
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        data = read_receipt(disk.tables, middle)
        if data is not None and decode(Receipt, data).height >= disk.blocks.first:
            high = middle
        else:
            low = middle + 1
    return low


def newest_finality(disk: Disk) -> Finality | None:
    """The newest final header here that has a finalization of its own and names a result that is here, with it."""
    for stored in reversed(list(disk.blocks)):
        if not stored.finalized:
            continue
        block = decode(Block, stored.short)
        header = decode(Header, block.header)
        if header.executed.height <= disk.executed.last:
            assert block.finalization is not None, "it says so"
            closed = _closed_before(disk, header.epoch)
            if closed is None:
                return None
            return Finality(block.header, decode(Certificate, block.finalization), closed, None)
    return None


def _closed_before(disk: Disk, epoch: int) -> tuple[ClosedEpoch, ...] | None:
    """How each epoch before this one ended (C-22); None where that is not executed here yet."""
    ended = [disk.closed(closing) for closing in closings(disk.tables, limit=epoch - 1)] if epoch > 1 else []
    found = tuple(closed for closed in ended if closed is not None)
    assert len(found) == len(ended), "a closing block is here with its finalization, or what of it is kept beside"
    return found if len(found) == epoch - 1 else None


def proof_of(genesis: Genesis, disk: Disk, log_index: int, finality: Finality) -> ReceiptProof:
    """The proof of one receipt, from tables and segments."""
    data = read_receipt(disk.tables, log_index)
    assert data is not None, "the log holds what the header covers"
    receipt = decode(Receipt, data)
    path = log.inclusion_proof(log_getter(disk.tables), log_index, decode(Header, finality.header).executed.log_size)
    envelope = _envelope_at(disk, receipt.height, receipt.position)
    return ReceiptProof(network_id(genesis), envelope, data, log_index, tuple(path), finality)


def _envelope_at(disk: Disk, height: int, position: int) -> bytes:
    stored = disk.blocks.at(height)
    assert stored is not None, "only receipts of blocks that are here are asked for"
    block = decode(Block, stored.data)
    inside = [envelope for data in block.batches for envelope in decode(BatchBody, decode(Batch, data).body).envelopes]
    return inside[position]
