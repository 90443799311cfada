"""Sync: fetching final blocks that a node missed (block sync), or whose copy is damaged (mending).

May import ledger (records), wire. Public names: `BlockSync`, `Mending`, `parts_of`.
"""

from protocol.sync.blocks import BlockSync, FetchedBlock, end_of_answer, parts_of
from protocol.sync.mending import Mending

__all__ = ["BlockSync", "FetchedBlock", "Mending", "end_of_answer", "parts_of"]
