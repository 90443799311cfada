"""Which blocks and receipts come with a snapshot: what later execution remembers (L-7), and what a start reads.

An envelope that is final at block time t has a `valid_until_ms` of at most t + `envelope_ttl_max`: so all that may
still be remembered at the snapshot's height stands in blocks of the last `envelope_ttl_max` of block time. A node's
memory of references reaches `batch_ttl_max` heights back. Receipts say which envelopes of these blocks became final;
they begin with the log's size that the lowest of these headers names, which lies below that header.
"""

from __future__ import annotations

from typing import NamedTuple

from protocol.ledger.genesis import Parameters
from protocol.ledger.records import Header
from protocol.snapshot.offers import Offered


class Window(NamedTuple):
    """Heights that come along, and receipts [first, size) of the log; size 0: there are none."""

    lowest: int
    tip: int
    first_receipt: int
    log_size: int

    @property
    def blocks(self) -> int:
        """How many."""
        return self.tip - self.lowest + 1


def is_needed(offered: Offered, parameters: Parameters, state_time_ms: int | None, header: Header) -> bool:
    """Whether this block comes along. `state_time_ms`: block time at the snapshot's height, None above it."""
    if state_time_ms is None or header.height >= offered.height:
        return True
    recent = header.time_ms > state_time_ms - parameters.envelope_ttl_max_ms
    return recent or header.height >= offered.tip.height - parameters.batch_ttl_max - 1


def window_of(offered: Offered, lowest: Header) -> Window:
    """The window that begins with the header `lowest`. Without at least one receipt the log could not go on."""
    size = offered.executed.log_size
    return Window(lowest.height, offered.tip.height, min(lowest.executed.log_size, max(0, size - 1)), size)
