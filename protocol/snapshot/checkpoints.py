"""At which heights snapshots are made: the same at every node, so that a joiner can ask them all for one (L-20).

Block time is cut into slots. The first header of a slot names results (L-17), and the state at that height is what
nodes make a snapshot of. It follows from the blocks alone, so nodes agree without a word. A slot is passed over where
the state can't be had any more (this node was away when the slot began), or where an epoch ends between the state and
the header that makes it provable.
"""

from __future__ import annotations

from collections.abc import Callable

from protocol.codec import decode
from protocol.consensus.statements import Certificate
from protocol.ledger.closings import closes
from protocol.ledger.records import Block, Header
from protocol.wire.snapshot import CHAIN_BYTES_MAX, CHAIN_MAX, SnapshotOffer

BlockAt = Callable[[int], Block | None]


def checkpoint(block_at: BlockAt, covering_height: int, slot_ms: int) -> SnapshotOffer | None:
    """The offer of the snapshot for the newest slot; `pieces` is 0 until they are made.

    covering_height: of the newest final header with its own finalization. None where there is none to be made.
    """
    newest = block_at(covering_height)
    if newest is None:
        return None
    header = decode(Header, newest.header)
    slot = header.time_ms // slot_ms
    chain: list[tuple[Header, Block]] = []
    block: Block | None = newest
    while block is not None:
        header = decode(Header, block.header)
        if header.time_ms // slot_ms < slot:
            break
        chain.append((header, block))
        if len(chain) > CHAIN_MAX or header.height == 1:
            return None
        block = block_at(header.height - 1)
    if block is None:
        return None
    chain.reverse()
    finalized = next((index for index, (_, block) in enumerate(chain, 1) if block.finalization is not None), 0)
    chain = chain[:finalized]
    if not chain or chain[0][0].executed.height < 1 or not _within_an_epoch(block_at, chain):
        return None
    finalization = chain[-1][1].finalization
    assert finalization is not None, "it was looked for"
    headers = tuple(block.header for _, block in chain)
    if sum(map(len, headers)) > CHAIN_BYTES_MAX:
        return None
    return SnapshotOffer(chain[0][0].executed.height, headers, decode(Certificate, finalization), 0)


def _within_an_epoch(block_at: BlockAt, chain: list[tuple[Header, Block]]) -> bool:
    """Whether no epoch ends above the state and up to the finalization."""
    first = chain[0][0]
    for height in range(first.executed.height + 1, first.height):
        block = block_at(height)
        if block is None or closes(decode(Header, block.header)):
            return False
    return not any(closes(header) or header.epoch != first.epoch for header, _ in chain)
