"""Sync: fetching final blocks that a node missed (block sync).

May import ledger (records), wire. Public names: `BlockSync`, `parts_of`.
"""

from protocol.sync.blocks import BlockSync, FetchedBlock, end_of_answer, parts_of

__all__ = ["BlockSync", "FetchedBlock", "end_of_answer", "parts_of"]
