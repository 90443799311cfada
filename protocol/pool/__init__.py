"""Pool: envelopes that wait to be sealed, in fair shares, and what this node refused (L-7, L-9, L-12);
how long what waits will take.

May import limits, errors. Public names: `Pool`, `Entry`; `pace` for its constants.
"""

from protocol.pool.pool import Entry, Pool

__all__ = ["Entry", "Pool"]
