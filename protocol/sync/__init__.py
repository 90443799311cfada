"""Sync: fetching final blocks that a node missed (block sync).

May import ledger (records), wire. Public names: `BlockSync`, `parts_of`.
"""

from protocol.sync.blocks import BlockSync, FetchedBlock, parts_of

__all__ = ["BlockSync", "FetchedBlock", "parts_of"]
