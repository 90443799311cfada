"""How large each table of a joiner may be (`protocol.node.joining`), for the checker of bounds."""

from __future__ import annotations

from collections.abc import Callable

from protocol import limits
from protocol.node.joining import OFFERS_OF_A_PEER_MAX, Joining
from protocol.snapshot.gathering import BLOCKS_RUN, RECEIPTS_RUN
from protocol.sync.blocks import WAITING_BLOCKS_MAX
from protocol.wire.snapshot import EPOCHS_ASKED_MAX, HEADERS_ASKED_MAX

PIECES_WANTED_MAX = 8 * 16 * limits.TRIE_DEPTH_MAX
"""Last in, first out: of each level the children of one answer of eight branches; for each peer."""

Limit = Callable[[Joining], int]


def _fixed(bound: int) -> Limit:
    return lambda _joining: bound


def _wants(joining: Joining) -> int:
    """Runs of blocks and of receipts; one of headers before them."""
    window = None if joining.gathering is None else joining.gathering.window
    if window is None:
        return 1
    return window.blocks // BLOCKS_RUN + (window.log_size - window.first_receipt) // RECEIPTS_RUN + 2


JOINER_BOUNDS: dict[str, Limit] = {
    "_out": _fixed(0),
    "_staged.fresh": _fixed(max(EPOCHS_ASKED_MAX, HEADERS_ASKED_MAX)),
    "_tried": _fixed(limits.PEERS_MAX),
    "banned": _fixed(limits.PEERS_MAX),
    "epochs.closings": lambda joining: joining.epochs.epoch - 1,
    "gathering._pieces": lambda joining: PIECES_WANTED_MAX * max(1, len(joining.peers)),
    "gathering._wants": _wants,
    "gathering.staged.fresh": _fixed(max(EPOCHS_ASKED_MAX, HEADERS_ASKED_MAX)),
    "peers": _fixed(limits.PEERS_MAX),
    "peers[].offers": _fixed(OFFERS_OF_A_PEER_MAX),
    "peers[].stale": _fixed(OFFERS_OF_A_PEER_MAX),
    "peers[].blocks.avoid": _fixed(limits.PEERS_MAX),
    "peers[].blocks.parts": _fixed(limits.SYNC_BLOCKS_MAX),
    "peers[].blocks.parts[]": _fixed(limits.REFERENCES_MAX),
    "peers[].blocks.pending": _fixed(WAITING_BLOCKS_MAX),
    "peers[].blocks.pending[].batches": _fixed(limits.REFERENCES_MAX),
}
"""Path of a table -> the most entries that it may have, in this joiner now."""
